"""
The ledger: whoever took a reference and did not give it back is named, from watches alone, and nobody else; in two
commands, of which the first prints the second.
"""

import json
import shlex
import subprocess

import pytest

from support import building, counts, leak_programs, running, traces
from support.building import ROOT, TARGETS
from support.running import clean_environment

SCENARIOS = TARGETS / "refs" / "scenarios.py"
OBJECTS = 40
TYPES = {"cached_error": "Trouble"}
LEAKING = ("error_path", "dict_value", "cached_error", "built_pair")
BALANCED = ("balanced", "built_pair_right", "two_threads")


@pytest.fixture(scope="session")
def possible():
    done = running.run([traces.heapsake_binary(), "run", "--force", "-o", "/dev/null", "--watch", "type:X", "--",
                        "/bin/true"])
    if "cannot be watched" in done.err:
        pytest.skip(done.err.splitlines()[0])


@pytest.fixture
def environment(python, possible):
    def of(source="refs/refbugs.c"):
        try:
            return clean_environment(PYTHONPATH=building.extension(source, python).parent)
        except building.CannotBuild as trouble:
            if "not installed" in str(trouble):
                pytest.skip(str(trouble))
            raise
    return of


def ledger_of(trace, object):
    return json.loads(traces.heapsake("refs", "--json", trace.path, object).ok().out)


def over_referenced(trace):
    return [leak for leak in leak_programs.reported(trace.leaks) if leak["cause"] == "over-referenced"]


@pytest.mark.parametrize("scenario", LEAKING)
def test_culprit(scenario, python, environment, record):
    traced = record([python.path, SCENARIOS, scenario, str(OBJECTS)], "--watch", f"type:{TYPES.get(scenario, 'Item')}",
                    env=environment())
    traced.result.ok()
    truth, leaks = traced.truth, over_referenced(traced.trace)
    assert len(leaks) == 1, leaks
    leak = leaks[0]
    assert leak["type"] == truth["type"] and leak["culprit"]["function"] == truth["culprit"], leak
    assert leak["culprit"]["file"].endswith("refbugs.c") and leak["culprit"]["line"] > 0
    evidence = leak["evidence"]
    assert 1 <= evidence["charged"] <= evidence["watched"] <= leak["count"]
    assert evidence["charged"] * 2 > evidence["watched"]
    assert f"{evidence['watched']} of them" in leak["explanation"] and truth["culprit"] in leak["explanation"]
    assert traced.trace.leaks["next"] is None


def test_cpp_culprit(python, environment, record):
    traced = record([python.path, SCENARIOS, "cpp_exception", str(OBJECTS)], "--watch", "type:__main__.Item",
                    env=environment("refs/refbugs_cpp.cpp"))
    traced.result.ok()
    leak, = over_referenced(traced.trace)
    assert "use(" in leak["culprit"]["function"] and leak["culprit"]["file"].endswith("refbugs_cpp.cpp"), leak["culprit"]
    assert leak["evidence"]["charged"] == leak["evidence"]["watched"]


@pytest.mark.parametrize("scenario", BALANCED)
def test_nobody(scenario, python, environment, record):
    """Every object dies, and every increment was undone."""
    traced = record([python.path, SCENARIOS, scenario, str(OBJECTS)], "--watch", "type:Item,every:1",
                    env=environment())
    traced.result.ok()
    assert not over_referenced(traced.trace)
    refs = traced.trace.json("refs")
    # Up to 3.12 the first object of a stack is looked at when it has references already.
    assert refs["objects"] >= OBJECTS - 1
    assert [site for site in refs["sites"] if site["net"]] == []
    assert refs["object"] is None and refs["history"] == []
    assert refs["coverage"][0]["increments"] == "all"


@pytest.mark.parametrize("scenario", ["error_path", "count_rows"])
def test_two_commands(scenario, python, environment, record, tmp_path):
    traced = record([python.path, SCENARIOS, scenario, "100"], env=environment())
    traced.result.ok()
    truth, leaks = traced.truth, over_referenced(traced.trace)
    leak = max((leak for leak in leaks if leak["type"] == truth["type"]), key=lambda leak: leak["count"])
    assert leak["culprit"] is None or leak["culprit"]["function"] != truth["culprit"]

    words = shlex.split(traced.trace.leaks["next"])
    assert words[:3] == ["heapsake", "run", "--watch"] and words[3] == f"leak:{traced.trace.path}#{leak['number']}"
    text = traces.heapsake("leaks", traced.trace.path).ok().out
    assert traced.trace.leaks["next"] in text
    watched = words[words.index("-o") + 1]
    running.run([traces.heapsake_binary(), *words[1:]], env=environment()).ok()
    leaks = over_referenced(traces.Trace(watched))
    leak = max((leak for leak in leaks if leak["type"] == truth["type"]), key=lambda leak: leak["count"])
    assert leak["culprit"]["function"] == truth["culprit"], leak


def most_dicts(trace):
    return max((leak for leak in over_referenced(trace) if leak["type"] == "dict"), key=lambda leak: leak["count"])


def test_memory_that_a_freelist_kept(python, environment, record, trace_file):
    """Up to 3.12 the watch meets others that were made there: that is said, and not advised again."""
    argv = [python.path, SCENARIOS, "kept_memory", "500"]
    first = record(argv, env=environment(), path=trace_file.with_name("first.hsk"))
    number = most_dicts(first.trace)["number"]
    traced = record(argv, "--watch", f"leak:{first.trace.path}#{number}", env=environment())
    leak = most_dicts(traced.trace)
    if python.version >= (3, 13):
        assert leak["culprit"]["function"] == traced.truth["culprit"], leak
    else:
        assert leak["evidence"]["others_watched"] > leak["evidence"]["watched"], leak
        assert "objects of this type were recorded" in leak["explanation"]
        assert "a freelist had kept" in leak["explanation"] and traced.trace.leaks["next"] is None
        assert "run --watch" not in traces.heapsake("leaks", traced.trace.path).ok().out


