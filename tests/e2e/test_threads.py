"""Allocations that cross threads, in exact order, and threads that come and go."""

import shutil

import pytest

from e2e.test_counts import difference


@pytest.mark.parametrize("round", range(3))
def test_handover(target, record, trace_file, round):
    """Allocated here, freed there, the same address again at once: not one free without its allocation."""
    seen, known = difference(record, trace_file, [target("threads.c"), "handover"], 300_000)
    assert seen == known


@pytest.mark.parametrize("round", range(2))
def test_exchange(target, record, trace_file, round):
    seen, known = difference(record, trace_file, [target("threads.c"), "exchange"], 400_000)
    assert seen == known


MARKED = 7013


@pytest.mark.parametrize("mode, count", [("short_lived", 500), ("destructors", 300), ("detached", 300)])
def test_threads_that_end(target, record, mode, count):
    """Threads die with their last events in their rings: all of them arrive."""
    traced = record([target("threads.c"), mode, count])
    traced.result.ok()
    trace = traced.trace.whole()
    known = traced.truth["malloc"]
    per_thread = {"short_lived": 1, "destructors": 2, "detached": 1}[mode]
    assert len(trace.allocations(MARKED)) == per_thread * count
    live = sum(leak["count"] for leak in trace.leaks["leaks"]
               if leak["stack"][0]["function"] in ("short_life", "with_a_destructor", "in_the_destructor",
                                                   "detached_life"))
    assert live == known["live_blocks"]


def test_two_hundred_at_once(target, record):
    traced = record([target("threads.c"), "at_once", 200])
    traced.result.ok()
    trace = traced.trace.whole()
    assert len(trace.allocations(MARKED)) == 200 * 50
    assert trace.live_of("at_the_barrier") == (0, 0)


@pytest.mark.parametrize("option", ["--native", "--refs"])
def test_modules_that_come_and_go(target, record, tmp_path, option):
    """While some threads open and close modules, others' allocations look for new ones: at nothing that may be gone."""
    module = target("plugged.c", "-shared", name="libplugged.so")
    modules = [shutil.copy(module, tmp_path / f"lib{number}.so") for number in range(200)]
    for _ in range(2):
        traced = record([target("modules_come.c", "-pthread"), 2, *modules], option, "--no-snapshot", "--on-full=drop", "--force")
        traced.result.ok()
        assert traced.truth["rounds"] > 0


def test_same_output(target, same):
    same([target("threads.c"), "short_lived", 50])
    same([target("cxx.cpp"), "crowd", 5000], "--force")
