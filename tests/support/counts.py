"""What a trace says of counts: watches with the events that they have seen, read from `heapsake dump --json`."""

import json
import subprocess
from dataclasses import dataclass, field

from . import traces


@dataclass
class Seen:
    """One change of a count."""
    count: int
    thread: int
    stack: list

    @property
    def functions(self):
        return [frame["function"] for frame in self.stack]


@dataclass
class Watch:
    number: int
    begin: dict
    seen: list = field(default_factory=list)
    end: dict = None

    @property
    def type(self):
        return self.begin["type"]

    @property
    def address(self):
        return self.begin["address"]

    @property
    def born(self):
        return self.begin["born"]

    @property
    def birthplace(self):
        """The innermost frame of Python code, where stacks were dumped and there is one; else the innermost."""
        if "stack" not in self.begin:
            return self.begin["frame"]
        python = [frame for frame in self.begin["stack"] if frame["language"] == "python"]
        return (python or self.begin["stack"])[0]

    @property
    def counts(self):
        """From the begin on."""
        return [self.begin["count"], *(event.count for event in self.seen)]

    @property
    def last(self):
        return self.counts[-1]

    @property
    def deltas(self):
        return [after - before for before, after in zip(self.counts, self.counts[1:])]

    @property
    def reason(self):
        return self.end and self.end["reason"]

    def changes(self):
        """(delta, event) of each change."""
        return list(zip(self.deltas, self.seen))


def watches(trace, stacks=True):
    """{number: Watch} of a trace; without `stacks` a stack is its innermost frame, which is faster by far."""
    found, early = {}, {}
    words = [traces.heapsake_binary(), "dump", "--json", *(["--stacks"] if stacks else []), trace.path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as dump:
        for line in dump.stdout:
            if b'"watch' not in line[:120]:
                continue
            event = json.loads(line)
            if event["event"] == "watch":
                found[event["watch"]] = Watch(event["watch"], event, early.pop(event["watch"], []))
            elif event["event"] == "watch-end":
                found[event["watch"]].end = event
            elif event["event"] == "count" and event["source"] == "watch":
                stack = event["stack"] if stacks else [event["frame"]] if event["frame"] else []
                seen = Seen(event["count"], event["thread"], stack)
                watch = found.get(event["watch"])
                (watch.seen if watch else early.setdefault(event["watch"], [])).append(seen)
    assert dump.returncode == 0
    assert not early, f"changes of watches that never began: {sorted(early)}"
    return found
