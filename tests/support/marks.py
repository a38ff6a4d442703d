"""Marks and regions of a trace, from its dump."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field

from . import running, traces


@dataclass
class Occurrence:
    name: str
    all_threads: bool
    thread: int
    ended: bool = False
    births: list = field(default_factory=list)  # sizes of the blocks that were born in it


def so_far(trace):
    """The names of the marks in a trace that has just begun."""
    return read(trace)[0] if traces.heapsake("dump", trace.path).status == 0 else []


def read(trace):
    """(the marks' names in their order, the occurrences by number): what is born in which is found out here."""
    marks, occurrences, open_now = [], {}, {}
    with subprocess.Popen([traces.heapsake_binary(), "dump", "--json", trace.path], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as dump:
        for line in dump.stdout:
            if b'"event": "alloc"' in line:
                if open_now:
                    event = json.loads(line)
                    for region in open_now.values():
                        if region.all_threads or region.thread == event["thread"]:
                            region.births.append(event["size"])
            elif b'"event": "mark"' in line:
                event = json.loads(line)
                number = event.get("occurrence")
                if event["mark"] == "mark":
                    marks.append(event["name"])
                elif event["mark"] == "region-begin":
                    assert number not in occurrences
                    occurrences[number] = Occurrence(event["name"], event["all_threads"], event["thread"])
                    open_now[number] = occurrences[number]
                elif event["mark"] == "region-end":
                    assert event["name"] == open_now[number].name
                    open_now.pop(number).ended = True
    assert dump.returncode == 0
    return marks, occurrences


def regions(trace, size=None):
    """For each occurrence in the order of their begins: name, whether it ended, births (of that size)."""
    return [(one.name, one.ended, sum(size in (None, birth) for birth in one.births))
            for _, one in sorted(read(trace)[1].items())]


def attach_meanwhile(process, trace_file, started):
    """
    Attaches to a started program, which has told its pid and marks all the time, until some marks are there; then it may
    end. Its Result and the trace.
    """
    pid = int(running.first_line(process))
    attached = started([traces.heapsake_binary(), "attach", "-o", trace_file, pid])
    trace = traces.Trace(trace_file)
    assert b"attached to" in attached.stderr.readline()
    running.until(lambda: len(so_far(trace)) > 3, what="marks", timeout=60)
    os.kill(attached.pid, signal.SIGINT)
    assert running.finish(attached).status == 0
    process.stdin.write(b"\n")
    process.stdin.flush()
    done = running.finish(process)
    return done, trace
