"""Snapshots that cannot be had: who may ask, and what is said."""

import os
import signal
import subprocess
import sys

import pytest

from e2e.test_snapshot_requests import ask
from fault.test_full import in_small_filesystem
from support import running, traces
from support.chunks import snapshots
from support.running import asleep, first_line
from support.traces import the_recorder


def go_on(pid, launcher):
    """`heapsake run` has stopped with its program."""
    os.kill(pid, signal.SIGCONT)
    os.kill(launcher.pid, signal.SIGCONT)


def refused(*words, status=traces.EXIT_UNUSABLE):
    done = traces.heapsake("snapshot", *words)
    assert done.status == status, f"{done}"
    assert done.out == "" and done.err.count("\n") == 1 and done.err.startswith("heapsake: "), f"{done}"
    return done.err


def test_usage():
    assert "no process given" in refused(status=traces.EXIT_USAGE)
    assert "one process" in refused(1, 2, status=traces.EXIT_USAGE)
    for word in ("0", "-1", "x", "12x", "", "99999999999999"):
        refused("--", word, status=traces.EXIT_USAGE)


def test_not_traced(started):
    program = started(["sleep", "60"])
    done = running.run([*traces.among_no_recorders(), traces.heapsake_binary(), "snapshot", program.pid])
    assert done.status == traces.EXIT_UNUSABLE and done.out == "" and done.err.count("\n") == 1, f"{done}"
    assert "is not traced" in done.err
    running.end(program)
    assert "no such process" in refused(program.pid)


SILENT = """
import socket, subprocess, sys
silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
for number, one in enumerate(silent):
    one.bind(f"\\0heapsake.{number}.silent")
    one.listen()
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


def test_silent_recorders(started, needs_root):
    """Recorders that stand still are waited for together, not in turn; in a network of their own, for other tests' sake."""
    program = started(["sleep", "60"])
    done = running.run(["unshare", "--net", sys.executable, "-c", SILENT, traces.heapsake_binary(), "snapshot",
                        program.pid])
    if "unshare" in done.err:
        pytest.skip("no new network here")
    assert done.status == traces.EXIT_UNUSABLE and "20 have not answered" in done.err, f"{done}"
    assert done.seconds < 20, "of 2 for each"


def test_switched_off(target, started, trace_file):
    program = started([*traces.command(trace_file, "--no-snapshot"), target("sleepers.c"), "epoll", 60000])
    assert "--no-snapshot" in refused(int(first_line(program)))


def test_stopped(target, started, trace_file):
    """A program that SIGSTOP holds is not touched; when it goes on, it is as before (poll survives that, epoll_wait not)."""
    program = started([*traces.command(trace_file), target("sleepers.c"), "poll", 14000])
    pid = int(first_line(program))
    asleep(pid)
    os.kill(pid, signal.SIGSTOP)
    assert "did not answer within 10 seconds" in refused(pid)
    assert running.alive(pid)
    go_on(pid, program)
    done = running.finish(program)
    assert done.status == 0 and '"result": 0, "errno": 0' in done.out, f"{done}"


def test_traced_by_another(target, started, trace_file):
    """Somebody's debugger has it, whose coming poll survives and epoll_wait does not."""
    if subprocess.run(["which", "strace"], capture_output=True).returncode:
        pytest.skip("strace is not installed")
    program = started([*traces.command(trace_file), target("sleepers.c"), "poll", 60000])
    pid = int(first_line(program))
    asleep(pid)
    tracer = started(["strace", "-qq", "-o", "/dev/null", "-p", str(pid)])
    running.until(lambda: f"TracerPid:\t{tracer.pid}" in open(f"/proc/{pid}/status").read(), what="the tracer")
    assert f"another program traces it (process {tracer.pid})" in refused(pid)
    running.end(tracer)
    ask(pid)


def test_another_user(target, started, trace_file, needs_root, as_nobody):
    """Only the user whose recorder it is, and root."""
    program = started([*traces.command(trace_file), target("sleepers.c"), "epoll", 60000])
    pid = int(first_line(program))
    asleep(pid)
    done = running.run(as_nobody([traces.heapsake_binary(), "snapshot", pid]))
    if done.status in (126, 127):
        pytest.skip("the command cannot be executed by others here")
    assert done.status == traces.EXIT_UNUSABLE and "another user's" in done.err, f"{done}"


BUSY_IN_C = """
import ctypes, os
print(os.getpid(), flush=True)
ctypes.PyDLL(None).sleep(12)  # with the GIL
"""


def test_busy_in_c(one_python, started, trace_file):
    program = started([*traces.command(trace_file), one_python.path, "-c", BUSY_IN_C])
    pid = int(first_line(program))
    asleep(pid)
    assert "busy" in refused(pid)
    assert running.finish(program).status == 0


def test_recorder_is_killed(target, started, trace_file):
    """While somebody waits: a clear answer, and the program goes on."""
    program = started([*traces.command(trace_file), target("sleepers.c"), "poll", 3000])
    pid = int(first_line(program))
    asleep(pid)
    os.kill(pid, signal.SIGSTOP)
    asker = started([traces.heapsake_binary(), "snapshot", pid])
    recorder = the_recorder(program, trace_file)
    running.until(lambda: any("socket" in os.readlink(fd) for fd in os.scandir(f"/proc/{asker.pid}/fd")
                              if fd.is_symlink()), what="the question")
    os.kill(recorder, signal.SIGKILL)
    done = running.finish(asker)
    assert done.status == traces.EXIT_UNUSABLE and done.err.count("\n") == 1, f"{done}"
    go_on(pid, program)
    assert '"result": 0, "errno": 0' in running.finish(program).out


LARGE = """
import os, time
kept = [[number] for number in range(400000)]
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_child_is_killed(one_python, started, trace_file):
    """Who has asked hears it, the trace says it, and the next snapshot is as good as ever."""
    program = started([*traces.command(trace_file), one_python.path, "-c", LARGE])
    pid = int(first_line(program))
    asleep(pid)
    asker = started([traces.heapsake_binary(), "snapshot", pid])
    child = running.until(lambda: next(iter(running.children_of(pid)), None), what="the child")
    os.kill(child, signal.SIGKILL)
    done = running.finish(asker)
    assert done.status == traces.EXIT_UNUSABLE and "its process was killed by signal 9" in done.err, f"{done}"
    assert ask(pid)["snapshot"] == 2
    os.kill(pid, signal.SIGKILL)
    running.finish(program)
    trace = traces.Trace(trace_file).whole()
    found = snapshots(trace_file)
    assert found[-1]["number"] == 2 and found[-1]["whole"] == 1, found
    if len(found) == 2:
        assert "whole" not in found[0] and "its process" in found[0]["problems"][0], found
    else:
        assert any("Snapshot 1 (asked) is missing: its process" in text for text in trace.summary["blind_spots"])


def test_full_disk(one_python, tmp_path):
    """Of a snapshot that does not fit, what did is there, and the program does not notice."""
    words = [one_python.path, "-c", "kept = [[number] for number in range(300000)]; print(len(kept))"]
    done, trace = in_small_filesystem(tmp_path, 600, words)
    assert done.status == 0 and done.out == "300000\n", f"{done}"
    assert sum("space" in line.lower() for line in done.err.splitlines()) == 1, done.err
    assert trace.summary["trace"]["complete"] in (False, True)
    assert not any(one.get("whole") for one in snapshots(trace.path))
