"""Marks, regions, snapshots and flushes that C and C++ programs ask for."""

import json
import os
import signal

import pytest

from support import marks, running, traces
from support.chunks import whole_snapshots
from support.building import ROOT
from support.running import first_line
from support.traces import the_recorder

SIZE = 5003
NOT_TRACED = -107
INCLUDE = f"-I{ROOT / 'include'}"


@pytest.fixture
def program(target):
    return target("marks.c", INCLUDE, "-pthread")


def test_nested(program, record):
    traced = record([program, "nested"])
    assert traced.truth == {"traced": 1, "outer": 1, "mark": 0, "ended": 0, "again": 0, "open": 1, "flags": -22,
                            "none": -22, "negative": NOT_TRACED, "flush": 0}
    trace = traced.trace.whole()
    assert marks.regions(trace, SIZE) == [("outer", True, 3), ("inner \x1b[31m\ufffd", True, 6), ("open", False, 8)]
    assert marks.read(trace)[0] == ["middle", "middle"]
    assert marks.read(trace)[1][2].all_threads and not marks.read(trace)[1][1].all_threads
    assert "\x1b" not in traces.heapsake("dump", trace.path).ok().out


def test_untraced(program):
    said = running.run([program, "nested"]).ok()
    assert '"traced": 0, "outer": 0' in said.out and f'"flush": {NOT_TRACED}' in said.out


@pytest.mark.parametrize("count", [2, 5])
def test_threads(program, record, count):
    """Regions of threads are their own; those of all threads begin and end exactly between what threads do in turn."""
    traced = record([program, "threads", count])
    found = marks.read(traced.trace.whole())[1]
    own = {one.name: one for one in found.values() if one.name != "passed on"}
    assert set(own) == {f"thread {number}" for number in range(count)} and all(one.ended for one in own.values())
    assert len({one.thread for one in own.values()}) == count
    assert sum(one.births.count(SIZE) for one in own.values()) == traced.truth["turns"]
    passed_on = [one for one in found.values() if one.name == "passed on"]
    assert len(passed_on) == traced.truth["turns"]
    assert [one.ended for one in passed_on] == [True] * (len(passed_on) - 1) + [False]
    for one in passed_on[:-1]:
        assert (one.births.count(SIZE), one.births.count(SIZE + 1)) == (1, 0), one


def test_fork(program, record):
    """A child has regions of its own; its parent's end in the parent alone."""
    traced = record([program, "fork"])
    said = traced.truth
    assert said == {"pid": said["pid"], "ended": 0, "own": 1, "snapshot": 1, "flush": 0}
    assert marks.regions(traced.trace.whole(), SIZE) == [("before", True, 5)]
    child = traced.trace.child_of_pid(said["pid"])
    assert marks.regions(child, SIZE) == [("child", True, 2)]
    assert marks.read(child)[0] == [] and marks.read(traced.trace)[0] == ["parent"]


def test_exec(program, record):
    traced = record([program, "exec", program])
    assert [one[0] for one in marks.regions(traced.trace, SIZE)] == ["outer", "inner \x1b[31m\ufffd", "open"]
    before, = traced.trace.children()
    assert marks.regions(before) == [("before", False, 0)] or marks.regions(before)[0][:2] == ("before", False)


def test_cxx(target, record):
    traced = record([target("marks_cxx.cpp", INCLUDE, "-pthread")])
    assert traced.status == 0, f"{traced.result}"
    found = marks.regions(traced.trace.whole())
    assert [(name, ended) for name, ended, _ in found] == [("outer", True), ("fails", True), ("all", True), ("other", True)]
    births = {one.name: one.births for one in marks.read(traced.trace)[1].values()}
    assert SIZE in births["fails"] and SIZE in births["outer"] and SIZE not in births["all"]
    assert 5005 in births["all"] and 5005 not in births["outer"] and 5005 not in births["other"]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("standard", ["gnu89", "c99", "c17", "c++98", "c++11", "c++20"])
def test_dialects(target, record, compiler, standard):
    """The header serves every dialect, warns of nothing, and may be in several translation units."""
    source = "marks_dialects.c"
    if "++" in standard:
        source, compiler = "marks_dialects.cpp", {"gcc": "g++", "clang": "clang++"}[compiler]
    flags = [INCLUDE, f"-std={standard}", "-pedantic", "-Wshadow", "-Wconversion", "-Werror", "-O2"]
    if compiler.startswith("clang"):
        flags.append("-Wno-unknown-warning-option")  # what all targets are compiled with is gcc's
    second = target(source, *flags, "-DSECOND", "-c", compiler=compiler)
    traced = record([target(source, *flags, "-x", "none", second, compiler=compiler)])
    assert [(name, ended) for name, ended, _ in marks.regions(traced.trace.whole(), SIZE)] == [
        ("first", True), ("second", True), ("early", True)]


