"""Snapshots that are asked for: by command, by the clock, by growth, by signal; of programs that run and that sleep."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from support import running, traces
from support.building import TARGETS
from support.chunks import whole_snapshots
from support.running import asleep, first_line


def belongings(pid):
    """What a process has that could stay behind: threads and descriptors."""
    fds = {fd.name: os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return sorted(task.name for task in Path(f"/proc/{pid}/task").iterdir()), fds


def settled_belongings(pid, before):
    running.until(lambda: belongings(pid) == before, what="the end of what was there for the snapshot")


def ask(pid):
    done = traces.heapsake("snapshot", "--json", pid)
    assert done.status == 0, f"{done}"
    return json.loads(done.out)


KINDS = ["epoll", "poll", "ppoll", "select", "nanosleep", "sleep_until", "futex", "wait", "read", "join"]


@pytest.mark.parametrize("kind", KINDS)
def test_c_program_asleep(target, started, trace_file, kind):
    """Its call neither fails nor ends early nor late; nothing stays."""
    milliseconds = 4000
    program = started([*traces.command(trace_file), target("sleepers.c"), kind, milliseconds])
    pid = int(first_line(program))
    asleep(pid)
    before = belongings(pid)
    first = ask(pid)
    assert first["pid"] == pid and first["reason"] == "asked" and first["snapshot"] == 1
    assert first["objects"] >= 1000 and first["trace"] == str(trace_file)
    settled_belongings(pid, before)
    ask(pid)
    settled_belongings(pid, before)
    done = running.finish(program)
    assert done.status == 0, f"{done}"
    said = json.loads(done.out)
    assert said["result"] == 0 and said["errno"] == 0, said
    assert milliseconds - 20 <= said["milliseconds"] < milliseconds + 1000, said
    found = whole_snapshots(trace_file)
    assert [one["reason"] for one in found] == ["asked", "asked", "exit"]
    assert all(one["pause"] > 0 and one["walk"] > 0 and one["resident"] > 0 for one in found)
    traces.Trace(trace_file).whole()


@pytest.mark.parametrize("kind", ["asyncio", "sleep", "lock", "input", "threads", "busy", "fork"])
def test_python_asleep(python, started, trace_file, kind):
    seconds = 3
    program = started([*traces.command(trace_file), python.path, TARGETS / "py_sleepers.py", kind, seconds], stdin=-1)
    pid = int(first_line(program))
    if kind != "busy":
        asleep(pid)
    before = belongings(pid)
    began = time.monotonic()
    said = ask(pid)
    assert time.monotonic() - began < 5
    assert said["objects"] > 5000 and said["edges"] > 0
    settled_belongings(pid, before)
    done = running.finish(program, input=b"a line\n" if kind == "input" else None)
    assert done.status == 0, f"{done}"
    assert "Warning" not in done.err
    result = json.loads(done.out)
    assert result["threads"] == 1 and result["tasks"] == 1, result
    if kind != "input":
        assert seconds - 0.01 <= result["took"] < seconds + 1.5, result
    found = whole_snapshots(trace_file)
    assert [one["reason"] for one in found] == ["asked", "exit"]
    traces.Trace(trace_file).whole()


def test_several_ask(target, started, trace_file):
    """All of them are answered."""
    program = started([*traces.command(trace_file), target("sleepers.c"), "epoll", 60000])
    pid = int(first_line(program))
    asleep(pid)
    askers = [started([traces.heapsake_binary(), "snapshot", "--json", pid]) for _ in range(5)]
    for asker in askers:
        done = running.finish(asker)
        assert done.status == 0, f"{done}"
        assert json.loads(done.out)["reason"] == "asked"
    os.kill(pid, signal.SIGKILL)
    running.finish(program)
    assert 1 <= len(whole_snapshots(trace_file)) <= 5


def test_one_line(target, started, trace_file):
    program = started([*traces.command(trace_file), target("sleepers.c"), "epoll", 60000], cwd=trace_file.parent)
    pid = int(first_line(program))
    asleep(pid)
    done = traces.heapsake("snapshot", pid, cwd=trace_file.parent).ok()
    assert done.out.startswith(f"snapshot 1 of {pid}: asked for, ") and done.out.endswith(", in t.hsk\n"), done.out
    assert done.out.count("\n") == 1 and "pause" in done.out and "walk" in done.out
    os.kill(pid, signal.SIGKILL)
    ended = running.finish(program)
    assert ended.status == 128 + signal.SIGKILL and "  snapshot: " in ended.err, f"{ended}"


def test_every(target, record, trace_file):
    """Of a program that sleeps, too."""
    done = record([target("sleepers.c"), "poll", 2500], "--snapshot-every", "0.5")
    done.result.ok()
    found = whole_snapshots(trace_file)
    assert [one["reason"] for one in found[-1:]] == ["exit"]
    every = [one for one in found if one["reason"] == "every"]
    assert 3 <= len(every) <= 5 and len(every) == len(found) - 1
    assert all(b["time"] - a["time"] >= 0.4e9 for a, b in zip(every, every[1:]))
    assert json.loads(done.out.splitlines()[1])["result"] == 0


# At the end it waits for the child of a snapshot that is under way, which its end would end.
GROW = """
import os, sys, time
step, count, pause = (float(word) for word in sys.argv[1:])
kept = []
for _ in range(int(count)):
    kept.append(bytearray(b"x") * int(step * (1 << 20)))
    end = time.monotonic() + pause
    while time.monotonic() < end:
        pass
