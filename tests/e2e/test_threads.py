"""Allocations that cross threads, in exact order, and threads that come and go."""

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


def test_same_output(target, same):
    same([target("threads.c"), "short_lived", 50])
    same([target("cxx.cpp"), "crowd", 5000], "--force")
