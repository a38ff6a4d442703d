"""Running programs: with a deadline, in a session of their own, ending only what was started here."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 60

# What a test must not take from whoever runs it.
_DROPPED = ("LD_PRELOAD", "PYTEST_", "PYENV_VERSION", "PYENV_DIR", "PYENV_HOOK_PATH", "MALLOC_", "GLIBC_TUNABLES",
            "VIRTUAL_ENV", "PAGER", "GIT_")
_OWN = ("HEAPSAKE_", "PYTHON")


def clean_environment(**more):
    """The environment of a traced program: predictable, and with nothing of ours or of the interpreter's in it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED + _OWN)}
    environment["LC_ALL"] = "C.UTF-8"
    environment["PYTHONHASHSEED"] = "0"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    for name, value in more.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = str(value)
    return environment


@dataclass
class Result:
    """What a program left: `status` as wait gives it (negative: the signal), its output, and how long it took."""

    argv: list
    status: int
    out: str
    err: str
    seconds: float

    def ok(self):
        assert self.status == 0, f"{self}"
        return self

    def __str__(self):
        return f"{self.argv} ended with {self.status}\n--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-4000:]}"


class Timeout(AssertionError):
    pass


def text(argv):
    return [str(word) if isinstance(word, int) else os.fspath(word) for word in argv]


def start(argv, *, env=None, cwd=None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
          start_new_session=True, **more):
    """Starts a program in a session (or, by preexec_fn, at least a process group) of its own."""
    return subprocess.Popen(text(argv), env=clean_environment() if env is None else env, cwd=cwd, stdin=stdin,
                            stdout=stdout, stderr=stderr, start_new_session=start_new_session, bufsize=0, **more)


def end(process):
    """Ends a started program and what still belongs to its process group."""
    if process.poll() is None or _group_lives(process.pid):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def _group_lives(group):
    try:
        os.killpg(group, 0)
        return True
    except (ProcessLookupError, PermissionError):
        return False


def finish(process, *, timeout=TIMEOUT, input=None):
    """Waits for a started program and gives its Result; ends its whole group when it takes too long."""
    began = time.monotonic()
    try:
        out, err = process.communicate(input=input, timeout=timeout)
    except subprocess.TimeoutExpired:
        trouble = _where(process.pid)
        end(process)
        raise Timeout(f"{process.args} took more than {timeout} s\n{trouble}") from None
    return Result(process.args, process.returncode, (out or b"").decode(errors="surrogateescape"),
                  (err or b"").decode(errors="surrogateescape"), time.monotonic() - began)


def run(argv, *, timeout=TIMEOUT, input=None, **more):
    """Runs a program to its end."""
    if input is not None:
        more["stdin"] = subprocess.PIPE
    return finish(start(argv, **more), timeout=timeout, input=input)


def _where(group):
    """Where the processes of a group hang: for the message of a test that ran out of time."""
    lines = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(stat[2]) != group:
                continue
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            wait = (entry / "wchan").read_text()
            lines.append(f"{entry.name} {stat[0]} {wait}: {words[:200]}")
        except (OSError, IndexError, ValueError):
            continue
    return "\n".join(lines)


def until(condition, *, timeout=20, what="it"):
    """Waits until condition() is true, and gives its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"{what} did not happen within {timeout} s")
        time.sleep(0.01)


def first_line(process):
    """The line that a program says when it is ready, and nothing of what follows."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(process.stdout.fileno(), 1)
        assert byte, f"the program has ended: {process.communicate()}"
        line += byte
    return line.decode()


def asleep(pid):
    """Waits until every thread of it waits in a system call."""
    def check():
        return all((task / "syscall").read_text().split()[0] not in ("running", "-1")
                   for task in Path(f"/proc/{pid}/task").iterdir())
    until(check, what=f"the sleep of {pid}")


def stop(pid):
    """SIGSTOP, and waits until every thread of it stands still."""
    os.kill(pid, signal.SIGSTOP)

    def check():
        return all((task / "stat").read_text().rsplit(")", 1)[1].split()[0] in "Tt"
                   for task in Path(f"/proc/{pid}/task").iterdir())
    until(check, what=f"the standstill of {pid}")


READ, FUTEX = "0", "202"  # on x86-64


def asleep_in(pid, call):
    """Waits until its first thread waits in that system call, one of the numbers above."""
    until(lambda: Path(f"/proc/{pid}/syscall").read_text().split()[0] == call, what=f"the sleep of {pid} in {call}")


def children_of(pid):
    """The pids whose parent is pid."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry.name))
            except (OSError, IndexError, ValueError):
                continue
    return found


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []


def alive(pid):
    """Is there a process of that pid that has not ended?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
