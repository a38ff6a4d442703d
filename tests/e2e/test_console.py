"""What `heapsake run` passes on: standard streams, the exit status, signals, stopping and continuing."""

import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from support import running, traces
from support.running import until


def test_streams(target, trace_file):
    data = os.urandom(300_000)
    process = running.start([*traces.command(trace_file), target("console.c"), "copy"], stdin=subprocess.PIPE)
    out, err = process.communicate(input=data, timeout=60)
    assert process.returncode == 0
    assert out == data
    assert err.startswith(b"copied\n")


def test_closing_screen_is_on_stderr_alone(target, record):
    traced = record([target("counts.c"), "malloc_keep", 10])
    assert traced.out.count("\n") == 1 and traced.out.startswith("{")
    assert traced.trace.path.name in traced.err
    assert len(traced.err.splitlines()) <= 40


@pytest.mark.parametrize("status", [0, 1, 2, 3, 77, 127, 255])
def test_exit_status(record, status):
    traced = record(["sh", "-c", f"exit {status}"])
    assert traced.status == status
    assert traced.trace.whole().exit == (status, None)


def begin(started, trace_file, program, mode, *options, **more):
    process = started([*traces.command(trace_file, *options), program, mode], **more)
    line = process.stdout.readline()
    assert line.strip() in (b"ready", b"0"), line
    return process


def program_pid(process, program):
    """The pid of the traced program below a running heapsake."""
    def find():
        for pid in running.children_of(process.pid):
            if running.command_line(pid)[:1] == [os.fsencode(program)]:
                return pid
    return until(find, what="the program's start")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2])
def test_signal_to_heapsake_alone(target, trace_file, started, number):
    """What is sent to heapsake reaches the program, which dies of it; the trace is finished all the same."""
    program = target("console.c")
    process = begin(started, trace_file, program, "wait_for_end")
    os.kill(process.pid, number)
    done = running.finish(process)
    assert done.status == 128 + number
    trace = traces.Trace(trace_file).whole()
    assert trace.exit == (None, number)


def test_interrupt_from_the_terminal(target, trace_file):
    """Ctrl-C goes to the whole foreground group: the program gets it once, heapsake finishes the trace."""
    program = target("console.c")
    pid, master = pty.fork()
    if pid == 0:
        argv = [os.fspath(word) for word in (*traces.command(trace_file), program, "count_interrupts")]
        os.execve(argv[0], argv, running.clean_environment())
    try:
        output = b""

        def read():
            nonlocal output
            ready, _, _ = select.select([master], [], [], 0.05)
            if ready:
                try:
                    output += os.read(master, 4096)
                except OSError:
                    pass
            return output
        until(lambda: b"ready" in read(), what="the program's start")
        os.write(master, b"\x03")
        inside = until(lambda: [child for child in running.children_of(pid)
                                if running.command_line(child)[:1] == [os.fsencode(program)]], what="the program")[0]
        time.sleep(0.3)  # in which a second, forwarded one would come
        os.kill(inside, signal.SIGUSR1)
        until(lambda: b"windows" in read(), what="the program's answer")
        status = until(lambda: _wait(pid, read), what="the end")
        assert b'"interrupts": 1, "terminations": 0' in output, output
        assert os.waitstatus_to_exitcode(status) == 3
    finally:
        os.close(master)
        if running.alive(pid):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    traces.Trace(trace_file).whole()


def _wait(pid, read):
    read()
    got, status = os.waitpid(pid, os.WNOHANG)
    return (status or 0x10000) if got else None


