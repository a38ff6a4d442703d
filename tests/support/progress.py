"""targets/progress.c, which tells each batch of blocks that it has allocated, under heapsake run."""

import os
import subprocess

from . import running, traces

BATCH, SIZE = 200, 4243


def last_number(text):
    """Of the batches that the program said it had done; the last line may be cut off."""
    numbers = [int(line) for line in text.splitlines(keepends=True) if line.endswith("\n") and line.strip().isdigit()]
    return numbers[-1] if numbers else 0


class AtGate:
    """It has said its first batch and waits at its gate; the others are to come."""

    def __init__(self, started, trace_file, program, batches, *options):
        self.trace_file = trace_file
        self.process = started([*traces.command(trace_file, *options), program, batches, "gate"],
                               stdin=subprocess.PIPE)
        self.recorder = traces.the_recorder(self.process, trace_file)
        self.program = traces.the_program(self.process, program)
        self.out = running.first_line(self.process)

    def until_recorded(self):
        """The first batch is in the trace, and the recorder has nothing to do."""
        def recorded():
            done = traces.heapsake("summary", self.trace_file)
            return done.status == traces.EXIT_DONE and traces.Trace(self.trace_file).allocations_near(SIZE) >= BATCH
        running.until(recorded, what="the first batch in the trace")

    def open(self):
        self.process.stdin.write(b"x")

    def open_before_a_recorder_that_stands_still(self):
        running.stop(self.recorder)
        self.open()

    def until_it_waits_for_the_recorder(self):
        """Which stands still, so that a ring is full."""
        running.asleep_in(self.program, running.FUTEX)  # it has no futex of its own

    def read_on(self):
        """A part of what the program has said by now; False: it has ended."""
        piece = os.read(self.process.stdout.fileno(), 4096).decode()
        self.out += piece
        return bool(piece)

    def finish(self):
        """What became of it; `out` is all that the program has said."""
        done = running.finish(self.process)
        done.out = self.out = self.out + done.out
        return done
