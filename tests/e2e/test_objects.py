"""Births and deaths of Python objects: the trace against what targets know of themselves."""

import collections
import json
import subprocess

import pytest

from support import graphs, running, traces
from support.building import TARGETS

TELLS_BIRTHS = (3, 13)


@pytest.fixture
def new_python(python):
    if python.version < TELLS_BIRTHS:
        pytest.skip("before 3.13 CPython tells nobody of births")
    return python


def types_of(trace):
    return {row["type"]: row for row in trace.json("objects")["types"]}


@pytest.mark.parametrize("mode, options", [("kinds", ()), ("same_names", ()), ("gone_types", ()), ("threads", ()),
                                           ("kinds", ("--native",))])
def test_counts(new_python, record, mode, options):
    traced = record([new_python.path, TARGETS / "py_objects.py", mode, "1"], *options)
    truth = traced.truth
    types = types_of(traced.trace.whole())
    assert truth["created"]
    for name, count in truth["created"].items():
        assert types[name]["created"] == count, (name, types[name])
        assert types[name]["live"] == truth["live"][name], (name, types[name])
        assert types[name]["died"] == count - truth["live"][name]
        assert (types[name]["median_lifetime"] is None) == (types[name]["died"] == 0)


def test_a_resized_object_is_one(new_python, record, trace_file):
    """A tuple that grows is the same object; what else makes tuples is the same in both runs."""
    difference = {}
    for scale in (0, 1):
        path = trace_file.with_name(f"{scale}.hsk")
        traced = record([new_python.path, TARGETS / "py_objects.py", "resized", scale], path=path)
        row, truth = types_of(traced.trace.whole())["tuple"], traced.truth
        for key in ("created", "live"):
            difference[key] = row[key] - truth[key]["tuple"] - difference.get(key, 0)
    assert abs(difference["created"]) <= 10 and abs(difference["live"]) <= 10, difference


def test_forked_child(new_python, record):
    traced = record([new_python.path, TARGETS / "py_objects.py", "fork", "2"])
    child = traced.trace.child_of_pid(int(traced.err.split()[0])).whole()
    types = types_of(child)
    assert types["__main__.Plain"]["created"] == types["__main__.Plain"]["live"] == 600
    assert types["__main__.fork.<locals>.Born"]["created"] == 400
    assert "__main__.Plain" not in types_of(traced.trace.whole())


