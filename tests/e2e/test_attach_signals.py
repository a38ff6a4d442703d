"""Attaching to programs that signals interrupt all the time, and signals that interrupt an attach or a detach."""

import json
import os
import signal

import pytest

from e2e.test_attach import attach, belongings, settled, talk  # noqa: F401 (fixtures)
from support import running, traces
from support.building import TARGETS
from support.running import asleep, first_line

ROUNDS = 5


def rounds(pid, folder, count=ROUNDS):
    for number in range(count):
        traces.heapsake("attach", "--duration", "0.05", "-o", folder / f"{number}.hsk", pid).ok()


def ended(process):
    """It had nothing to complain about."""
    done = running.finish(process).ok()
    assert done.err == "", f"{done}"
    return json.loads(done.out)


# ---- timers ----


@pytest.mark.parametrize("wait, handler", [
    ("read", "interrupt"), ("poll", "interrupt"), ("epoll", "interrupt"), ("nanosleep", "interrupt"), ("semaphore", "interrupt"),
    ("malloc", "interrupt"), ("read", "restart"), ("semaphore", "restart"), ("poll", "altstack"), ("malloc", "altstack"),
])
def test_timer(target, started, tmp_path, wait, handler):
    """A thousand times a second. The program itself tells whether it was interrupted by anything else."""
    program = started([target("timers.c", "-pthread"), wait, handler], stdin=-1)
    rounds(int(first_line(program)), tmp_path)
    said = ended(program)
    assert said["ticks"] > 50 and said["waits"] > 10, said


TIMER = """
import json, os, signal, sys, threading, time
ticks = 0
def tick(number, frame):
    global ticks
    ticks += 1
signal.signal(signal.SIGALRM, tick)
signal.signal(signal.SIGPROF, tick)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set())).start()
print(os.getpid(), flush=True)
sleeps = 0
while not ended.is_set():
    began = time.monotonic()
    time.sleep(0.01)  # is begun anew when a signal interrupts it
    assert time.monotonic() - began >= 0.01
    kept = [[i, str(i)] for i in range(3000)]
    sleeps += 1
signal.setitimer(signal.ITIMER_REAL, 0)
signal.setitimer(signal.ITIMER_PROF, 0)
print(json.dumps({"sleeps": sleeps, "ticks": ticks}))
"""


def test_timer_of_python(python, started, tmp_path):
    program = started([python.path, "-c", TIMER], stdin=-1)
    rounds(int(first_line(program)), tmp_path)
    said = ended(program)
    assert said["ticks"] > 50 and said["sleeps"] > 5, said


# ---- interpreters in threads ----

INTERPRETERS = """
import json, os, sys, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
run = getattr(interpreters, "exec", None) or interpreters.run_string
WORK = '''
import time
time.sleep(0)  # before 3.12 the interpreters share a lock, and do not hear each other ask for it
kept = {}
for i in range(300):
    kept[str(i)] = [object() for _ in range(20)]
assert len(kept) == 300
'''
ended = threading.Event()
runs = [0, 0, 0]
def work(number):
    made = interpreters.create()  # from 3.12 on with a GIL of its own
    while not ended.is_set():
        assert not run(made, WORK)
        runs[number] += 1
    interpreters.destroy(made)
threads = [threading.Thread(target=work, args=(number,)) for number in range(len(runs))]
for thread in threads:
    thread.start()
print(os.getpid(), flush=True)
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
print(json.dumps(runs))
"""


def test_interpreters_in_threads(python, started, tmp_path):
    program = started([python.path, "-W", "ignore", "-c", INTERPRETERS], stdin=-1)
    rounds(int(first_line(program)), tmp_path, 3)
    assert min(ended(program)) > 0
    for number in range(3):
        traces.Trace(tmp_path / f"{number}.hsk").whole(unknown_frees=1 << 40)


# ---- interrupts while it is being left ----


@pytest.mark.parametrize("times", [1, 2, 5])
def test_interrupted_while_leaving(one_python, talk, attach, times):
    """However often: the program is left, and its trace is whole, if not by `attach`, then by the recorder."""
    program = talk([one_python.path, TARGETS / "py_attached.py", "select"])
    program.ask("keep 60000")  # the last snapshot takes its time
    before, belongs = program.ask("state"), belongings(program.pid)
    attached = attach(program.pid)
    for _ in range(times):
        os.kill(attached.process.pid, signal.SIGINT)
    done = running.finish(attached.process)
    assert done.status in ((traces.EXIT_DONE,) if times == 1 else (traces.EXIT_DONE, traces.EXIT_UNUSABLE)), f"{done}"
    traces.settled(attached.trace).whole(unknown_frees=1 << 40)
    settled(program.pid, belongs)
    assert program.ask("state") == before
    assert attached.trace.summary["process"]["ended_by"] == "detach"
    program.end()


def test_detach_is_interrupted(one_python, talk, attach, started):
    """Who has asked for it is not needed for it."""
    program = talk([one_python.path, TARGETS / "py_attached.py", "select"])
    program.ask("keep 60000")
    attached = attach(program.pid)
    os.kill(program.pid, signal.SIGSTOP)  # so that it cannot be left yet
    detach = started([traces.heapsake_binary(), "detach", program.pid])
    asleep(detach.pid)  # it has asked, and waits
    os.kill(detach.pid, signal.SIGINT)
    assert running.finish(detach).status == -signal.SIGINT
    os.kill(program.pid, signal.SIGCONT)
    attached.end(None)
    program.end()
