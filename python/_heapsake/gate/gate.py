"""One process's trace, and who reads it."""

import hashlib
import os

from .. import marks
from ..trace_file import trace_file
from .command import CommandError, find_command, report
from .follower import Follower


LONGEST_NAME = 1000  # bytes; regions may have longer ones, but not those of file names and tables


def region_name(test):
    """What the region of a test is called: as the test, unless that is very long."""
    name = test.encode("utf-8", "backslashreplace")
    if len(name) <= LONGEST_NAME:
        return name.decode()
    digest = hashlib.sha256(name).hexdigest()[:16]
    return name[: LONGEST_NAME - len(digest) - 1].decode("utf-8", "ignore") + "#" + digest


class Gate:
    """
    Answers about the trace of this process, while it is written. Gate.here() is this process's: a forked child has a trace,
    and a gate, of its own.
    """

    _here = None

    @classmethod
    def here(cls):
        """Raises CommandError when this process is not traced, or there is nobody to read its trace."""
        if cls._here is None or cls._here.pid != os.getpid():
            cls._here = cls()
        return cls._here

    @classmethod
    def close(cls):
        gate, cls._here = cls._here, None
        if gate and gate.pid == os.getpid():
            gate.follower.close()

    def __init__(self):
        self.pid = os.getpid()
        if not marks.tracing():
            raise CommandError("this process is not traced by heapsake")
        self._flush()
        self.trace = trace_file()
        if not self.trace:
            raise CommandError("where the trace of this process is written is not known")
        self.explained = 0  # tests of which it was told why they leak
        self.command = find_command()
        self.follower = Follower(self.command, self.trace)

    @staticmethod
    def _flush():
        try:
            if marks.flush():
                return
        except OSError as error:
            raise CommandError(f"the trace cannot be read meanwhile: {error.strerror}") from None
        raise CommandError("this process is not traced any more")

    def occurrence(self, name, back=0, sites=False):
        """What follower.occurrence() says when everything up to now is in the trace."""
        self._flush()
        if self.follower.ended:  # something killed it: that question had no answer, this one may have
            self.follower.close()
            self.follower = Follower(self.command, self.trace)
        return self.follower.occurrence(name, back, sites)

    def snapshot(self):
        """Takes one. Returns whether there is one."""
        try:
            return bool(marks.snapshot())
        except OSError:
            return False

    def report(self, name, *options, operands=()):
        return report(self.command, name, *options, self.trace, *operands)
