"""Marks, regions, snapshots and flushes that Python programs ask for."""

import json

from support import marks, running, traces
from support.building import ROOT, TARGETS
from support.chunks import whole_snapshots
from support.running import clean_environment

PROGRAM = TARGETS / "py_marks.py"
SIZES = range(5000, 5100)  # of the blocks that it keeps, which hold a few bytes more or less


def environment():
    return clean_environment(PYTHONPATH=ROOT / "python")


def kept(occurrence):
    return sum(birth in SIZES for birth in occurrence.births)


def test_untraced(python):
    said = json.loads(running.run([python.path, PROGRAM, "all"], env=environment()).ok().out)
    assert said == {"tracing": False, "mark": False, "function": 3, "coroutines": [3, 6], "name": "function",
                    "doc": "says", "is_coroutine": True, "fails": "it does"}
    assert json.loads(running.run([python.path, PROGRAM, "snapshots"], env=environment()).ok().out) == \
        {"numbers": [0] * 4, "flush": False, "turned": True}


def test_without_ctypes(python, record):
    """A Python without it, or a subinterpreter that may not have it, gets functions that do nothing."""
    program = """if True:
        import json, sys
        sys.modules["_ctypes"] = None
        import heapsake
        with heapsake.region("region"):
            watched = object()
            said = [heapsake.tracing(), heapsake.mark("mark"), heapsake.snapshot(), heapsake.flush(),
                    heapsake.watch(watched), heapsake.unwatch(watched)]
        print(json.dumps({"said": said}))
    """
    traced = record([python.path, "-c", program], env=environment())
    assert traced.truth == {"said": [False, False, 0, False, False, False]}


def test_older(other_python):
    """Where Python is not followed, the module does no harm."""
    if other_python.version < (3, 9):
        return
    said = json.loads(running.run([other_python.path, PROGRAM, "all"], env=environment()).ok().out)
    assert said["function"] == 3 and said["tracing"] is False


def test_older_traced(other_python, record):
    if other_python.version < (3, 9) or not other_python.has("ctypes"):
        return
    traced = record([other_python.path, PROGRAM, "all"], env=environment())
    assert traced.truth["function"] == 3 and traced.truth["tracing"] is True
    assert [one.name for one in marks.read(traced.trace)[1].values()][:1] == ["function"]


def test_everything(python, record):
    traced = record([python.path, PROGRAM, "all"], env=environment())
    assert traced.truth == {"tracing": True, "mark": True, "function": 3, "coroutines": [3, 6], "name": "function",
                            "doc": "says", "is_coroutine": True, "fails": "it does"}
    names, occurrences = marks.read(traced.trace.whole(unknown_frees=1 << 20))
    assert names[0] == "begin" and names[1].startswith("x" * 4079 + "#") and len(names) == 2
    found = [(one.name, one.ended, kept(one)) for _, one in sorted(occurrences.items())]
    assert found == [
        ("function", True, 3),
        ("coroutine", True, 9),  # those of both: their turns lie in each other
        ("coroutine", True, 8),  # but what the other one had made before it began
        ("fails", True, 0),
        ("again", True, 3),
        ("again", True, 1),
        ("all", True, 4),
        ("function", True, 4),
        ("bytes \ufffd", True, 1),
        ("lone \\udc80 and \0", True, 1),
        ("7", True, 1),
        ("open", False, 5),
    ]
    assert [one.all_threads for one in occurrences.values()].count(True) == 1


def test_nothing_of_its_own(python, record):
    """What the module allocates for a region is not born in it."""
    traced = record([python.path, PROGRAM, "empty"], env=environment())
    occurrences = marks.read(traced.trace)[1]
    empty = [one for one in occurrences.values() if one.name == "empty"]
    assert len(empty) == 2000
    assert sum(bool(one.births) for one in empty) <= 5, [one.births for one in empty if one.births]


def test_snapshots(python, record):
    traced = record([python.path, PROGRAM, "snapshots"], env=environment())
    assert traced.truth == {"numbers": [1, 2, 3, 4], "flush": True, "turned": True}
    found = whole_snapshots(traced.trace.whole(unknown_frees=1 << 20).path)
    assert [one["reason"] for one in found] == ["asked"] * 4 + ["exit"]


INTERPRETER = """if True:
    import heapsake
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    try:
        number = interpreters.create(isolated=False)  # 3.12: else it may not have ctypes
    except TypeError:
        number = interpreters.create()
    interpreters.run_string(number, "import heapsake; print(heapsake.tracing(), heapsake.snapshot(), flush=True)")
    print(heapsake.snapshot())
"""


def test_another_interpreter(python, record):
    """A subinterpreter's thread takes the snapshot itself: it need not ask for one and wait in vain, with the GIL."""
    traced = record([python.path, "-c", INTERPRETER], env=environment())
    assert traced.result.ok().out == "True 1\n2\n", f"{traced.result}"
    found = whole_snapshots(traced.trace.whole(unknown_frees=1 << 20).path)
    assert [one["reason"] for one in found] == ["asked", "asked", "exit"]


def test_threads_without_gil(python, record):
    traced = record([python.path, PROGRAM, "foreign"], env=environment())
    assert traced.truth == {"results": [1, 2], "held": 3}, f"{traced.result}"


def test_no_snapshots(one_python, record):
    code = "import heapsake\ntry: heapsake.snapshot()\nexcept OSError as e: print(e.errno)"
    assert record([one_python.path, "-c", code], "--no-snapshot", env=environment()).out == "1\n"


def test_attached(python, trace_file, started):
    """A later attach is noticed, and so is its end."""
    process = started([python.path, PROGRAM, "calm"], stdin=-1, env=environment())
    done, trace = marks.attach_meanwhile(process, trace_file, started)
    said = json.loads(done.out)
    names, occurrences = marks.read(trace)
    assert said["traced"] == len(names) and said["not_traced"] > 0, said
    assert (said["at_the_end"], said["snapshot"], said["flush"]) == (False, 0, False)
    ended = [one for one in occurrences.values() if one.ended]
    # What is allocated once the allocators were taken back is not seen, though its region is.
    seen = [kept(one) for one in ended]
    assert len(ended) >= len(occurrences) - 1 and seen == sorted(seen, reverse=True) and set(seen[:4]) == {1}, seen
