"""The preload library inside a program: exceptions, the loader, the hot path."""

import json
import re

import pytest

from support import running, traces
from support.building import build_folder
from support.running import clean_environment


def test_a_million_throws(target, record):
    """Exceptions stay as cheap as they are: nobody took them over from libgcc_s."""
    program = target("throw_cost.cpp", "-O2")
    plain = json.loads(running.run([program, "1000000"]).ok().out)
    traced = record([program, "1000000"], timeout=120)
    traced.result.ok()
    trace = traced.trace.whole()
    inside = json.loads(traced.out)
    assert plain["caught"] == inside["caught"] == 1_000_000
    assert trace.domain("malloc")["allocations"] >= 1_000_000  # each exception object is one
    # A foreign unwinder made a throw cost fifteen times as much; events and machine noise make far less.
    assert inside["nanoseconds"] < 5 * plain["nanoseconds"], (plain, inside)


def test_exceptions_across_frames(target, same):
    same([target("cxx.cpp"), "throws", 100_000])


def test_unwinder_is_libgccs(target, record, tmp_path):
    """The dynamic loader binds _Unwind_RaiseException of a traced C++ program to libgcc_s."""
    bindings = tmp_path / "bindings"
    traced = record(["sh", "-c", f'exec env LD_DEBUG=bindings LD_DEBUG_OUTPUT="{bindings}" "$0" throws 10',
                     target("cxx.cpp")])
    traced.result.ok()
    text = "".join(path.read_text(errors="replace") for path in tmp_path.glob("bindings.*"))
    bound = re.findall(r"binding file (\S+) .* to (\S+) .*symbol `_Unwind_RaiseException'", text)
    assert bound
    assert all("libgcc_s" in to for _, to in bound), bound


def test_constructors_of_libraries(target, record):
    """What a library allocates before main, and gives back after it, is seen: we start before it."""
    library = target("early.c", "-shared", name="libearly.so")
    program = target("nothing_else.c", f"-L{library.parent}", "-Wl,--no-as-needed", "-learly",
                     f"-Wl,-rpath,{library.parent}")
    traced = record([program])
    assert traced.status == 0 and traced.out == "constructed\ndestroyed\n", f"{traced.result}"
    trace = traced.trace.whole(unknown_frees=0)
    blocks = trace.allocations(6161, stacks=True)
    assert len(blocks) == 100
    assert all("early_constructor" in [frame["function"] for frame in block["stack"]] for block in blocks)
    assert trace.live_of("early_constructor") == (10, 10 * 6161)


@pytest.fixture
def origin(target):
    """A library whose companion lies beside it, in a folder that only it knows."""
    inner = target("origin_inner.c", "-shared", name="libinner.so")
    folder = build_folder() / "test-targets" / "origin"
    folder.mkdir(exist_ok=True, parents=True)
    outer = target("origin_outer.c", "-shared", "-ldl", "-Wl,-rpath,$ORIGIN", "-Wl,--enable-new-dtags",
                   name="libouter.so")
    together = folder / f"{inner.parent.name}-{outer.parent.name}"
    together.mkdir(exist_ok=True)
    for library in (inner, outer):
        unfinished = together / f"{library.name}.{running.os.getpid()}"
        unfinished.write_bytes(library.read_bytes())
        unfinished.rename(together / library.name)
    return together / "libouter.so"


@pytest.mark.parametrize("way", ["run", "preload"])
def test_loader(target, same, origin, way, trace_file):
    """dlopen and dlmopen look at who calls them: $ORIGIN, RUNPATH and namespaces work as without us."""
    argv = [target("loader.c", "-ldl"), origin]
    if way == "run":
        traced = same(argv)
        assert len(traced.trace.allocations(5151)) >= 302
    else:
        plain = running.run(argv).ok()
        traced = traces.preloaded(trace_file, argv)
        assert traced.out == plain.out and traced.status == 0
    assert "42 42 42" in traced.out


def test_no_allocation_of_our_own(target, trace_file):
    """The real allocator gets exactly the calls that the program made: a counting one stands behind the hooks."""
    behind = target("real_count.c", "-shared", "-ldl", name="librealcount.so")
    program = target("hot_path.c", "-ldl")
    environment = clean_environment(LD_PRELOAD=behind)
    count = 100_000
    plain = json.loads(running.run([program, str(count)], env=environment).ok().out)
    traced = traces.record(trace_file, [program, str(count)], env=environment)
    traced.result.ok()
    assert plain["alone"] == 3 * count
    assert json.loads(traced.out) == plain
    assert traced.trace.whole().domain("malloc")["allocations"] >= 4 * count


def test_memory_added(target, record):
    """What the library takes in the program: 16 MiB at most, measured on a program that is otherwise small."""
    program = target("resident.c")
    plain = json.loads(running.run([program]).ok().out)
    traced = record([program])
    traced.result.ok()
    added = json.loads(traced.out)["peak_kib"] - plain["peak_kib"]
    assert added < 16 * 1024, f"{added} KiB"
