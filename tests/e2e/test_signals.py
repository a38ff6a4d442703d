"""Signal handlers that allocate, at whatever moment they come."""

import pytest

from e2e.test_counts import KEYS


@pytest.mark.parametrize("mode", ["storm_over_malloc", "storm_over_mmap", "storm_over_nothing", "on_own_stack"])
def test_handlers(target, record, trace_file, mode):
    """
    The target's own truth is exact. A handler that interrupts a hook is not recorded (docs/SHIM_RULES.md), everything
    else is: all that the program itself did, and every handler where the program does not allocate.
    """
    runs = {}
    for count in (0, 2000):
        traced = record([target("signals.c"), mode, count], path=trace_file.with_name(f"{count}.hsk"), timeout=120)
        traced.result.ok()
        runs[count] = traced
        traced.trace.whole()
    none, some = runs[0], runs[2000]
    in_handler = "mmap" if mode == "storm_over_malloc" else "malloc"
    for domain in ("malloc", "mmap"):
        seen = {key: some.trace.domain(domain)[key] - none.trace.domain(domain)[key] for key in KEYS}
        known = some.truth[domain]
        if domain == in_handler and mode.startswith("storm_over_m"):
            assert known["allocations"] >= 2000
            assert seen["allocations"] == seen["frees"] <= known["allocations"]
            assert seen["live_blocks"] == seen["live_bytes"] == 0
        else:
            assert seen == known
