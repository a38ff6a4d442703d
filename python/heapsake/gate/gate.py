"""One process's trace, and who reads it."""

import os

import heapsake

from .._trace_file import trace_file
from .command import CommandError, find_command, report
from .follower import Follower


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
        if not heapsake.tracing():
            raise CommandError("this process is not traced by heapsake")
        heapsake.flush()
        self.trace = trace_file()
        if not self.trace:
            raise CommandError("where the trace of this process is written is not known")
        self.command = find_command()
        self.follower = Follower(self.command, self.trace)

    def occurrence(self, name, back=0, sites=False):
        """What follower.occurrence() says when everything up to now is in the trace."""
        heapsake.flush()
        return self.follower.occurrence(name, back, sites)

    def snapshot(self):
        """Takes one. Returns whether there is one."""
        try:
            taken = heapsake.snapshot()
        except OSError:
            return False
        heapsake.flush()
        return bool(taken)

    def report(self, name, *options, operands=()):
        return report(self.command, name, *options, self.trace, *operands)
