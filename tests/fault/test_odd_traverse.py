"""Extensions whose tp_traverse crashes, aborts, or visits what is no object: the rest of the snapshot is as ever."""

import pytest

from support import building, running, traces
from support.chunks import whole_snapshots

# What cannot be read is said once; what crashes makes its own object opaque.
SAID = {"visits_low", "visits_high", "visits_odd", "visits_text", "visits_middle", "visits_unmapped"}
KINDS = ["faults", "aborts", "breaks", "recurses", "visits_null", "visits_low", "visits_high", "visits_odd",
         "visits_text", "visits_middle", "visits_unmapped", "counts", "allocates", "raises", "exhausts"]


def run(python, trace_file, *kinds):
    try:
        folder = building.extension("odd_traverse.c", python).parent
    except building.CannotBuild as reason:
        pytest.skip(str(reason))
    done = running.run([*traces.command(trace_file), python.path, building.TARGETS / "py_odd_traverse.py", *kinds],
                       env=traces.clean_environment(PYTHONPATH=folder))
    assert done.status == 0 and done.out == f"{3 * len(kinds)} True\n", f"{done}"
    (found,) = whole_snapshots(trace_file)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each(one_python, trace_file, kind):
    found = run(one_python, trace_file, kind)
    assert any("could not be read" in problem for problem in found.get("problems", [])) == (kind in SAID), found
    assert traces.Trace(trace_file).why("__main__.Marker")["count"] == 40


def test_all_at_once(python, trace_file):
    run(python, trace_file, *KINDS)
    assert traces.Trace(trace_file).why("__main__.Marker")["count"] == 40
