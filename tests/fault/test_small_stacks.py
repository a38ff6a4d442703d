"""Snapshots are not taken on what little stack the program's thread has left."""

from e2e.test_snapshot_requests import ask
from support import running, traces
from support.chunks import whole_snapshots
from support.running import first_line


def test_smallest_thread(target, started, trace_file):
    """It allocates all the time, so that it is the one that sees the request."""
    program = started([*traces.command(trace_file), target("small_stacks.c"), "thread"], stdin=-1)
    pid = int(first_line(program))
    for number in 1, 2, 3:
        assert ask(pid)["snapshot"] == number
    done = running.finish(program, input=b"\n")
    assert done.status == 0, f"{done}"
    assert [one["reason"] for one in whole_snapshots(trace_file)] == ["asked"] * 3 + ["exit"]


def test_signal_handler_ends_the_program(target, trace_file):
    done = running.run([*traces.command(trace_file), target("small_stacks.c"), "handler"])
    assert done.status == 7, f"{done}"
    assert [one["reason"] for one in whole_snapshots(trace_file)] == ["exit"]
