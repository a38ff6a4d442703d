"""
Asks `heapsake follow` about regions of a trace that is being written. That is one process for all questions, which reads the
trace once: the cost of a question is that of the events since the last one.
"""

import json
import subprocess

from .command import CommandError


class Frame:
    """A function on its way: function, file, line (None: unknown); module of native code; language."""

    __slots__ = ("function", "file", "line", "module", "language")

    def __init__(self, function, file, line, module, language):
        self.function, self.file, self.line, self.module, self.language = function, file, line, module, language

    @property
    def key(self):
        return self.function, self.file, self.line, self.module

    def __repr__(self):
        return f"{self.function} {self.file or self.module}:{self.line}"


class Site:
    """Blocks with the same stack that were born in one occurrence of a region and live."""

    __slots__ = ("count", "bytes", "ordinals", "stack")

    def __init__(self, count, bytes, ordinals, stack):
        self.count, self.bytes, self.ordinals = count, bytes, ordinals
        self.stack = tuple(Frame(**frame) for frame in stack)

    @property
    def key(self):
        return tuple(frame.key for frame in self.stack)


class Occurrence:
    """One time that a region was entered: its numbers as of now."""

    __slots__ = ("ended", "allocations", "allocated_bytes", "peak_bytes", "live_bytes", "live_blocks", "sites")

    def __init__(self, ended, allocations, allocated_bytes, peak_bytes, live_bytes, live_blocks, sites=()):
        self.ended, self.allocations, self.allocated_bytes = ended, allocations, allocated_bytes
        self.peak_bytes, self.live_bytes, self.live_blocks = peak_bytes, live_bytes, live_blocks
        self.sites = tuple(Site(**site) for site in sites)


def escaped(name):
    return name.encode("utf-8", "backslashreplace").replace(b"%", b"%25").replace(b"\n", b"%0A")


class Follower:
    """Not thread-safe. Ends with close(), or when this process does. Raises CommandError."""

    def __init__(self, command, trace):
        try:
            self.process = subprocess.Popen([command, "follow", trace], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE)
        except OSError as error:
            raise CommandError(f"{command}: {error.strerror}") from None

    @property
    def ended(self):
        return self.process.poll() is not None

    def occurrence(self, name, back=0, sites=False):
        """The last occurrence of the region `name` but `back`, as the trace has it now. Raises CommandError."""
        question = f"{back} {'sites' if sites else 'sums'} ".encode() + escaped(name) + b"\n"
        try:
            self.process.stdin.write(question)
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError:
            answer = b""
        if not answer.endswith(b"\n"):
            self.process.kill()
            self.process.wait()
            said = self.process.stderr.read().decode("utf-8", "replace").strip().splitlines()
            raise CommandError(said[-1] if said else "heapsake follow has ended")
        answer = json.loads(answer)
        if "error" in answer:
            raise CommandError(answer["error"])
        return Occurrence(**answer)

    def close(self):
        try:
            self.process.stdin.close()
        except OSError:  # half of a question is left, and nobody there to read it
            pass
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()
