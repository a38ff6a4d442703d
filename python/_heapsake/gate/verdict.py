"""What was measured, against the limits."""

from .command import CommandError
from .leaks import explain
from .sizes import format_size, plural


class Violation:
    """One limit that was not kept."""

    def __init__(self, rule, limit, actual, message, leaks=(), note=None):
        self.rule, self.limit, self.actual, self.message = rule, limit, actual, message
        self.leaks = list(leaks)
        self.note = note


def judge(gate, name, limits, measurement):
    """The violations of a test that has passed. CommandError when it cannot be told."""
    violations = []
    last = measurement.last
    if limits.max_peak is not None and last.peak_bytes > limits.max_peak:
        violations.append(Violation("max_peak", limits.max_peak, last.peak_bytes,
                                    f"had {format_size(last.peak_bytes)} at its peak, max_peak is {format_size(limits.max_peak)}"))
    if limits.max_allocations is not None and last.allocations > limits.max_allocations:
        violations.append(Violation("max_allocations", limits.max_allocations, last.allocations,
                                    f"made {plural(last.allocations, 'allocation')}, max_allocations is {limits.max_allocations:,}"))
    if measurement.leaks:
        violations += judge_leaks(gate, name, limits, measurement.leaks)
    return violations


def judge_leaks(gate, name, limits, leftovers):
    size = sum(left.bytes for left in leftovers)
    if limits.leaks and limits.no_leaks is None and size <= limits.max_leaked:
        return []
    leaks, note = explain(gate, name, leftovers, must=bool(limits.filter_fn or limits.no_leaks))
    if limits.filter_fn:
        try:
            leaks = [leak for leak in leaks if limits.filter_fn(leak)]
        except Exception as error:
            raise CommandError(f"its filter_fn raised {type(error).__name__}: {error}") from error
    violations = []
    size = sum(leak.bytes for leak in leaks)
    if not limits.leaks and leaks:
        violations.append(_leaking("leaks", False, leaks, note, "leaks=False allows none"))
    elif limits.max_leaked is not None and size > limits.max_leaked:
        violations.append(_leaking("max_leaked", limits.max_leaked, leaks, note,
                                   f"max_leaked is {format_size(limits.max_leaked)}"))
    named = [leak for leak in leaks if limits.no_leaks and leak.causes & limits.no_leaks]
    if named and limits.leaks:
        violations.append(_leaking("no_leaks", sorted(limits.no_leaks), named, note,
                                   f"no_leaks forbids {', '.join(sorted(limits.no_leaks))}"))
    return violations


def _leaking(rule, limit, leaks, note, clause):
    size, count = sum(leak.bytes for leak in leaks), sum(leak.count for leak in leaks)
    often = max(leaks, key=lambda leak: leak.runs / leak.rounds)
    when = "each time it runs" if often.runs == often.rounds else f"in {often.runs} of {often.rounds} runs"
    return Violation(rule, limit, size, f"leaves {format_size(size)} in {plural(count, 'block')} behind {when}, {clause}", leaks, note)
