"""The unit tests in C, each executable as one test, so that one runner counts them with all others."""

import json
import shutil
import subprocess

import pytest

from support import running
from support.building import TESTS, build_folder


def units():
    """The tests that meson knows, with their command lines; none when there is no meson."""
    if not shutil.which("meson"):
        return []
    done = subprocess.run(["meson", "introspect", "--tests", build_folder()], capture_output=True, text=True)
    try:
        known = json.loads(done.stdout)
    except ValueError:  # a build folder that meson does not know: test_all_are_registered fails
        known = []
    return [test for test in known if any("unit" in suite for suite in test["suite"])]


def test_all_are_registered():
    """A test_*.c that tests/meson.build does not name would never run."""
    files = {path.stem.removeprefix("test_") for path in (TESTS / "unit").glob("test_*.c")}
    assert files
    assert files <= {unit["name"] for unit in units()}


@pytest.mark.parametrize("unit", units(), ids=lambda unit: unit["name"])
def test_unit(unit):
    environment = running.clean_environment(**unit["env"])
    done = running.run(unit["cmd"], env=environment, cwd=unit["workdir"], timeout=120)
    assert done.status == 0, f"{done}"
