"""bench/attach_rounds.py, shortened: its own programs, attached to and left a few rounds each."""

import importlib.util

import pytest

from support import building, traces

ROUNDS = 3

_spec = importlib.util.spec_from_file_location("attach_rounds", building.ROOT / "bench" / "attach_rounds.py")
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)


def rounds(start, folder):
    """Each one stops a thread, and nothing else is to be noticed."""
    done = bench.Rounds(start, traces.heapsake_binary(), ROUNDS, folder)
    assert not done.wrong and len(done.stopped) == ROUNDS, f"{done}"
    assert max(done.stopped) < 1000, f"{done}"  # a machine that is busy is not what is measured here


@pytest.mark.parametrize("kind", bench.NATIVE_KINDS)
def test_native(target, tmp_path, kind):
    target("attached.c", "-pthread")  # skips where there is no compiler
    rounds(bench.native(kind, tmp_path), tmp_path)


@pytest.mark.parametrize("kind", [*bench.PYTHON_KINDS, "gunicorn"])
def test_every_kind(one_python, tmp_path, kind):
    if kind == "gunicorn" and not one_python.has("gunicorn"):
        pytest.skip("gunicorn is not installed")
    rounds(bench.of_python(one_python.path, kind, tmp_path), tmp_path)


@pytest.mark.parametrize("kind", ["objects", "select"])
def test_every_version(python, tmp_path, kind):
    """One that works all the time and one that sleeps."""
    rounds(bench.of_python(python.path, kind, tmp_path), tmp_path)
