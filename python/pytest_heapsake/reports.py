"""Verdicts in pytest's reports."""

import os


def longrepr(item, message, lines):
    """What a failure's report shows; `message` is for short summaries."""
    text = "\n".join(lines)
    try:
        from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

        path, line, _ = item.location
        place = ReprFileLocation(os.fspath(path), (line or 0) + 1, message)
        return ReprExceptionInfo(reprtraceback=ReprTraceback([ReprEntryNative([text + "\n"])], None, "native"), reprcrash=place)
    except (ImportError, TypeError):
        return text


def fail(item, report, message, lines):
    """The report of a call that has passed becomes a failure."""
    report.outcome = "failed"
    report.longrepr = longrepr(item, "heapsake: the test " + message, lines)


def note(report, **what):
    """What the session's summary adds up. It goes with the report, also from a worker to pytest-xdist's controller."""
    report.heapsake = dict(getattr(report, "heapsake", None) or {}, **what)
