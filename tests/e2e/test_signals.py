"""Signal handlers that allocate, at whatever moment they come."""

import pytest

from e2e.test_counts import KEYS


@pytest.mark.parametrize("mode", ["storm_over_malloc", "storm_over_mmap", "storm_over_nothing", "on_own_stack"])
def test_handlers(target, record, trace_file, mode):
    """
    The target's own truth is exact. A handler that comes while the tracer itself is inside a hook may go unrecorded,
    but then it is counted as lost.
    """
    runs = {}
    for count in (0, 2000):
        traced = record([target("signals.c"), mode, count], path=trace_file.with_name(f"{count}.hsk"), timeout=120)
        traced.result.ok()
        assert traced.trace.verify["complete"]
        runs[count] = traced
    none, some = runs[0], runs[2000]
    lost = some.trace.summary["events"]["lost"]
    missing = 0
    for domain in ("malloc", "mmap"):
        seen = {key: some.trace.domain(domain)[key] - none.trace.domain(domain)[key] for key in KEYS}
        known = some.truth[domain]
        assert seen["live_blocks"] == known["live_blocks"] and seen["live_bytes"] == known["live_bytes"], (seen, known)
        missing += known["allocations"] - seen["allocations"] + known["frees"] - seen["frees"]
    assert missing == lost
    handled = some.truth["mmap" if mode == "storm_over_malloc" else "malloc"]["allocations"]
    assert handled >= 2000
    if mode in ("storm_over_nothing", "on_own_stack"):
        assert lost == 0