def births(trace, type_name):
    """(function, whether it came with its block) of each birth of that type, innermost Python function."""
    blocks, found = {}, []
    words = [traces.heapsake_binary(), "dump", "--json", trace.path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as dump:
        for line in dump.stdout:
            if b'"alloc"' in line[:100]:
                event = json.loads(line)
                blocks[event["ordinal"]] = event["frame"]
            elif b'"birth"' in line[:100]:
                event = json.loads(line)
                frame = blocks[event["ordinal"]] if event["same_stack"] else event["frame"]
                if event["type"] == type_name and frame:
                    found.append((frame["function"], event["same_stack"]))
    assert dump.returncode == 0
    return found


def test_recycled_memory(new_python, record):
    """A float in the memory of a dead one is a new object, and was born where it was made."""
    traced = record([new_python.path, TARGETS / "py_recycled.py"])
    count = int(traced.out)
    trace = traced.trace.whole()
    for type_name, suffix in (("float", "floats"), ("tuple", "tuples")):
        found = births(trace, type_name)
        for name in (f"first_{suffix}", f"second_{suffix}"):
            assert sum(function == name for function, _ in found) == count, (name, found[-200:])
        recycled = sum(function == f"second_{suffix}" and not with_block for function, with_block in found)
        assert recycled >= count * 3 // 4, (type_name, recycled)


def test_tracemalloc(new_python, same):
    """tracemalloc takes the tracer, and leaves it when it stops: that is said, and survived."""
    traced = same([new_python.path, TARGETS / "py_tracemalloc.py"])
    assert traced.out == "True\n"
    types = types_of(traced.trace)
    assert types["__main__.Before"]["created"] == 1000
    for name in ("During", "After"):
        assert types[f"__main__.{name}"]["created"] > 1000
    assert sum("tracer of objects" in spot for spot in traced.trace.summary["blind_spots"]) == 1


def test_tracemalloc_first(new_python, record):
    """Started before us, it is there and stays: nothing is missing on either side."""
    code = """
import tracemalloc
class Some: pass
kept = [Some() for _ in range(1000)]
print(sum(trace.size for trace in tracemalloc.take_snapshot().traces if trace.traceback[0].lineno == 4) > 1000 * 16)
"""
    traced = record([new_python.path, "-X", "tracemalloc", "-c", code])
    assert traced.out == "True\n"
    assert types_of(traced.trace)["__main__.Some"]["live"] == 1000
    assert not any("tracer of objects" in spot for spot in traced.trace.summary["blind_spots"])


def test_a_strangers_tracer(new_python, target, same):
    """Another tool's tracer is left alone: it counts what it counts untraced, and that is said."""
    library = target("ref_tracer.c", "-shared", "-fPIC", name="libreftracer.so")
    traced = same([new_python.path, TARGETS / "py_ref_tracer.py", library])
    assert int(traced.out) > 1000
    types = types_of(traced.trace)
    assert types["__main__.Before"]["created"] == 1000 and "__main__.During" not in types
    assert types["__main__.After"]["created"] > 0
    assert sum("tracer of objects" in spot for spot in traced.trace.summary["blind_spots"]) >= 1


def test_switched_off(new_python, record):
    traced = record([new_python.path, TARGETS / "py_objects.py", "kinds", "1"], "--no-snapshot")
    traced.trace.whole()
    done = traces.heapsake("objects", traced.trace.path)
    assert done.status == traces.EXIT_UNUSABLE and done.out == ""
    assert "recorded with --no-snapshot" in done.err


def of_main(live):
    return {name: count for name, count in live.items() if name.startswith("__main__.") and count}


def alive_in_snapshot(trace):
    """{type: objects in the last snapshot}, counted here."""
    found = graphs.snapshots(trace.path)
    snapshot = found[max(found)]
    names = {number: f"{kind['module']}.{kind['name']}" for number, kind in snapshot.types.items()}
    return collections.Counter(names[node.type] for node in snapshot.of_kind(graphs.OBJECT) if node.type)


@pytest.mark.parametrize("mode", ["kinds", "same_names", "threads"])
def test_births_agree_with_the_snapshot(new_python, record, mode):
    traced = record([new_python.path, TARGETS / "py_objects.py", mode, "1"])
    rows = types_of(traced.trace.whole())
    of_births = of_main({name: row["live"] for name, row in rows.items()})
    assert all(row["created"] is not None for row in rows.values())
    assert of_births == of_main(traced.truth["live"]) == of_main(alive_in_snapshot(traced.trace))


@pytest.mark.parametrize("mode", ["kinds", "same_names", "threads"])
def test_without_births(python, record, mode):
    """Before 3.13, or with --no-objects: what lives is counted from the snapshot of the end."""
    traced = record([python.path, TARGETS / "py_objects.py", mode, "1"], "--no-objects")
    rows = types_of(traced.trace.whole())
    assert of_main({name: row["live"] for name, row in rows.items()}) == of_main(traced.truth["live"])
    for row in rows.values():
        assert (row["created"], row["died"], row["median_lifetime"]) == (None, None, None)
        assert row["live"] > 0 and row["live_bytes"] > 0, row
    assert traced.trace.json("objects")["snapshot"] == 1
    text = traces.heapsake("objects", traced.trace.path).ok().out
    assert text.startswith("Python objects in snapshot 1 (exit, at ") and "created" not in text


def test_bare_preload(new_python, trace_file):
    for options in ("", "--no-objects"):
        traced = traces.preloaded(trace_file.with_name(f"t{options}.hsk"),
                                  [new_python.path, TARGETS / "py_objects.py", "kinds", "1"], options=options)
        row = types_of(traces.settled(traced.trace))["__main__.Plain"]
        assert row["live"] == 100 and (row["created"] is None) == bool(options)


def test_objects_change_no_counts(new_python, record, trace_file):
    """Allocations and frees, and their ordinals, are what they are without object events."""
    totals = {}
    for option in ("--no-objects", "--on-full=wait"):
        traced = record([new_python.path, TARGETS / "py_objects.py", "kinds", "1"], option,
                        path=trace_file.with_name(f"{option}.hsk"))
        summary = traced.trace.whole().summary
        totals[option] = summary["events"]["allocations"], summary["memory"]["temporary_allocations"]
    without, with_objects = totals.values()
    for one, other in zip(without, with_objects):
        assert abs(one - other) <= 20, totals


def test_old_python(python, record):
    if python.version >= TELLS_BIRTHS:
        pytest.skip("it tells of births")
    traced = record([python.path, TARGETS / "py_objects.py", "kinds", "1"], "--no-snapshot")
    done = traces.heapsake("objects", traced.trace.path)
    assert done.status == traces.EXIT_UNUSABLE and "recorded with --no-snapshot" in done.err


def test_not_python(record):
    traced = record(["/bin/true"])
    done = traces.heapsake("objects", traced.trace.path)
    assert done.status == traces.EXIT_UNUSABLE and "no Python" in done.err


def test_sorting(new_python, record):
    traced = record([new_python.path, TARGETS / "py_objects.py", "kinds", "1"])
    for key, field in (("live", "live"), ("bytes", "live_bytes"), ("created", "created")):
        rows = traced.trace.json("objects", "--sort", key, "--limit", "5")["types"]
        assert len(rows) == 5
        assert [row[field] for row in rows] == sorted((row[field] for row in rows), reverse=True)
    text = running.run([traces.heapsake_binary(), "objects", "--limit", "0", traced.trace.path]).ok().out
    assert "__main__.Größe.Inner" in text
