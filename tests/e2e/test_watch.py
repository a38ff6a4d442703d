"""Watches: every change of a count against what programs know of their counts."""

import collections
import json
import os
import resource

import pytest

from support import building, counts, running, traces
from support.building import TARGETS
from support.running import clean_environment

REFS = TARGETS / "refs"
OBJECTS = 1000
TELLS_BIRTHS = (3, 13)


@pytest.fixture(scope="session")
def possible(target):
    """Are there watchpoints here? `run` itself says when not."""
    done = running.run([traces.heapsake_binary(), "run", "--force", "-o", os.devnull, "--watch", "type:X", "--", "/bin/true"])
    if "counts cannot be watched" in done.err:
        pytest.skip(done.err.splitlines()[0])


@pytest.fixture
def counter(target, possible):
    return target("refs/counter.c", "-O1")


@pytest.fixture
def watch(record, possible):
    """watch(argv, *specs) runs argv and gives its truth and {number: Watch}."""
    def go(argv, *specs, options=(), status=0, stacks=True, **more):
        words = [word for spec in specs for word in ("--watch", spec)]
        traced = record(argv, *words, *options, **more)
        assert traced.status == status, f"{traced.result}"
        return traced, counts.watches(traced.trace, stacks)
    return go


def only(found):
    assert len(found) == 1, found
    return next(iter(found.values()))


# ---- counters of C programs ----

def test_each_change(watch, counter):
    traced, found = watch([counter, "single", "300"])
    truth, seen = traced.truth, only(found)
    assert truth["code"] == 0 and seen.begin["request"] is None and seen.end is None
    assert seen.counts == [*range(1, 302), *range(300, 1, -1)]
    assert [event.functions[0] for event in seen.seen] == ["take"] * 300 + ["give"] * 299
    assert all(event.functions[1] == "main" for event in seen.seen)
    assert {event.stack[0]["line"] for event in seen.seen[:300]} != {event.stack[0]["line"] for event in seen.seen[300:]}


def test_under_a_lock(watch, counter):
    """Four threads: each change is seen by itself, in the order in which they happened."""
    traced, found = watch([counter, "locked", "500"])
    truth, seen = traced.truth, only(found)
    assert len(seen.seen) == truth["changes"] == 2000
    assert all((delta, event.functions[0]) in ((1, "take"), (-1, "give")) for delta, event in seen.changes())
    assert seen.last == truth["final"]
    assert len({event.thread for event in seen.seen}) == 4


def test_by_atomics(watch, counter):
    """Two changes at one moment may both show what both have made of it; none is missing, and the sum is right."""
    traced, found = watch([counter, "atomic", "500"])
    truth, seen = traced.truth, only(found)
    assert len(seen.seen) == truth["changes"] == 2000
    assert seen.last % 2 ** 64 == truth["final"] % 2 ** 64


def test_sizes(watch, counter):
    traced, found = watch([counter, "sizes"])
    assert traced.truth["code"] == 0
    assert [seen.begin["bytes"] for seen in found.values()] == [8, 4, 2, 1]
    assert [seen.last for seen in found.values()] == traced.truth["finals"]
    assert all(len(seen.seen) == 1 for seen in found.values())


@pytest.mark.parametrize("mode, index", [("freed", 0), ("moved", 0), ("unmapped", 1)])
def test_memory_that_goes(watch, counter, mode, index):
    traced, found = watch([counter, mode])
    seen = list(found.values())[index]
    assert traced.truth["code"] == 0
    assert (len(seen.seen), seen.last, seen.reason) == (1, traced.truth["final"], "died")


def test_four_at_a_time(watch, counter):
    traced, found = watch([counter, "most"])
    truth = traced.truth
    assert truth == {"codes": [0, 0, 0, 0, -16], "again": 0, "gone": 0, "freed": 0, "missing": -2}
    assert [(len(seen.seen), seen.reason) for seen in found.values()] == [(1, None), (0, "asked"), (1, None), (1, None),
                                                                        (1, None)]