def test_brought_back(python, possible, record):
    """An object that its finalizer brings back has not died."""
    traced = record([python.path, TARGETS / "refs" / "watched.py", "revived", "2"], "--watch", "type:Phoenix,every:1")
    traced.result.ok()
    assert traced.truth["revived"] == 2
    watches = counts.watches(traced.trace, stacks=False).values()
    objects = sorted({watch.begin["ordinal"] for watch in watches})
    assert len(objects) == 4 and (len(watches) == 4 or python.version >= (3, 13))
    seen = [ledger_of(traced.trace, f"#{ordinal}")["object"] for ordinal in objects]
    assert [one["brought_back"] for one in seen] == [False, True] * 2 == [one["alive"] for one in seen], seen
    text = traces.heapsake("refs", traced.trace.path, f"#{objects[1]}").ok().out
    assert "brought it back" in text and "died" not in text
    assert "4 objects, 2 died and 2 are alive" in traces.heapsake("refs", traced.trace.path).ok().out


@pytest.mark.parametrize("scenario", ["set_item_twice", "keep_borrowed"])
def test_premature_death(scenario, python, environment, record):
    """The history of the object shows who took away what was not theirs, before it died."""
    traced = record([python.path, SCENARIOS, scenario], "--watch", "type:Item", env=environment())
    traced.result.ok()
    truth = traced.truth
    listed = traced.trace.json("refs", "--type", "Item")
    assert listed["objects"] == 1
    watch, = counts.watches(traced.trace).values()
    refs = ledger_of(traced.trace, watch.address)
    assert refs["object"]["type"] == truth["type"] and not refs["object"]["alive"] and refs["refcount"] == 0
    history = refs["history"]
    assert history[0]["birth"] and [step["refcount"] for step in history][-1] == 0
    assert sum(step["delta"] for step in history) == 0
    takers = [step for step in history if step["delta"] < 0
              and any(frame["function"] == truth["culprit"] for frame in step["stack"])]
    assert takers, [[frame["function"] for frame in step["stack"]][:4] for step in history]


def parser(python, tmp_path, mended=False):
    """The example of docs/REFCOUNTS.md: its command and environment."""
    folder = ROOT / "examples" / "parser"
    source = (folder / "lines.c").read_text()
    if mended:
        fault = "    if (!valid) {\n        Py_DECREF(entry);\n"
        assert source.count(fault) == 1
        source = source.replace(fault, fault + "        Py_DECREF(entry);\n")
    if not python.include_folder:
        pytest.skip(f"Python.h of {python.name} is not installed")
    (tmp_path / "lines.c").write_text(source)
    subprocess.run(["gcc", "-g", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", f"-I{python.include_folder}",
                    tmp_path / "lines.c", "-o", tmp_path / "lines.so"], check=True)
    return [python.path, folder / "app.py"], clean_environment(PYTHONPATH=tmp_path)


def test_walkthrough(python, possible, record, tmp_path):
    argv, env = parser(python, tmp_path)
    traced = record(argv, env=env)
    leak, = over_referenced(traced.trace)
    assert leak["type"] == "__main__.Entry" and leak["number"] == 1
    words = shlex.split(traced.trace.leaks["next"])
    running.run([traces.heapsake_binary(), *words[1:]], env=env).ok()
    leak, = over_referenced(traces.Trace(words[words.index("-o") + 1]))
    lines = (tmp_path / "lines.c").read_text().splitlines()
    makes = next(number for number, line in enumerate(lines, 1) if "PyObject_CallFunction(make" in line)
    assert (leak["culprit"]["function"], leak["culprit"]["line"]) == ("lines_parse", makes), leak
    assert leak["evidence"]["charged"] >= 3


def test_walkthrough_mended(python, possible, record, tmp_path):
    argv, env = parser(python, tmp_path, mended=True)
    traced = record(argv, "--watch", "type:Entry", env=env)
    assert not over_referenced(traced.trace)
    assert not [site for site in traced.trace.json("refs")["sites"] if site["net"]]


def test_no_counts(record):
    traced = record(["/bin/true"])
    done = traces.heapsake("refs", traced.trace.path)
    assert done.status == 3 and "no counts were recorded" in done.err and done.err.count("\n") == 1


def test_wrong_object(python, environment, record):
    traced = record([python.path, SCENARIOS, "balanced", "3"], "--watch", "type:Item", env=environment())
    for word, status, said in (("#x", 2, "is no object"), ("0xzz", 2, "is no object"), ("#999999999", 3, "was not recorded"),
                               ("#-1", 2, "is no object"), ("# 5", 2, "is no object"), ("#+5", 2, "is no object"),
                               (f"#{2 ** 64 - 1}", 2, "is no object"), ("0x0", 2, "is no object"),
                               ("0x0x5", 2, "is no object"), ("0x-5", 2, "is no object"),
                               ("NoSuchType", 3, "had its count recorded")):
        done = traces.heapsake("refs", traced.trace.path, word)
        assert (done.status, done.err.count("\n")) == (status, 1) and said in done.err, done.err
    done = traces.heapsake("refs", "--type", "Item", traced.trace.path, "Item")
    assert done.status == 2 and "one type" in done.err