def test_interrupt_of_the_group(target, trace_file, started):
    """SIGINT sent by a process to the whole group reaches heapsake and program; the program counts what it got."""
    program = target("console.c")
    process = begin(started, trace_file, program, "count_interrupts")
    inside = program_pid(process, program)
    os.kill(process.pid, signal.SIGWINCH)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.3)
    os.kill(inside, signal.SIGUSR1)
    done = running.finish(process)
    assert done.status == 3
    assert '"interrupts": 1, "terminations": 1' in done.out
    traces.Trace(trace_file).whole()


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def test_stop_and_continue(target, trace_file, started):
    """A program that stops stops heapsake, as a shell's job control expects; SIGCONT wakes both."""
    program = target("console.c")
    # In a group of its own in this session: the kernel does not stop groups that are alone in theirs.
    process = begin(started, trace_file, program, "tick", start_new_session=False,
                    preexec_fn=lambda: os.setpgid(0, 0))
    inside = program_pid(process, program)
    os.kill(process.pid, signal.SIGTSTP)
    until(lambda: state(inside) == "T", what="the program's stop")
    until(lambda: state(process.pid) == "T", what="heapsake's stop")
    os.kill(process.pid, signal.SIGCONT)
    until(lambda: state(inside) != "T", what="the program's continuation")
    until(lambda: state(process.pid) != "T", what="heapsake's continuation")
    os.kill(inside, signal.SIGSTOP)  # by somebody else, with no chance to object
    until(lambda: state(process.pid) == "T", what="heapsake's second stop")
    os.kill(process.pid, signal.SIGCONT)
    until(lambda: state(inside) != "T", what="the program's second continuation")
    os.kill(inside, signal.SIGTERM)
    done = running.finish(process)
    assert done.status == 128 + signal.SIGTERM
    numbers = [int(line) for line in done.out.split()]
    assert numbers == list(range(1, len(numbers) + 1))
    traces.Trace(trace_file).whole()


def test_ignored_signals_stay_ignored(target, trace_file):
    """nohup heapsake run: the program inherits what was ignored."""
    argv = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh"]
    plain = running.run([*argv, target("surroundings.c"), "signals"]).ok()
    traced = running.run([*argv, *traces.command(trace_file), target("surroundings.c"), "signals"]).ok()
    assert traced.out == plain.out
    assert re.search(r"^1 ignored", plain.out, re.M)


def fifo_writer(path, process):
    """Opens the FIFO for writing once the daemon reads it."""
    def opened():
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None
    return until(opened, what="the daemon's start")


def test_daemon_outlives_its_parent(target, trace_file, tmp_path, started):
    """`run` returns at once, what waits for its output sees it end, and the daemon's trace is finished later."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = started([*traces.command(trace_file), target("processes.c"), "daemon", fifo])
    writer = None
    try:
        done = running.finish(process, timeout=20)  # reads stdout and stderr to their ends
        assert done.status == 0
        daemon = int(re.search(r'"child": (\d+)', done.out).group(1))
        writer = fifo_writer(fifo, process)
        assert running.alive(daemon)
    finally:
        if writer is not None:
            os.close(writer)
    until(lambda: not running.alive(daemon), what="the daemon's end")
    traces.Trace(trace_file).whole()
    child = traces.settled(traces.Trace(trace_file).child_of_pid(daemon))
    child.whole()
    assert len(child.allocations(6002)) == 100


def test_command_substitution(target, trace_file, tmp_path):
    """$(heapsake run ...) does not hang on a daemon that the program left behind."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    line = 'out=$("$@"); echo "got $out"'
    done = running.run(["sh", "-c", line, "sh", *traces.command(trace_file), target("processes.c"), "daemon", fifo],
                       timeout=20)
    assert done.out.startswith("got {")
    os.close(fifo_writer(fifo, None))


def test_program_that_is_not_there(trace_file):
    for name in ("no-such-program-anywhere", "/nonexistent/program"):
        done = running.run([*traces.command(trace_file), name])
        assert done.status in (2, 3, 127)
        lines = done.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("heapsake: ") and name in lines[0], done.err
        assert not trace_file.exists()


def test_wrong_usage():
    for words in (["run"], ["run", "--no-such-option", "true"], ["run", "--on-full=perhaps", "true"],
                  ["no-such-command"], ["summary"], ["summary", "--json"], ["peak", "--at", "yesterday", "x.hsk"]):
        done = traces.heapsake(*words)
        assert done.status == 2, f"{done}"
        assert done.out == ""
        assert done.err.startswith("heapsake: ") or "usage" in done.err.lower(), done.err


def test_help():
    done = traces.heapsake("--help").ok()
    for command in ("run", "summary", "leaks", "peak", "dump", "verify"):
        assert re.search(rf"^\s+{command}\b", done.out, re.M), done.out
        page = traces.heapsake(command, "--help").ok()
        assert page.out.strip() and page.err == ""
