"""The injector: a running program calls a function of ours on a new thread, and notices nothing else."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from support import running
from support.building import TARGETS, build_folder
from support.running import asleep, first_line

OWN_SIGNALS = (1 << 32 - 1) | (1 << 33 - 1)  # libc's own two
CANNOT_BE_BLOCKED = (1 << signal.SIGKILL - 1) | (1 << signal.SIGSTOP - 1)


@pytest.fixture(scope="module")
def library(target):
    return target("injected.c", "-shared", name="libinjected.so")


def threads(pid):
    return sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())


def descriptors(pid):
    return {fd.name: os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}


def inject(pid, library, file, *, deadline=20000, times=1, function="injected", **environment):
    return running.run([build_folder() / "tests" / "inject", pid, library, function, file, deadline, times],
                       env=running.clean_environment(**environment))


def said(file, count=1):
    """What the function wrote, once it has been called so often."""
    def lines():
        found = Path(file).read_text().splitlines() if Path(file).exists() else []
        return len(found) >= count and [json.loads(line) for line in found]
    found = running.until(lines, what=f"{count} calls")
    assert len(found) == count
    return found


def injected(pid, library, file, **more):
    report = json.loads(inject(pid, library, file, **more).ok().out)
    assert report["stopped"] <= report["longest"] and report["attempts"] >= 1
    return report


SLEEPERS = ["epoll", "poll", "ppoll", "select", "nanosleep", "sleep_until", "futex", "wait", "read", "join"]


@pytest.mark.parametrize("kind", SLEEPERS)
def test_asleep(target, started, library, tmp_path, kind):
    """Its call neither fails nor ends early nor late; the new thread is as promised, and goes."""
    milliseconds = 2500
    program = started([target("sleepers.c"), kind, milliseconds])
    pid = int(first_line(program))
    asleep(pid)
    before = threads(pid), descriptors(pid)
    for count in range(1, 4):
        report = injected(pid, library, tmp_path / "said")
        assert report["tid"] in before[0]
        last = said(tmp_path / "said", count)[-1]
        assert last["pid"] == pid and last["tid"] not in before[0] and last["stack"] == 256 << 10
        assert last["blocked"] | CANNOT_BE_BLOCKED == (1 << 64) - 1 & ~OWN_SIGNALS
        running.until(lambda: (threads(pid), descriptors(pid)) == before, what="the end of the thread")
    done = running.finish(program).ok()
    result = json.loads(done.out)
    assert result["result"] == 0 and result["errno"] == 0, result
    assert milliseconds - 20 <= result["milliseconds"] < milliseconds + 1000, result


@pytest.mark.parametrize("kind", ["busy", "malloc", "loader", "threads", "stack64", "stack16"])
def test_at_work(target, started, library, tmp_path, kind):
    """It checks its own work all the time."""
    program = started([target("injectees.c"), kind], stdin=-1)
    pid = int(first_line(program))
    injected(pid, library, tmp_path / "said", times=30)
    said(tmp_path / "said", 30)
    done = running.finish(program).ok()
    assert json.loads(done.out)["rounds"] > 10 and done.err == ""


def test_starved(target, started, library, tmp_path):
    """A thread that hardly ever gets a processor is waited for, and does not stand still until somebody looks at it again."""
    # of one session: the scheduler shares the processor out to sessions first
    program, hog = (started([target("injectees.c"), "busy"], stdin=-1, start_new_session=False, preexec_fn=os.setpgrp)
                    for _ in range(2))
    pid = int(first_line(program))
    for one in (pid, int(first_line(hog))):
        os.sched_setaffinity(one, {min(os.sched_getaffinity(0))})
    # It may have been on its way from its first line to its loop, through the loader; starved, it would stay there for long.
    injected(pid, library, tmp_path / "said")
    said(tmp_path / "said", 1)
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    for count in range(2, 6):
        assert injected(pid, library, tmp_path / "said")["attempts"] == 1
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        said(tmp_path / "said", count)
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    for one in (program, hog):
        assert running.finish(one).ok().err == ""


def test_exceptions(target, started, library, tmp_path):
    program = started([target("injectee_throws.cpp")], stdin=-1)
    pid = int(first_line(program))
    injected(pid, library, tmp_path / "said", times=30)
    said(tmp_path / "said", 30)
    done = running.finish(program).ok()
    assert json.loads(done.out)["rounds"] > 10 and done.err == ""


@pytest.mark.parametrize("kind", ["asyncio", "sleep", "lock", "input", "threads", "busy", "fork"])
def test_python(python, started, library, tmp_path, kind):
    seconds = 2
    program = started([python.path, TARGETS / "py_sleepers.py", kind, seconds], stdin=-1)
    pid = int(first_line(program))
    for count in range(1, 6):
        injected(pid, library, tmp_path / "said")
        said(tmp_path / "said", count)
    done = running.finish(program, input=b"a line\n" if kind == "input" else None).ok()
    assert done.err == ""
    result = json.loads(done.out)
    assert result["threads"] == 1 and result["tasks"] == 1, result
    if kind != "input":
        assert seconds - 0.01 <= result["took"] < seconds + 1.5, result


def mappings(pid):
    return Path(f"/proc/{pid}/maps").read_text().splitlines()


def test_nothing_adds_up(target, started, library, tmp_path):
    """However often it is called: the mappings that the first calls have made are all."""
    program = started([target("sleepers.c"), "poll", 60000])
    pid = int(first_line(program))
    asleep(pid)
    before = threads(pid), descriptors(pid)

    def call(times, total):
        injected(pid, library, tmp_path / "said", times=times)
        said(tmp_path / "said", total)
        running.until(lambda: (threads(pid), descriptors(pid)) == before, what="the end of the threads")
        return len(mappings(pid))

    untouched = len(mappings(pid))
    first = call(50, 50)
    second = call(50, 100)
    # the library's segments; a few stacks with their guards, and arenas of threads that were there at once
    assert first - untouched <= 5 + 4 * 8
    assert second <= first + 4
    assert injected(pid, library, tmp_path / "said")["descriptors"] == \
        injected(pid, library, tmp_path / "said", times=20)["descriptors"]  # the injector's own
    os.kill(pid, signal.SIGKILL)
    running.finish(program)


@pytest.mark.parametrize("step", range(1, 7))
@pytest.mark.parametrize("kind", ["epoll", "busy"])
def test_killed_at(target, started, library, tmp_path, kind, step):
    """Killed behind any step, the program goes on, and can be called again."""
    milliseconds = 1500
    sleeper = [target("sleepers.c"), kind, milliseconds]
    program = started([target("injectees.c"), kind] if kind == "busy" else sleeper, stdin=-1)
    pid = int(first_line(program))
    if kind != "busy":
        asleep(pid)
    done = inject(pid, library, tmp_path / "said", HEAPSAKE_FAULT_INJECTION=step)
    assert done.status == -signal.SIGKILL, f"{done}"
    sent = step >= 5  # its registers are set: nothing of us is needed any more
    if sent:
        said(tmp_path / "said", 1)
    injected(pid, library, tmp_path / "said")
    said(tmp_path / "said", 1 + sent)
    result = json.loads(running.finish(program).ok().out)
    if kind != "busy":
        assert result["result"] == 0 and result["errno"] == 0, result
        assert milliseconds - 20 <= result["milliseconds"] < milliseconds + 1000, result


def refused(*arguments, **more):
    began = time.monotonic()
    done = inject(*arguments, **more)
    assert done.status == 1 and done.out == "", f"{done}"
    assert done.err.count("\n") == 1 and time.monotonic() - began < 10, f"{done}"
    return done.err


def test_no_such_process(started, library, tmp_path):
    program = started(["true"])
    running.finish(program)
    assert f"there is no process {program.pid}" in refused(program.pid, library, tmp_path / "said")


def test_zombie(started, library, tmp_path):
    program = started(["true"])
    running.until(lambda: "Z (zombie)" in Path(f"/proc/{program.pid}/status").read_text(), what="its end")
    assert "has ended" in refused(program.pid, library, tmp_path / "said")


def test_static_executable(target, started, library, tmp_path):
    program = started([target("sleepers.c", "-static"), "poll", 1000])
    pid = int(first_line(program))
    assert "static executable" in refused(pid, library, tmp_path / "said")
    assert json.loads(running.finish(program).ok().out)["errno"] == 0


def test_stopped_process(target, started, library, tmp_path):
    """It stays stopped."""
    program = started([target("sleepers.c"), "poll", 60000])
    pid = int(first_line(program))
    asleep(pid)
    os.kill(pid, signal.SIGSTOP)
    running.until(lambda: "T (stopped)" in Path(f"/proc/{pid}/status").read_text(), what="its stop")
    assert "no thread of process" in refused(pid, library, tmp_path / "said", deadline=300)
    # a tracer's end makes the kernel stop it anew, for which it needs a processor
    running.until(lambda: "T (stopped)" in Path(f"/proc/{pid}/status").read_text(), what="its stop")
    os.kill(pid, signal.SIGCONT)
    asleep(pid)
    injected(pid, library, tmp_path / "said")
    said(tmp_path / "said")
    os.kill(pid, signal.SIGKILL)
    running.finish(program)


def test_unknown_library(target, started, tmp_path, library):
    """Nothing happens."""
    program = started([target("sleepers.c"), "poll", 1000])
    pid = int(first_line(program))
    asleep(pid)
    inject(pid, "/no/such/library.so", tmp_path / "said").ok()
    inject(pid, library, tmp_path / "said", function="no_such_function").ok()
    assert json.loads(running.finish(program).ok().out)["errno"] == 0
    assert not (tmp_path / "said").exists()


def test_relative_library(target, started, tmp_path):
    program = started([target("sleepers.c"), "poll", 500])
    pid = int(first_line(program))
    assert "absolute" in refused(pid, "library.so", tmp_path / "said")
    running.finish(program).ok()
