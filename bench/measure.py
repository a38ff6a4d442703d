"""Runs programs and measures them: wall time, processor time, memory of the traced program and of the recorder."""

import contextlib
import os
import select
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 600


# On a machine that has other work: runs take precedence over it, with pauses in which it goes on.
realtime = False


@contextlib.contextmanager
def precedence():
    """What is started inside has real-time priority, if that was asked for; afterwards a pause as long as it took."""
    if not realtime:
        yield
        return
    begin = time.monotonic()
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        time.sleep(time.monotonic() - begin)


class Failed(Exception):
    """A program that should have run did not: the comparison would be with nothing."""


@dataclass
class Run:
    """One run of a program."""

    wall: float       # seconds
    cpu: float        # seconds of the process and of the children that it waited for
    out: str
    err: str


def clean_environment(**more):
    """Nothing of ours, of an interpreter or of malloc in it: every contender starts alike."""
    dropped = ("HEAPSAKE_", "PYTHON", "MALLOC_", "GLIBC_TUNABLES", "LD_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment["LC_ALL"] = "C.UTF-8"
    environment["PYTHONHASHSEED"] = "0"
    environment.update(more)
    return environment


def run(argv, env=None, cwd=None):
    """Runs a program to its end. Its output goes to files, so that no pipe slows it down."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, precedence():
        begin = time.perf_counter()
        process = subprocess.Popen([os.fspath(word) for word in argv], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=err, env=env or clean_environment(), cwd=cwd)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        texts = [stream.read().decode("utf-8", "replace") for stream in (out, err)]
    if process.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))} ended with {process.returncode}: {texts[1][-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, *texts)


@dataclass
class Figure:
    """A noisy quantity: what several runs of it gave."""

    values: list

    @property
    def median(self):
        return statistics.median(self.values)

    def over(self, other):
        """The ratio of the medians; its spread is that of the runs against the other's median."""
        return Figure([value / other.median for value in self.values])

    def minus(self, other):
        return Figure([value - other.median for value in self.values])


def interleaved(contenders, rounds, progress=lambda text: None):
    """
    Runs each of `contenders` (name -> function that returns a Run) once a round, so that what disturbs the machine
    disturbs all of them. One round before is not counted: it fills the caches. Returns name -> list of Run.
    """
    runs = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            progress(f"round {number} of {rounds}: {name}")
            result = contender()
            if number:
                runs[name].append(result)
    return runs


# ---- /proc ----


def status_fields(text):
    """The "Name: 123 kB" lines of a /proc/PID/status as bytes."""
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            fields[name] = int(words[0]) * 1024
    return fields


def status_of(pid):
    try:
        return status_fields(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return {}


def parent_of(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[1])


def executable_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


@dataclass
class Watched:
    """One run of `heapsake run`, seen from outside."""

    closing: float | None    # seconds from the end of the program to the end of `heapsake run`; None: too short a life
    recorder: dict           # the recorder's /proc/PID/status at its largest, bytes
    err: str                 # what program and closing screen wrote


def watch(argv, heapsake, env=None):
    """
    Runs `argv`, a `heapsake run`, and looks for its recorder and its program among the processes. Disturbs what it
    watches, so it is no run to take the wall time of.
    """
    heapsake = os.path.realpath(heapsake)
    before = {pid for pid in processes() if executable_of(pid) == heapsake}
    recorder, program, closing = {}, None, None
    with tempfile.TemporaryFile() as err, precedence():
        process = subprocess.Popen([os.fspath(word) for word in argv], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=err, env=env or clean_environment())
        launcher = os.pidfd_open(process.pid)
        poll = select.poll()
        poll.register(launcher, select.POLLIN)
        ended_at, deadline = None, time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            events = [fd for fd, _ in poll.poll(2)]
            now = time.perf_counter()
            if program is not None and program in events:
                ended_at = now
                poll.unregister(program)
            if launcher in events:
                closing = now - ended_at if ended_at else None
                break
            own = [pid for pid in processes() if pid not in before and executable_of(pid) == heapsake]
            for pid in own:
                fields = status_of(pid)
                if pid != process.pid and fields.get("VmHWM", 0) >= recorder.get("VmHWM", 0):
                    anonymous = max(fields.get("RssAnon", 0), recorder.get("RssAnon", 0))
                    recorder = fields | {"RssAnon": anonymous}
            if program is None:
                for pid in processes():
                    if parent_of(pid) == process.pid and executable_of(pid) not in (heapsake, None):
                        program = os.pidfd_open(pid)
                        poll.register(program, select.POLLIN)
                        break
        process.wait()
        for fd in (launcher, program):
            if fd is not None:
                os.close(fd)
        err.seek(0)
        text = err.read().decode("utf-8", "replace")
    if process.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))} ended with {process.returncode}: {text[-2000:]}")
    return Watched(closing, recorder, text)