def test_first_marks_at_once(target, record):
    """While one thread looks for the library, the marks of others are not lost."""
    assert record([target("marks_first.c", INCLUDE, "-pthread")]).truth == {"rounds refused": 0}


def test_names(program, record):
    traced = record([program, "names", 3])
    names = marks.read(traced.trace.whole())[0]
    assert names[:3] == ["name 0", "name 1", "name 2"] and names[3] == "x" * 4096
    assert names[4] != names[5] and len(names[4]) == len(names[5]) == 4096
    assert names[4][:-17] == "x" * 4079 and names[4][-17] == "#"
    assert names[6].startswith("\xf6" * 2039) and names[6][2039] == "#" and len(names[6]) == 2039 + 17
    assert names[7] == ""


def test_many_names(program, trace_file, started):
    """A hundred thousand names are in the trace, and neither in the program's memory nor in the recorder's."""
    process = started([*traces.command(trace_file), program, "names", 100000])
    done = running.finish(process, timeout=120)
    assert done.status == 0 and '"flush": 0' in done.out, f"{done}"
    trace = traces.Trace(trace_file).whole()
    names = marks.read(trace)[0]
    assert names[:100000] == [f"name {number}" for number in range(100000)]


# ---- snapshots and flushes ----


def test_snapshots(program, record):
    """Each is whole when the call returns, also when two threads ask at once, and has a number of its own."""
    traced = record([program, "snapshot", 8])
    assert sorted(traced.truth) == list(range(1, 17))
    found = whole_snapshots(traced.trace.whole().path)
    assert [one["reason"] for one in found] == ["asked"] * 16 + ["exit"]
    assert marks.read(traced.trace)[0] == ["taken"] * 16


def test_no_snapshots(program, record):
    assert set(record([program, "snapshot", 2], "--no-snapshot").truth) == {-1}


def taking(program, trace_file, started):
    """The program, about to wait for a snapshot, and its recorder's pid."""
    process = started([*traces.command(trace_file), program, "kill"], stdin=-1)
    first_line(process)
    recorder = the_recorder(process, trace_file)
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert first_line(process).strip() == "taking"
    return process, recorder


def test_flushed(program, trace_file, started):
    """What was there before the flush can be read while the program runs."""
    process, _ = taking(program, trace_file, started)
    assert len(whole_snapshots(trace_file)) >= 3
    running.end(process)


def test_recorder_killed(program, trace_file, started):
    """While a snapshot is waited for: the call returns, and so does everything after it."""
    process, recorder = taking(program, trace_file, started)
    os.kill(recorder, signal.SIGKILL)
    done = running.finish(process, timeout=60)
    assert done.status == 0, f"{done}"
    said = json.loads(done.out.splitlines()[-1])
    assert said == {"code": NOT_TRACED, "flush": NOT_TRACED, "mark": NOT_TRACED, "tracing": 0}


@pytest.mark.slow  # twice the ten seconds
def test_recorder_stopped_for_long(program, trace_file, started):
    """A recorder that stands still is not waited for without end."""
    process, recorder = taking(program, trace_file, started)
    os.kill(recorder, signal.SIGSTOP)
    try:
        said = json.loads(first_line(process))
    finally:
        os.kill(recorder, signal.SIGCONT)
    assert said["code"] == -110 and said["flush"] == -110, said
    running.finish(process)


# ---- attached ----


def test_attached(program, trace_file, started):
    """A later attach is noticed, and so is its end."""
    process = started([program, "calm"], stdin=-1)
    done, trace = marks.attach_meanwhile(process, trace_file, started)
    assert done.status == 0, f"{done}"
    said = json.loads(done.out)
    names, occurrences = marks.read(trace)
    assert said["traced"] == len(names) and said["not_traced"] > 0 and said["at_the_end"] == 0, said
    seen = [one.births.count(SIZE) for one in occurrences.values() if one.ended]
    assert len(seen) >= len(occurrences) - 1 and seen == sorted(seen, reverse=True) and set(seen[:4]) == {1}, seen