end = time.monotonic() + 60
while open(f"/proc/self/task/{os.getpid()}/children").read() and time.monotonic() < end:
    pass
"""


def test_growth(one_python, record, trace_file):
    record([one_python.path, "-c", GROW, "5", "12", "0.35"], "--snapshot-on-growth", "20M").result.ok()
    found = whole_snapshots(trace_file)
    reasons = [one["reason"] for one in found]
    assert reasons in (["growth"] * 2 + ["exit"], ["growth"] * 3 + ["exit"]), found
    sizes = [one["resident"] for one in found]
    assert sizes[1] - sizes[0] >= 20 << 20, sizes


def test_doubled(one_python, record, trace_file):
    """By default, and not before it is worth it; then not again for half a minute."""
    record([one_python.path, "-c", GROW, "20", "12", "0.3"]).result.ok()
    found = whole_snapshots(trace_file)
    assert [one["reason"] for one in found] == ["doubled", "exit"], found
    assert found[0]["resident"] >= 64 << 20 and found[0]["time"] >= 2e9


def test_none(one_python, started, record, trace_file):
    record([one_python.path, "-c", GROW, "20", "12", "0.3"], "--no-snapshot", "--snapshot-every", "0.5").result.ok()
    assert whole_snapshots(trace_file) == []


SIGNALS = """
import os, signal, time
assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
os.kill(os.getpid(), signal.SIGUSR2)
seen = []
handler = lambda number, frame: seen.append(number)
assert signal.signal(signal.SIGUSR2, handler) is signal.SIG_DFL
assert signal.getsignal(signal.SIGUSR2) is handler
os.kill(os.getpid(), signal.SIGUSR2)
end = time.monotonic() + 1
while time.monotonic() < end:
    kept = [[] for _ in range(100)]
assert seen == [signal.SIGUSR2], seen
assert signal.signal(signal.SIGUSR2, signal.SIG_IGN) is handler
assert signal.signal(signal.SIGUSR2, signal.SIG_DFL) is signal.SIG_IGN
"""


def test_signal(python, record, trace_file):
    """It asks for a snapshot, does not kill, and is the program's as far as the program can tell."""
    record([python.path, "-c", SIGNALS], "--snapshot-signal", "USR2").result.ok()
    reasons = [one["reason"] for one in whole_snapshots(trace_file)]
    assert reasons[-1] == "exit" and set(reasons[:-1]) == {"signal"} and 1 <= len(reasons[:-1]) <= 2, reasons


def test_signal_not_asked_for(one_python, record):
    """Without the option the default action is the kernel's."""
    done = record([one_python.path, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"])
    assert done.status == 128 + signal.SIGUSR2


def test_options_without_run(target, trace_file):
    traced = traces.preloaded(trace_file, [target("sleepers.c"), "poll", 1500], options="--snapshot-every 0.4")
    traced.result.ok()
    traces.settled(traced.trace)
    assert [one["reason"] for one in whole_snapshots(trace_file)][:1] == ["every"]


def test_killed_at_once(target, started, trace_file):
    """SIGKILL of the program right behind the fork of its snapshot: that is whole all the same."""
    for attempt in range(5):
        path = trace_file.with_name(f"{attempt}.hsk")
        program = started([*traces.command(path), target("sleepers.c"), "epoll", 60000])
        pid = int(first_line(program))
        asleep(pid)
        asker = started([traces.heapsake_binary(), "snapshot", pid])
        if attempt < 3:
            running.until(lambda: len(running.children_of(pid)) > 0 or asker.poll() is not None, what="the child")
        os.kill(pid, signal.SIGKILL)
        running.finish(asker)
        assert running.finish(program).status == 128 + signal.SIGKILL
        found = whole_snapshots(path)
        assert len(found) <= 1
        traces.Trace(path).whole()
