"""The snapshot at the end: taken however a program ends, after its own exit functions and before the teardown."""

import pytest

from support import leak_programs, traces

TELLS_BIRTHS = (3, 13)
PROGRAM = leak_programs.FOLDER / "endings.py"


def markers(trace, module="__main__"):
    """How many Markers the last snapshot holds; a path is known for one of them."""
    live = [row["live"] for row in trace.json("objects")["types"] if row["type"] == f"{module}.Marker"]
    if not live or not live[0]:
        return 0
    path = trace.why(f"{module}.Marker")["paths"][0]
    assert any("markers" in edge["name"] for edge in path["edges"]), path
    return live[0]


@pytest.mark.parametrize("how, status, count", [
    ("falls_off", 0, 40), ("sys_exit", 7, 40), ("unhandled", 1, 40), ("os_exit", 9, 40), ("atexit_error", 0, 40),
    ("atexit_forgets", 0, 0),
])
def test_end(python, same, how, status, count):
    traced = same([python.path, PROGRAM, how])
    assert traced.status == status
    assert markers(traced.trace) == count


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_multiprocessing_child(python, same, how):
    if not python.has("_multiprocessing"):
        pytest.skip("this interpreter has no multiprocessing")
    traced = same([python.path, PROGRAM, how])
    if traced.status:  # untraced too: `same` has compared
        pytest.skip(f"multiprocessing itself does not work here: {traced.err.splitlines()[-1:]}")
    assert markers(traced.trace) == 40
    module, count = ("__main__", 110) if how == "fork" else ("__mp_main__", 70)
    if python.version >= TELLS_BIRTHS:  # what the parent has made is no birth of the child's
        count = 70
    found = [markers(traces.settled(child), module) for child in traced.trace.children()]
    assert count in found, found


def test_none_is_taken(one_python, same):
    """--no-snapshot: the program is the same, and what needs a snapshot says that there is none."""
    traced = same([one_python.path, PROGRAM, "falls_off"], "--no-snapshot")
    done = traces.heapsake("why", traced.trace.path, "__main__.Marker")
    assert done.status == traces.EXIT_UNUSABLE
    assert done.out == "" and "snapshot" in done.err and done.err.count("\n") == 1
