"""A run that is repeated has the same verdict, and the same allocations at each site: bench/steadiness.py, shortened."""

import sys

import pytest

from support import building, interpreters, running


@pytest.mark.parametrize("version", [(3, 11), (3, 13)], ids=["3.11", "3.13"])
def test_steadiness(version):
    python = next((one for one in interpreters.traced_interpreters() if one.version[:2] == version), None)
    if not python:
        pytest.skip("no such CPython here")
    done = running.run([sys.executable, building.ROOT / "bench" / "steadiness.py", "--build", building.build_folder(),
                        "--python", python.path, "--runs", 5], timeout=120)
    assert done.status == 0, done
    clean, keeping = done.out.splitlines()
    assert "5 runs, 1 verdict (status 0, 0 violations, 5 times)" in clean and " 0 of them apart" in clean
    assert "5 runs, 1 verdict (status 1, " in keeping and " 0 of them apart" in keeping