def test_what_cannot_be(watch, counter):
    traced, found = watch([counter, "wrong"])
    assert traced.truth == {"codes": [-22, -22, -22, -22, -2]} and not found


def test_untraced(counter):
    assert json.loads(running.run([counter, "single", "10"]).ok().out)["code"] == -107


def test_fork(watch, counter):
    """What the parent watches, its child does not; the child may watch its own."""
    traced, found = watch([counter, "fork"])
    pid, code = traced.err.split()[:2]
    assert only(found).last == traced.truth["final"] == 2 and code == "0"
    child = only(counts.watches(traced.trace.child_of_pid(int(pid))))
    assert child.counts == [0, 1]


def test_closed_descriptors(watch, counter):
    """A program that closes everything ends its watches, keeps its own descriptors, and may begin anew."""
    traced, found = watch([counter, "closed"])
    truth = traced.truth
    assert (truth["code"], truth["again"]) == (0, 0) and truth["there"] == truth["count"] > 100
    first, second = found.values()
    assert (first.last, first.reason) == (2, "failed") and second.counts == [0, 1]


def test_blocked_signals(watch, counter):
    """While SIGTRAP is blocked nothing is told; the next change tells the sum, and the program lives."""
    traced, found = watch([counter, "blocked"])
    assert only(found).counts == [1, 102] and traced.truth["final"] == 102


def test_small_alternate_stack(watch, counter):
    """It is the program's: a hit fits in beside the kernel's frame, and is told with its stack."""
    traced, found = watch([counter, "alternate"])
    truth, seen = traced.truth, only(found)
    assert (truth["written_below"], truth["final"]) == (0, 101) and seen.counts == list(range(1, 102))
    assert all(event.functions[:2] == ["take", "on_alternate"] for event in seen.seen)


