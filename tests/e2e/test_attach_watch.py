"""Watches on what is there already, in programs that are attached to, and that nothing of them stays."""

import os
import shlex
import signal

import pytest

from e2e.test_attach import attach, belongings, settled, talk  # noqa: F401 (fixtures)
from e2e.test_watch import only, possible  # noqa: F401 (fixture)
from support import building, counts, traces
from support.building import TARGETS
from support.running import clean_environment

REFS = TARGETS / "refs"
TELLS_BIRTHS = (3, 13)
IMMORTAL = (3, 12)


@pytest.fixture
def counters(target, possible, talk):  # noqa: F811
    return talk([target("refs/attached_counts.c", "-pthread", "-O1")])


@pytest.fixture
def objects(python, possible, talk):  # noqa: F811
    return talk([python.path, REFS / "attached_objects.py"])


def blind_spots(trace):
    return [text for text in trace.summary["blind_spots"] if "watched" in text]


# ---- counters of C programs ----


def test_counters(counters, attach):  # noqa: F811
    """Each change of threads that were there and of those that come: none missing, none invented."""
    where, belongs = counters.ask("where"), belongings(counters.pid)
    before = counters.ask("change 5")
    attached = attach(counters.pid, "--watch", f"addr:{where['counter']},size:8",
                      "--watch", f"addr:{where['narrow']},size:4")
    counters.ask("change 20")
    after = counters.ask("born 10")
    attached.end()
    found = counts.watches(attached.trace)
    assert {seen.begin["address"] for seen in found.values()} == set(where.values())
    for seen, name, function in zip(found.values(), ("counter", "narrow"), ("take", "give")):
        assert seen.counts == list(range(before[name], after[name] + 1)) and seen.reason == "detached"
        assert {event.functions[0] for event in seen.seen} == {function}
        assert len({event.thread for event in seen.seen}) == 8
    assert counters.ask("trap") == {"kernel": "default"}
    settled(counters.pid, belongs)
    counters.ask("change 5")
    assert counters.end()["counter"] == after["counter"] + 20


def test_again(counters, attach, trace_file):  # noqa: F811
    """Nothing of an attach is left in the next one."""
    where, belongs = counters.ask("where"), belongings(counters.pid)
    for number in range(6):
        name = ("counter", "narrow")[number % 2]
        attached = attach(counters.pid, "--watch", f"addr:{where[name]},size:4", path=trace_file.with_name(f"{number}.hsk"))
        after = counters.ask("change 3")
        attached.end()
        assert only(counts.watches(attached.trace)).counts == list(range(after[name] - 12, after[name] + 1))
        settled(counters.pid, belongs)
    assert counters.ask("trap") == {"kernel": "default"}
    counters.end()


def test_freed(counters, attach):  # noqa: F811
    where = counters.ask("where")
    attached = attach(counters.pid, "--watch", f"addr:{where['counter']},size:8")
    after = counters.ask("change 2")
    counters.ask("free")
    attached.end()
    seen = only(counts.watches(attached.trace))
    assert (seen.reason, seen.last) == ("died", after["counter"])
    counters.end()


def test_detach_in_a_storm(counters, attach, trace_file):  # noqa: F811
    """A thread that does nothing but write to what is watched lives on when the handler goes."""
    where, belongs = counters.ask("where"), belongings(counters.pid)
    for number in range(5):
        counters.ask("storm")
        attached = attach(counters.pid, "--watch", f"addr:{where['counter']},size:8",
                          path=trace_file.with_name(f"{number}.hsk"))
        counters.ask("stormed 20")
        attached.end()
        assert counters.ask("trap") == {"kernel": "default"}
        counters.ask("calm")
        settled(counters.pid, belongs)
        seen = only(counts.watches(attached.trace, stacks=False))
        # What it has done while the watchpoint was being aimed is one change, and told by both threads; and so is what
        # it has done since nothing is aimed at it any more.
        assert len(seen.deltas) > 10 and len(seen.deltas) - seen.deltas.count(1) <= 3
    counters.end()


def test_blocked_trap(counters, attach, trace_file):  # noqa: F811
    """A trap that is pending when the process is left would be its end: the handler stays until the next time."""
    where = counters.ask("where")
    attached = attach(counters.pid, "--watch", f"addr:{where['narrow']},size:4")
    blocked = counters.ask("block")
    attached.end()
    assert only(counts.watches(attached.trace)).counts == [blocked["narrow"] - 1, blocked["narrow"]]
    assert counters.ask("trap") == {"kernel": "other"}
    assert counters.ask("unblock") == {"alive": 1}
    again = attach(counters.pid, "--watch", f"addr:{where['narrow']},size:4", path=trace_file.with_name("again.hsk"))
    counters.ask("change 1")
    again.end()
    assert only(counts.watches(again.trace)).deltas == [1] * 4
    assert counters.ask("trap") == {"kernel": "default"}
    counters.end()


