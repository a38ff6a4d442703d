"""Violations as text."""

import os
import shlex
import textwrap

from .command import CommandError
from .follower import Frame
from .sizes import format_size, plural

SHOWN = 5    # leaks, or sites of a peak
FRAMES = 10
LEAST_SHARE = 100  # a site of less than the peak's hundredth is not shown
PATHS = 2
WIDTH = 100  # of sentences
ALSO = 3      # leaks of one place, beside the first
NATIVE = "--heapsake-native (of heapsake run: --native) names the function of an extension that is behind it"
CACHES = "a cache with a limit looks so until it is full: filter_fn leaves it out, rounds=N shows it when N is above that limit"


def printable(text):
    """Names in a trace may hold anything; they become one line."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in str(text))


def summary(violations):
    """One line."""
    return "; ".join(violation.message for violation in violations)


def account(gate, name, violations, test_file=None):
    """Several lines about what a test has done. `test_file`: frames that call from outside of it are left out."""
    lines = []
    for violation in violations:
        lines.append(f"heapsake: the test {violation.message}")
        for leak in violation.leaks[:SHOWN]:
            lines += [""] + _leak_lines(leak, test_file)
        if len(violation.leaks) > SHOWN:
            lines += ["", f"  and {plural(len(violation.leaks) - SHOWN, 'place')} more"]
        if any(leak.cause == "growing" and leak.grown is None for leak in violation.leaks[:SHOWN]):
            lines += ["", f"  {CACHES}"]
        if any(_is_unnamed(leak) for leak in violation.leaks[:SHOWN]):
            lines += ["", f"  {NATIVE}"]
        if violation.rule == "max_peak":
            lines += _peak_lines(gate, name, violation, test_file)
        if violation.note:
            lines += ["", f"  {printable(violation.note)}"]
        lines.append("")
    lines.append(f"trace: {printable(gate.trace)}")
    lines.append(f"more:  heapsake {printable(shlex.join(_more(gate, name, violations)))}")
    return lines


def _more(gate, name, violations):
    """The command that shows more of the same."""
    trace = os.path.relpath(gate.trace)
    if trace.startswith(os.pardir):
        trace = gate.trace
    leaks = [leak for violation in violations for leak in violation.leaks]
    if not leaks:
        return ["peak", "--region", name, trace]
    seen = [leak.seen for leak in leaks if leak.seen is not None]
    if seen and not any(leak.told for leak in leaks):
        return ["why", trace, f"#{seen[0]}"]
    return ["leaks", "--region", name, trace]


def _leak_lines(leak, test_file):
    what = plural(leak.count, "block") + (f", {printable(leak.type)}" if leak.type else "")
    lines = [f"  {format_size(leak.bytes)} in {what}" + (f": {leak.cause}" if leak.cause else "")]
    if leak.explanation:
        lines += _sentences(leak.explanation)
    if leak.culprit and leak.culprit["language"] == "native":
        where = leak.culprit["file"] or leak.culprit["module"] or "?"
        line = f":{leak.culprit['line']}" if leak.culprit["line"] else ""
        lines.append(f"    look at {printable(leak.culprit['function'] or '?')}  {printable(where)}{line}")
    for path in leak.paths[:PATHS]:
        lines.append(f"    kept by {printable(path)}")
    for one in leak.also[:ALSO]:
        lines += _sentences(f"also {one['cause']}: {one['explanation']}")
    return lines + _stack_lines(leak.stack, test_file)


def _sentences(text):
    return textwrap.wrap(printable(text), WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False,
                         break_on_hyphens=False)


def _is_unnamed(leak):
    """Is native code behind it, and no frame of that known?"""
    return bool(leak.causes & {"lost", "over-referenced"}) and not any(frame.language == "native" for frame in leak.stack)


def _peak_lines(gate, name, violation, test_file):
    try:
        sites = gate.report("peak", "--region", name, "--limit", str(SHOWN))["sites"]
    except CommandError as error:
        return ["", f"  its sites are not known: {printable(error)}"]
    lines = []
    for site in sites:
        if site["bytes"] * LEAST_SHARE < violation.actual:
            break
        lines += ["", f"  {format_size(site['bytes'])} in {plural(site['count'], 'block')}"]
        lines += _stack_lines([Frame(**frame) for frame in site["stack"]], test_file)
    return lines


def _stack_lines(stack, test_file):
    if not stack:
        return ["    allocated while no Python function ran"]
    end = len(stack)
    if test_file:
        inside = [i for i, frame in enumerate(stack) if frame.file and os.path.abspath(frame.file) == str(test_file)]
        end = inside[-1] + 1 if inside else end
    lines = ["    allocated at"]
    for frame in stack[: min(end, FRAMES)]:
        where = frame.file or frame.module or "?"
        lines.append(f"      {printable(frame.function or '?')}  {printable(where)}" + (f":{frame.line}" if frame.line else ""))
    if end > FRAMES:
        lines.append(f"      and {plural(end - FRAMES, 'caller')} more")
    return lines