def test_many_threads(watch, counter):
    """Our descriptors lie above the program's limit, which stays: it has all of its own, however many threads it has."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 100 + 4 * 501:
        pytest.skip(f"no more than {hard} descriptors can be had here")
    traced, found = watch([counter, "horde"])
    assert traced.truth == {"code": 0, "taken": 0, "limit_kept": 1, "final": 501}
    assert only(found).counts == list(range(1, 502))


def test_descriptors_stay(watch, counter):
    """Where the limit cannot be raised, a program with many threads is not watched rather than left without descriptors."""
    traced, found = watch([counter, "crowd"])
    assert traced.truth["code"] == -24 and traced.truth["free"] > 700 and not found


def test_symbol(watch, counter):
    """A variable that the program does not export."""
    traced, found = watch([counter, "global", "100"], "symbol:global_count")
    seen = only(found)
    assert seen.counts == list(range(1, 102)) and seen.begin["bytes"] == 4 and seen.begin["request"] == 0
    assert traced.truth["final"] == seen.last


def test_missing_symbol(watch, counter):
    traced, found = watch([counter, "global", "10"], "symbol:no_such_count")
    assert not found
    assert [spot for spot in traced.trace.summary["blind_spots"] if "no_such_count" in spot]


# ---- the program's own SIGTRAP ----

@pytest.mark.parametrize("mode", ["handler", "info", "query", "ignored", "default", "breakpoint", "ignored_breakpoint",
                                  "wait", "wait_all"])
def test_own_trap(same, target, possible, mode):
    traced = same([target("refs/own_trap.c", "-O1"), mode], check=False)
    seen = only(counts.watches(traced.trace))
    assert seen.counts == list(range(len(seen.counts))) and seen.last >= 1


def test_where_it_is_forbidden(target, counter, trace_file):
    """The program runs, the rest is recorded, and one line says what is missing and what helps."""
    done = running.run([target("refs/no_perf.c"), *traces.command(trace_file, "--watch", "symbol:global_count"), counter,
                        "global", "10"])
    assert json.loads(done.ok().out)["final"] == 11
    said = [line for line in done.err.splitlines() if line.startswith("heapsake: counts cannot be watched")]
    assert len(said) == 1 and "seccomp" in said[0]
    trace = traces.Trace(trace_file)
    assert trace.summary["events"]["allocations"] >= 1 and not counts.watches(trace)
    assert sum("Counts are not watched" in spot for spot in trace.summary["blind_spots"]) == 1
    done = running.run([target("refs/no_perf.c"), *traces.command(trace_file, "--force"), counter, "single", "10"])
    assert json.loads(done.ok().out)["code"] == -1


# ---- Python objects ----

def test_objects_asked_for(python, watch):
    """1000 objects, random changes in four threads: each change is one reference, and the sum is the count."""
    traced, found = watch([python.path, REFS / "watched.py", "asked", OBJECTS], stacks=False, timeout=240)
    truth = traced.truth["objects"]
    assert len(truth) == len(found) == OBJECTS and all(one["code"] == 0 for one in truth)
    for one, seen in zip(truth, found.values()):
        assert seen.address == one["address"] and seen.type == "__main__.Item" and seen.reason == "asked"
        assert seen.last == seen.end["count"] == one["final"], (seen, one)
        assert seen.begin["count"] + sum(seen.deltas) == one["final"]
        assert set(seen.deltas) <= {1, -1}, seen
    threads = collections.Counter(event.thread for seen in found.values() for event in seen.seen)
    assert len(threads) >= 5 and sum(threads.values()) > 10 * OBJECTS


@pytest.mark.parametrize("options", [(), ("--no-objects",), ("--no-snapshot",), ("--native",)],
                         ids=lambda options: options[0][2:] if options else "plain")
def test_objects_from_birth_to_death(python, watch, options):
    number = OBJECTS if not options else 100
    traced, found = watch([python.path, REFS / "watched.py", "born", number], "type:__main__.Item,every:1",
                          options=options, stacks=False, timeout=240)
    truth = traced.truth
    assert len(found) == truth["born"] == number
    ends = collections.Counter(seen.reason for seen in found.values())
    assert ends == {"died": number - 3, None: 3}
    born = sum(seen.born for seen in found.values())
    assert born >= number - 1  # before 3.13 the first one is looked at when it is there already
    for seen in found.values():
        assert seen.type == "__main__.Item" and set(seen.deltas) <= {1, -1}
        assert seen.birthplace is not None
        if seen.reason:
            assert seen.last == seen.end["count"] == 0
    alive = {seen.address: seen.last for seen in found.values() if not seen.reason}
    assert alive == truth["kept"]


def test_site_of_a_line(python, watch):
    spec = f"site:watched.py:{line_of('return Item(1)')},every:1"
    traced, found = watch([python.path, REFS / "watched.py", "sites", "5"], spec)
    assert traced.truth["line"] == line_of("return Item(1)")
    assert found and {seen.birthplace["function"] for seen in found.values()} == {"here"}
    assert "__main__.Item" in {seen.type for seen in found.values()}


def line_of(text):
    lines = (REFS / "watched.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize("spec, function", [("there", "Shop.there"), ("Shop.there", "Shop.there"), ("here", "here")])
def test_site_of_a_function(python, watch, spec, function):
    _, found = watch([python.path, REFS / "watched.py", "sites", "5"], f"type:Item,site:{spec},every:1")
    assert len(found) == 4
    for seen in found.values():
        assert seen.type == "__main__.Item" and seen.birthplace["function"] == function


def test_sites_that_are_elsewhere(python, watch):
    _, found = watch([python.path, REFS / "watched.py", "sites", "5"], "type:Item,site:er", "site:atched.py:1",
                     "type:Ite", "type:other.Item")
    assert not found


def test_one_in_many(python, watch):
    """every:N: the first, then any one of each N that can be afforded; the dead give their places to the next."""
    traced, found = watch([python.path, REFS / "watched.py", "born", "100"], "type:Item,every:10")
    assert traced.truth["born"] == 100
    assert 7 <= len(found) <= 10, len(found)
    born = [seen for seen in found.values()]
    assert all(seen.begin["request"] == 0 for seen in born)


def test_rare_ones_of_a_line(python, watch):
    """Of a line where nearly all objects are of other classes: a sample meets some of the others, every:1 all."""
    rare = 1500
    for spec in ("type:Item", "type:Item,every:1"):
        traced, found = watch([python.path, REFS / "watched.py", "mixed", rare], spec, options=("--force",), stacks=False)
        assert traced.truth["rare"] == rare and len(found) >= 3, len(found)
        assert all(seen.type == "__main__.Item" and seen.reason == "died" for seen in found.values())
        assert len(found) == rare or not spec.endswith(",every:1")


def test_interpreters_with_their_own_locks(python, watch):
    """What several interpreters do at once is told of each object as if it were alone."""
    traced, found = watch([python.path, REFS / "interpreters.py", "500"], "type:Item,every:1", stacks=False)
    assert traced.truth["born"] == 2000 and 100 < len(found) <= 2000, len(found)
    for seen in found.values():
        assert seen.type == "__main__.Item" and set(seen.deltas) <= {1, -1}
        # "replaced": an interpreter did not get the processor for a second
        assert (seen.reason == "died" and seen.last == 0) or seen.reason == "replaced"


def test_any_of_a_round(python, watch):
    """What a victim may cost becomes free in the pause before each round: its first birth is not the only one chosen."""
    _, found = watch([python.path, REFS / "watched.py", "rounds", "2000"], "type:Item")
    lines = collections.Counter(seen.birthplace["line"] for seen in found.values())
    first, second = (lines[line_of(f"# {which}")] for which in ("first", "second"))
    assert first and second, lines


def test_a_sample_that_has_told_enough(python, watch):
    """Ten thousand changes are enough of one object; every:1 wants all."""
    for spec, reason in (("type:Item", "busy"), ("type:Item,every:1", "died")):
        _, found = watch([python.path, REFS / "watched.py", "busy", "10000"], spec, options=("--force",), stacks=False)
        first = found[1]
        assert first.reason == reason and set(first.deltas) <= {1, -1}
        assert len(first.seen) == 10000 if reason == "busy" else len(first.seen) > 10000


def test_the_cold_give_way(python, watch):
    """What was not touched for a second gives its watchpoint to the next that matches."""
    _, found = watch([python.path, REFS / "watched.py", "cold", "3"], "type:Item,every:1", "type:Late,every:1",
                     stacks=False)
    late = [seen for seen in found.values() if seen.type == "__main__.Late"]
    assert len(late) == 2, found  # two requests share four watchpoints
    first = [seen for seen in found.values() if seen.type == "__main__.Item"]
    assert len(first) == 2 and all(seen.last == 0 for seen in first)
    _, found = watch([python.path, REFS / "watched.py", "cold", "3"], "site:cold,every:1", options=("--force",),
                     stacks=False)
    assert any(seen.reason == "replaced" for seen in found.values()), found


def test_the_cold_where_watching_costs(python, watch):
    """Where an armed watchpoint slows the program down, it is not kept for what does not change; every:1 keeps it."""
    doctor = running.run([traces.heapsake_binary(), "doctor", "--json"])
    checks = {check["name"]: check["detail"] for check in json.loads(doctor.out)["checks"]}
    costs = "slower" in checks["watchpoints"]
    for spec, reason in (("type:Item", "cold" if costs else "died"), ("type:Item,every:1", "died")):
        _, found = watch([python.path, REFS / "watched.py", "cold_and_busy", "3"], spec, options=("--force",), stacks=False)
        assert only(found).reason == reason, found


def test_children_watch_too(python, watch):
    traced, found = watch([python.path, REFS / "watched.py", "children", "3"], "type:Item,every:1")
    child = counts.watches(traced.trace.child_of_pid(traced.truth["child"]))
    for watches in (found, child):
        assert len(watches) == 3
        assert all(seen.reason == "died" and seen.last == 0 for seen in watches.values())


@pytest.mark.parametrize("asked", ["type:Made7", "type:Made7,site:types"])
def test_types_that_a_child_makes(python, watch, asked):
    """What is asked for is asked for in a child, too, whose session is another one."""
    traced, found = watch([python.path, REFS / "watched.py", "types", "20"], f"{asked},every:1")
    child = counts.watches(traced.trace.child_of_pid(traced.truth["child"]))
    assert traced.truth["status"] == 7 << 8 and not found
    assert only(child).type == "__main__.Made7"
    assert not unborn(traced.trace)  # though nothing was born in this one


def unborn(trace, screen=None):
    """Of which SPECs a trace says that nothing was born; the closing screen, where that is given, says the same."""
    said = [text for text in trace.summary["blind_spots"] if " is not watched: " in text]
    assert screen is None or [line.strip() for line in screen.splitlines() if " is not watched: " in line] == said
    return dict(text.split(" is not watched: ") for text in said)


def tells_that_none(python, words):
    """So much for the names. Where births are guessed, that is a part of the sentence."""
    return words.startswith("no birth of such an object was seen") and \
        ("some are missed" in words) == (python.version < TELLS_BIRTHS)


SPARE = """
import os, signal, sys
class Item: pass
kept = [Item() for _ in range(100)]
if sys.argv[1] == "killed": os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "executes": os.execv("/bin/true", ["true"])
"""


@pytest.mark.parametrize("end", ["ends", "killed", "executes"])
def test_name_that_is_not_spelt_right(python, record, possible, end):
    """However the program ends, it is said of the SPEC that nothing was born for, and of no other one."""
    specs = ["type:Misspelt", "type:Item", "type:Item,site:nowhere"]
    traced = record([python.path, "-c", SPARE, end], *(word for spec in specs for word in ("--watch", spec)))
    said = unborn(traced.trace, traced.err)
    if end == "executes":  # that was of the last image, in which no Python ran
        assert said.keys() == {specs[0], specs[2]}
        former, = traced.trace.path.parent.glob(traced.trace.path.stem + ".*.hsk")
        said = unborn(traces.Trace(former))
    assert said.keys() == {specs[0], specs[2]}
    assert all(tells_that_none(python, words) for words in said.values()), said


def test_watched_without_python(record, possible):
    traced = record(["/bin/sh", "-c", "/bin/true; /bin/echo"], "--watch", "type:Item", "--watch", "symbol:no_such")
    assert unborn(traced.trace, traced.err)["type:Item"] == "no Python runs here."
    for child in traced.trace.children():
        assert "type:Item" not in unborn(child)


def test_born_in_a_child(one_python, record, possible):
    """A shell and its Python: what the one has seen is right for both, what neither has is said of both."""
    traced = record(["/bin/sh", "-c", '"$@"; true', "sh", one_python.path, "-c", SPARE, "ends"], "--watch", "type:Item",
                    "--watch", "type:Misspelt")
    assert unborn(traced.trace, traced.err) == {"type:Misspelt": "no birth of such an object was seen."}


SCENARIOS = ("balanced", "error_path", "dict_value", "cached_error", "built_pair", "built_pair_right", "set_item_twice",
             "keep_borrowed", "two_threads", "count_rows")


def run_scenario(watch, python, name, source):
    try:
        module = building.extension(source, python)
    except building.CannotBuild as trouble:
        if "not installed" in str(trouble):
            pytest.skip(str(trouble))
        raise
    spec = {"cached_error": "type:Trouble", "count_rows": "type:list,site:count_rows"}.get(name, "type:Item")
    traced, found = watch([python.path, REFS / "scenarios.py", name, "4"], f"{spec},every:1",
                          env=clean_environment(PYTHONPATH=module.parent))
    return traced.truth, found


def judge(truth, found):
    """Whose count is wrong in the end, and does the culprit appear where it was changed?"""
    assert all(set(seen.deltas) <= {1, -1} for seen in found.values())
    if truth["off"] == 0:
        assert found and all(seen.reason == "died" and seen.last == 0 for seen in found.values())
        return
    if truth["off"] < 0:
        seen = only(found)
        assert seen.reason == "died"  # while somebody still refers to it
        culprits = [event for delta, event in seen.changes() if delta < 0 and truth["culprit"] in event.functions]
        assert culprits, [event.functions for event in seen.seen]
        return
    wrong = [seen for seen in found.values() if seen.last > 0]
    assert len(wrong) == truth["wrong"] + truth.get("kept", 0), found
    for seen in wrong:
        assert seen.last == truth["off"], seen.counts
        # One that nothing has happened to is wrong from its birth on.
        assert not seen.seen or any(truth["culprit"] in event.functions for _, event in seen.changes()), seen


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios(python, watch, name):
    if name == "count_rows" and python.version < TELLS_BIRTHS:
        pytest.skip("before 3.13 births in memory that a freelist has kept, as lists have, are not told")
    truth, found = run_scenario(watch, python, name, "refs/refbugs.c")
    judge(truth, found)


@pytest.mark.parametrize("name", ["cpp_exception", "cpp_right"])
def test_scenarios_in_cpp(python, watch, name):
    truth, found = run_scenario(watch, python, name, "refs/refbugs_cpp.cpp")
    judge(truth, found)


# ---- SPECs ----

@pytest.mark.parametrize("spec, words", [
    ("Item", "type:NAME, site:FILE:LINE, site:FUNCTION and every:N, leak:TRACE#N, symbol:NAME"),
    ("type:", "needs the name of a type"),
    ("type:A,every:0", "every:"),
    ("symbol:x,type:A", "symbol:"),
    ("symbol:x,size:3", "1, 2, 4 or 8"),
    ("leak:t.hsk", "TRACE#N"),
    ("addr:0x1000", "runs already"),
])
def test_wrong_specs(tmp_path, spec, words):
    done = traces.heapsake("run", "-o", tmp_path / "t.hsk", "--watch", spec, "--", "/bin/true")
    assert done.status == traces.EXIT_USAGE and done.out == ""
    assert done.err.startswith("heapsake: run: --watch " + spec) and words in done.err
    assert len(done.err.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_leak_of_an_earlier_trace(python, watch, record, trace_file):
    """leak:TRACE#N watches what that leak consists of."""
    try:
        module = building.extension("refs/refbugs.c", python)
    except building.CannotBuild as trouble:
        pytest.skip(str(trouble))
    argv = [python.path, REFS / "scenarios.py", "error_path", "40"]
    env = clean_environment(PYTHONPATH=module.parent)
    earlier = record(argv, path=trace_file.with_name("earlier.hsk"), env=env)
    leaks = [leak for leak in earlier.trace.json("leaks")["leaks"]]
    number = next(number for number, leak in enumerate(leaks, 1) if leak["type"] == "__main__.Item")
    _, found = watch(argv, f"leak:{earlier.trace.path}#{number},every:1", env=env)
    assert len(found) >= 4
    for seen in found.values():
        assert seen.type == "__main__.Item" and seen.birthplace["function"].startswith("error_path")
    done = traces.heapsake("run", "-o", trace_file.with_name("no.hsk"), "--watch", f"leak:{earlier.trace.path}#99", "--",
                           "/bin/true")
    assert done.status == traces.EXIT_USAGE and "has no leak #99" in done.err


def test_signal_for_snapshots_and_watches(record, target, possible):
    """Both are handled in one process."""
    traced = record([target("refs/own_trap.c", "-O1"), "handler"], "--snapshot-signal=USR2")
    assert traced.out == "handled 3\n" and only(counts.watches(traced.trace)).last >= 3