def test_handler_of_the_program(counters, attach):  # noqa: F811
    """Set before, it is called meanwhile and stands there afterwards."""
    assert counters.ask("handle") == {"handled": 1}
    where = counters.ask("where")
    attached = attach(counters.pid, "--watch", f"addr:{where['narrow']},size:4")
    assert counters.ask("trap") == {"kernel": "other"}
    assert counters.ask("handle") == {"handled": 2}
    counters.ask("change 1")
    attached.end()
    assert len(only(counts.watches(attached.trace)).seen) == 4
    assert counters.ask("trap") == {"kernel": "program"}
    assert counters.ask("handle") == {"handled": 3}
    counters.end()


def test_handler_set_meanwhile(counters, attach):  # noqa: F811
    where = counters.ask("where")
    attached = attach(counters.pid, "--watch", f"addr:{where['narrow']},size:4")
    assert counters.ask("handle") == {"handled": 1} and counters.ask("trap") == {"kernel": "other"}
    counters.ask("change 1")
    attached.end()
    assert len(only(counts.watches(attached.trace)).seen) == 4
    assert counters.ask("trap") == {"kernel": "program"}
    counters.end()


def test_killed_recorder(counters, attach, trace_file):  # noqa: F811
    """The process is left all the same."""
    where, belongs = counters.ask("where"), belongings(counters.pid)
    attached = attach(counters.pid, "--watch", f"addr:{where['narrow']},size:4")
    counters.ask("change 1")
    os.kill(recorder_of(attached), signal.SIGKILL)
    attached.process.wait()
    settled(counters.pid, belongs)
    assert counters.ask("trap") == {"kernel": "default"}
    counters.ask("change 1")
    again = attach(counters.pid, "--watch", f"addr:{where['narrow']},size:4", path=trace_file.with_name("again.hsk"))
    counters.ask("change 1")
    again.end()
    assert only(counts.watches(again.trace)).deltas == [1] * 4
    counters.end()


def recorder_of(attached):
    from support import running
    return only({pid: pid for pid in running.children_of(attached.process.pid)})


def test_symbol(counters, attach, trace_file):  # noqa: F811
    """Also when another one was asked for before, or a process was left before it was found."""
    for number, spec in enumerate(("symbol:no_such_count_of_narrow", "symbol:narrow,size:4", "symbol:counter", "symbol:narrow")):
        before = counters.ask("change 1")
        attached = attach(counters.pid, "--watch", spec, path=trace_file.with_name(f"{number}.hsk"))
        after = counters.ask("change 1")
        attached.end()
        found, said = counts.watches(attached.trace), blind_spots(attached.trace)
        if "no_such" in spec:
            assert not found and [text for text in said if text.startswith(f"{spec} is not watched: ")]
        elif "narrow" in spec:
            assert only(found).counts == list(range(before["narrow"], after["narrow"] + 1)) and not said
        else:
            assert only(found).counts[:1] == [int(counters.ask("where")["counter"], 16)] and not said
    counters.end()


def test_long_symbol(counters, attach):  # noqa: F811
    """Names of C++ may be longer than what one would set aside for a name."""
    spec = "symbol:" + 400 * "n"
    attached = attach(counters.pid, "--watch", spec)
    attached.end()
    said = only(dict(enumerate(blind_spots(attached.trace))))
    assert said.startswith(spec[:300]) and said.endswith(" is not watched: no module that is loaded has it.")
    counters.end()


@pytest.mark.parametrize("spec, words", [
    ("addr:0x10000,size:8", "no memory"),
    ("addr:{narrow}", "no Python runs"),
    ("symbol:nowhere", "no module"),
    ("type:Item", "no Python runs"),
    ("symbol:main", "no module"),
])
def test_what_cannot_be(counters, attach, spec, words):  # noqa: F811
    spec = spec.format(**counters.ask("where"))
    attached = attach(counters.pid, "--watch", spec)
    attached.end()
    said = only(dict(enumerate(blind_spots(attached.trace))))
    assert said.startswith(spec + " is not watched: ") and words in said
    assert not counts.watches(attached.trace)
    counters.end()


def test_wrong_specs(tmp_path):
    for spec, words in (("addr:", "needs an address"), ("addr:0x1002,size:4", "multiple of N"),
                        ("addr:0x1000,every:2", "every: goes with"), ("addr:0x1000,type:A", "stand alone")):
        done = traces.heapsake("attach", "-o", tmp_path / "t.hsk", "--watch", spec, str(os.getpid()))
        assert done.status == traces.EXIT_USAGE and done.err.startswith(f"heapsake: attach: --watch {spec}: ")
        assert words in done.err and not list(tmp_path.iterdir())


# ---- Python objects ----


