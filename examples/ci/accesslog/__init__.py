"""Reads web servers' access logs: parse() makes a Request of a line, totals() adds up many."""

from collections import Counter

from . import _fields

__all__ = ["Request", "parse", "totals"]


class Request:
    __slots__ = ("host", "user", "time", "method", "path", "query", "status", "bytes")


def parse(line):
    """The request that a line tells of; ValueError when it tells of none."""
    return _fields.parse(line, Request)


def totals(lines):
    """Requests and bytes by path, and how many lines could not be read."""
    requests, sent, unreadable = Counter(), Counter(), 0
    for line in lines:
        try:
            request = parse(line)
        except ValueError:
            unreadable += 1
            continue
        path = _fields.tidy(request.path)
        requests[path] += 1
        sent[path] += request.bytes
    return {"requests": requests, "bytes": sent, "unreadable": unreadable}