def test_object(objects, attach):  # noqa: F811
    """What was made long before: every change of its count, its type, and its end."""
    where, belongs = objects.ask("where"), belongings(objects.pid)
    attached = attach(objects.pid, "--watch", f"addr:{where['item']}")
    after = objects.ask("change 200")
    objects.ask("drop")
    attached.end()
    seen = only(counts.watches(attached.trace))
    assert (seen.type, seen.begin["address"], seen.born) == ("__main__.Item", where["item"], False)
    assert all(abs(delta) == 1 for delta in seen.deltas) and len(seen.seen) >= 4 * 2 * 200
    assert (seen.begin["count"], after["count"], seen.last, seen.reason) == (1, 1, 0, "died")
    takers = {frame["function"] for event in seen.seen for frame in event.stack if frame["language"] == "python"}
    assert "take_and_drop" in takers and len({event.thread for event in seen.seen}) >= 2
    told = traces.heapsake("refs", attached.trace.path, where["item"]).ok().out
    assert "__main__.Item" in told and "take_and_drop" in told
    settled(objects.pid, belongs)
    assert objects.end() == {"count": 0}


def test_births(python, objects, attach, trace_file):  # noqa: F811
    """Objects of a site, from their births on. What an attach knew of stacks means nothing to the next one."""
    for number, site in enumerate(("nowhere", "make", "nowhere", "make")):
        attached = attach(objects.pid, "--watch", f"type:Item,site:{site},every:1", path=trace_file.with_name(f"{number}.hsk"))
        objects.ask("make 30")
        attached.end()
        found = [seen for seen in counts.watches(attached.trace).values() if seen.born]
        assert len(found) >= (0 if site == "nowhere" else 30 if python.version >= TELLS_BIRTHS else 25)
        assert all(seen.last == 0 and seen.reason == "died" for seen in found)
        assert {seen.birthplace["function"] for seen in found} == ({"make"} if site == "make" else set())
        said = [text for text in blind_spots(attached.trace) if text.startswith("type:Item,site:")]
        assert ["no birth of such an object was seen" in text for text in said] == [True] * (site == "nowhere")
    objects.end()


@pytest.mark.parametrize("stripped", [False, True])
def test_two_commands(python, possible, talk, attach, tmp_path, stripped):  # noqa: F811
    """From a running process to the function that forgets its Py_DECREF: `leaks` prints the attach that finds it."""
    try:
        folder = building.extension("refs/refbugs.c", python, *(["-s"] if stripped else [])).parent
    except building.CannotBuild as trouble:
        pytest.skip(str(trouble))
    program = talk([python.path, REFS / "attached_objects.py"], env=clean_environment(PYTHONPATH=folder))
    attached = attach(program.pid)
    program.ask("leak 60")
    attached.end()
    leak = only({leak["number"]: leak for leak in attached.trace.leaks["leaks"] if leak["type"] == "__main__.Entry"})
    assert leak["cause"] == "over-referenced" and leak["count"] == 60
    words = shlex.split(attached.trace.leaks["next"])
    watched = attached.trace.path.with_name("t.watch.hsk")
    assert words == ["heapsake", "attach", "--watch", f"leak:{attached.trace.path}#{leak['number']}", "--duration", words[5],
                     "-o", str(watched), str(program.pid)] and int(words[5]) >= 1
    again = attach(program.pid, *words[2:4], path=watched)
    culprit = program.ask("leak 60")["culprit"]
    again.end()
    leak = only({leak["number"]: leak for leak in again.trace.leaks["leaks"] if leak["type"] == "__main__.Entry"})
    assert leak["evidence"]["charged"] >= 1, leak
    if stripped:  # as packages are: the place is all that is known
        address = leak["culprit"]["function"]
        assert address.startswith("0x") and f"a reference that {address} in refbugs.so took" in leak["explanation"]
        assert "heapsake symbolize" in leak["explanation"]
    else:
        assert leak["culprit"]["function"] == culprit and f"{culprit} (" in leak["explanation"]
        assert "symbolize" not in leak["explanation"]
    program.end()


def test_no_object(python, objects, attach):  # noqa: F811
    where = objects.ask("where")
    wrong = {f"addr:{int(where['item'], 16) + 8:#x}": "no Python object", "addr:0x10000": "no Python object"}
    if python.version >= IMMORTAL:
        wrong[f"addr:{where['true']}"] = "lives for ever"
    attached = attach(objects.pid, *(word for spec in wrong for word in ("--watch", spec)))
    objects.ask("change 5")
    attached.end()
    said = dict(text.split(" is not watched: ") for text in blind_spots(attached.trace) if " is not watched: " in text)
    assert said.keys() == wrong.keys()
    assert all(words in said[spec] for spec, words in wrong.items()), said
    assert not counts.watches(attached.trace)
    objects.end()


def test_types_that_go_unseen(python, possible, talk, attach):  # noqa: F811
    """While tracemalloc has taken the allocators away, other types come to where those were that are known."""
    program = talk([python.path, REFS / "forgotten_types.py"])
    attached = attach(program.pid, "--watch", "type:Wanted,every:1")
    program.ask("made")
    reused = program.ask("swap")["reused"]
    assert reused >= 3 and program.ask("use") == {"born": reused}
    attached.end()
    program.end()
    found = counts.watches(attached.trace, stacks=False)
    assert len(found) == reused and {seen.type for seen in found.values()} == {"__main__.Wanted"}
