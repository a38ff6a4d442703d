"""Attaching to programs that run, and leaving them as they were."""

import errno
import json
import os
import signal
import time

import pytest

from support import running, traces
from support.building import TARGETS
from support.chunks import snapshots, whole_snapshots
from support.running import asleep, first_line


class Talk:
    """A program under test that answers questions line by line."""

    def __init__(self, process):
        self.process = process
        self.pid = int(first_line(process))

    def ask(self, question):
        self.process.stdin.write(f"{question}\n".encode())
        self.process.stdin.flush()
        return json.loads(first_line(self.process))

    def end(self):
        """It ends as if nothing had been."""
        said = self.ask("end")
        done = running.finish(self.process)
        assert done.status == 0 and done.err == "", f"{done}"
        return said


@pytest.fixture
def talk(started):
    return lambda argv, **more: Talk(started(argv, stdin=-1, **more))


class Attached:
    """`heapsake attach`, once it says that it is attached."""

    def __init__(self, started, trace_file, pid, *options):
        self.process = started([traces.heapsake_binary(), "attach", "-o", trace_file, *options, pid])
        self.pid = pid
        self.trace = traces.Trace(trace_file)
        said = b""
        while not said.endswith(b"\n") or b"heapsake: attached to " not in said:  # before it: of the trace of a leak:
            byte = os.read(self.process.stderr.fileno(), 1)
            assert byte, f"not attached: {said} {self.process.communicate()}"
            said += byte

    def end(self, number=signal.SIGINT):
        if number:
            os.kill(self.process.pid, number)
        done = running.finish(self.process)
        assert done.status == 0, f"{done}"
        self.trace.whole(unknown_frees=1 << 40)
        return done


@pytest.fixture
def attach(started, trace_file):
    return lambda pid, *options, path=trace_file: Attached(started, path, pid, *options)


def mappings(pid):
    """Of a process: how many, and the files among them."""
    with open(f"/proc/{pid}/maps") as maps:
        lines = maps.read().splitlines()
    return len(lines), {line.split(None, 5)[5] for line in lines if len(line.split(None, 5)) > 5}


def belongings(pid):
    fds = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            fds[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            fds[fd] = "gone"  # it was there for a moment
    return fds, sorted(os.listdir(f"/proc/{pid}/task")), running.children_of(pid)  # of which also zombies are some


def settled(pid, before):
    """The thread that has taken everything back is about to end when its recorder knows that it is done."""
    running.until(lambda: belongings(pid) == before, what="the end of the thread that detaches")


# ---- C ----


def test_c_program(target, talk, attach):
    """Its calls lead to the hooks while it is attached to, and neither before nor after."""
    program = talk([target("attached.c", "-pthread"), 2])
    before, belongs = program.ask("where"), belongings(program.pid)
    assert "libc" in before["malloc"] and before["malloc"] == before["free"]
    program.ask("keep 50")
    attached = attach(program.pid)
    assert all("libheapsake" in path for path in program.ask("where").values())
    program.ask("keep 70")
    attached.end()
    assert program.ask("where") == before
    settled(program.pid, belongs)
    program.ask("keep 30")
    assert program.end() == {"kept": 150}
    trace = attached.trace
    found = trace.allocations(7001, stacks=True)
    assert len(found) == 70
    assert {one["stack"][0]["function"] for one in found} == {"keep"}
    assert trace.summary["process"]["ended_by"] == "detach"
    assert trace.summary["process"]["exit"]["status"] is None
    assert any("Tracing began when the program had run for" in text for text in trace.summary["blind_spots"])
    assert trace.live_of("keep")[0] == 70
    for command in ("summary", "leaks", "peak", "objects", "dump", "verify"):
        assert "of a process that ran already" in traces.heapsake(command, trace.path).err, command
    assert [one["reason"] for one in whole_snapshots(trace.path)] == ["attach", "detach"]


def test_program_at_a_fixed_place(target, talk, attach):
    """Where it takes the address of malloc, that is one in its own PLT, for dlsym, too. Its calls are seen all the same."""
    program = talk([target("attached.c", "-pthread", "-fno-pic", "-no-pie"), 1])
    assert "libc" not in program.ask("where")["malloc"]
    program.ask("keep 50")
    attached = attach(program.pid, "--follow")
    program.ask("keep 70")
    assert program.ask("fork") == {"status": 7}
    attached.end()
    found = attached.trace.allocations(7001, stacks=True)
    assert len(found) == 70 and {one["stack"][0]["function"] for one in found} == {"keep"}
    child, = attached.trace.children()
    assert len(traces.settled(child).allocations(333)) >= 1000
    program.ask("keep 30")
    assert program.end() == {"kept": 150}


def test_again_and_again(target, talk, attach, trace_file):
    """Each time it is found as the time before; what stays is the library and what it found out the first times."""
    program = talk([target("attached.c", "-pthread"), 3])
    belongs, kept = belongings(program.pid), []
    for number in range(12):
        attached = attach(program.pid, path=trace_file.with_name(f"{number}.hsk"))
        program.ask("keep 5")
        attached.end()
        assert len(attached.trace.allocations(7001)) == 5
        settled(program.pid, belongs)
        kept.append(mappings(program.pid)[0])
    assert kept[-1] <= kept[3] + 1, kept
    assert program.end() == {"kept": 60}


def test_ends_meanwhile(target, talk, attach):
    """The trace of a program that ends while it is attached to is as good as one of `run`."""
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid)
    program.ask("keep 10")
    program.end()
    attached.end(None)
    assert attached.trace.summary["process"]["ended_by"] in ("exit", "unknown")
    # the last one goes before one that is under way
    last = snapshots(attached.trace.path)[-1]
    assert last["reason"] == "exit" and not last["problems"], last


def test_is_killed_meanwhile(target, talk, attach):
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid)
    program.ask("keep 10")
    os.kill(program.pid, signal.SIGKILL)
    attached.end(None)
    assert len(attached.trace.allocations(7001)) == 10


def test_forks(target, talk, attach):
    """Without --follow a child is none of our business; with it, it has a trace of its own."""
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid)
    assert program.ask("fork") == {"status": 7}
    attached.end()
    assert attached.trace.children() == []
    followed = attach(program.pid, "--follow", "--force")
    assert program.ask("fork") == {"status": 7}
    followed.end()
    children = followed.trace.children()
    assert len(children) == 1
    traces.settled(children[0]).whole(unknown_frees=1 << 40)
    assert len(children[0].allocations(333)) >= 1000
    assert program.end() == {"kept": 0}


def seal(program):
    """From now on its GOT cannot be made writable."""
    error = program.ask("seal")["error"]
    if error == errno.ENOSYS:
        pytest.skip("mseal is for Linux 6.10 and later")
    assert error == 0, os.strerror(error)


def test_sealed_got(target, talk, attach):
    """What cannot be written is left alone, and said."""
    program = talk([target("attached.c", "-pthread", "-Wl,-z,relro,-z,now"), 1])
    seal(program)
    before = program.ask("where")
    attached = attach(program.pid)
    assert program.ask("where") == before
    program.ask("keep 10")
    attached.end()
    assert program.ask("where") == before
    assert program.end() == {"kept": 10}
    assert any("are sealed" in text for text in attached.trace.summary["blind_spots"])


def test_got_is_sealed_meanwhile(target, talk, attach, trace_file):
    """They go on leading to the hooks, which pass calls on, and are there for the next attach."""
    program = talk([target("attached.c", "-pthread", "-Wl,-z,relro,-z,now"), 1])
    attached = attach(program.pid)
    seal(program)
    attached.end()
    assert any("sealed meanwhile" in text for text in attached.trace.summary["blind_spots"])
    assert "libheapsake" in program.ask("where")["malloc"]
    program.ask("keep 10")
    again = attach(program.pid, path=trace_file.with_name("again.hsk"))
    program.ask("keep 20")
    again.end()
    assert len(again.trace.allocations(7001)) == 20
    assert program.end() == {"kept": 30}


# ---- Python ----


@pytest.mark.parametrize("kind", ["input", "busy", "select", "sleep", "asyncio"])
def test_python(python, talk, attach, kind):
    program = talk([python.path, TARGETS / "py_attached.py", kind])
    program.ask("keep 100")
    before, belongs = program.ask("state"), belongings(program.pid)
    attached = attach(program.pid)
    program.ask("keep 300")
    attached.end()
    settled(program.pid, belongs)
    after = program.ask("state")
    assert (after["threads"], after["fds"]) == (before["threads"], before["fds"])
    assert program.end() == {"kept": 400}
    trace = attached.trace
    assert trace.summary["process"]["python_version"]
    assert trace.live_of("keep")[0] >= 300
    reasons = [one["reason"] for one in whole_snapshots(trace.path)]
    assert reasons == ["attach", "detach"]
    types = {row["type"]: row for row in trace.json("objects")["types"]}
    assert types["__main__.Kept"]["live"] == 400 or types["__main__.Kept"]["created"] == 300, types["__main__.Kept"]
    why = trace.why("__main__.Before")  # made before: known by its type and by who keeps it
    assert any("OLD" in path["text"] for path in why["paths"]), why


def test_python_again_and_again(python, talk, attach, trace_file):
    program = talk([python.path, TARGETS / "py_attached.py", "select"])
    for number in range(6):
        attached = attach(program.pid, path=trace_file.with_name(f"{number}.hsk"))
        program.ask("keep 20")
        attached.end()
        assert attached.trace.live_of("keep")[0] >= 20
    assert program.end() == {"kept": 120}


def test_leaks_are_what_has_grown(python, talk, attach):
    """What lived before is no leak; what has come since then and stayed is named with its line."""
    program = talk([python.path, TARGETS / "py_attached.py", "select"])
    program.ask("keep 2000")
    attached = attach(program.pid)
    for _ in range(10):
        program.ask("keep 200")
        time.sleep(0.1)  # growth is told by when it happened
    attached.end()
    program.end()
    named = [leak for leak in attached.trace.leaks["leaks"] if leak["type"] == "__main__.Kept"]
    assert named and named[0]["cause"] in ("growing", "held") and named[0]["count"] == 2000, named


# ---- ends of all kinds ----


def test_duration(target, talk, attach):
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid, "--duration", "0.3")
    attached.end(None)
    assert 0.25 <= attached.trace.summary["process"]["duration"] < 20
    program.end()


def test_detach(target, talk, attach):
    """From another terminal."""
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid)
    done = traces.heapsake("detach", program.pid).ok()
    assert done.out == f"detached from {program.pid}; the trace is {attached.trace.path}\n"
    attached.end(None)
    done = running.run([*traces.among_no_recorders(), traces.heapsake_binary(), "detach", program.pid])
    assert done.status == traces.EXIT_UNUSABLE and "is not traced" in done.err, f"{done}"
    assert "libc" in program.ask("where")["malloc"]
    program.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals(target, talk, attach, number):
    program = talk([target("attached.c", "-pthread"), 1])
    attach(program.pid).end(number)
    assert "libc" in program.ask("where")["malloc"]
    program.end()


def test_attach_is_killed(target, talk, attach):
    """Its recorder leaves the program, and finishes the trace."""
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid)
    program.ask("keep 10")
    os.kill(attached.process.pid, signal.SIGKILL)
    running.until(lambda: "libc" in program.ask("where")["malloc"], what="the detaching")
    traces.settled(attached.trace).whole(unknown_frees=1 << 40)
    assert len(attached.trace.allocations(7001)) == 10
    program.end()


def test_recorder_is_killed(target, talk, attach):
    """Whoever waits leaves the program."""
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid)
    recorder = running.children_of(attached.process.pid)[0]
    os.kill(recorder, signal.SIGKILL)
    done = running.finish(attached.process)
    assert done.status == traces.EXIT_UNUSABLE and "the recorder has died" in done.err, f"{done}"
    running.until(lambda: "libc" in program.ask("where")["malloc"], what="the detaching")
    program.end()


# ---- what is refused ----


def refused(pid, trace_file, *options):
    done = traces.heapsake("attach", "-o", trace_file, *options, pid)
    assert done.status == traces.EXIT_UNUSABLE, f"{done}"
    assert done.err.count("\n") == 1 and done.err.startswith("heapsake: "), f"{done}"
    assert not trace_file.exists()
    return done.err


def test_usage():
    for words in ([], ["x"], ["0"], ["-1"], ["1", "2"]):
        assert traces.heapsake("attach", "--", *words).status == traces.EXIT_USAGE
        assert traces.heapsake("detach", "--", *words).status == traces.EXIT_USAGE


def test_traced_already(target, talk, attach, trace_file):
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid)
    assert "traced" in refused(program.pid, trace_file.with_name("second.hsk"))
    attached.end()
    program.end()


def test_started_by_run(target, talk, trace_file):
    program = talk([*traces.command(trace_file), target("attached.c", "-pthread"), 1])
    assert "traced" in refused(program.pid, trace_file.with_name("second.hsk"))
    done = traces.heapsake("detach", program.pid)
    assert done.status == traces.EXIT_UNUSABLE and "heapsake run" in done.err
    program.process.stdin.write(b"end\n")
    program.process.stdin.flush()
    assert running.finish(program.process).status == 0


LOCKED = """
import ctypes, os
print(os.getpid(), flush=True)
ctypes.PyDLL(None).sleep(9)  # with the GIL
print("done", flush=True)
"""


def test_gil_is_held(one_python, started, trace_file):
    """Said within seconds, and nothing has changed."""
    program = started([one_python.path, "-c", LOCKED])
    pid = int(first_line(program))
    asleep(pid)
    before = mappings(pid)[1]
    assert "keeps the interpreter locked" in refused(pid, trace_file)
    assert not [path for path in mappings(pid)[1] - before if "libheapsake" not in path]
    done = running.finish(program)
    assert done.status == 0 and done.out == "done\n", f"{done}"


@pytest.mark.parametrize("step", range(1, 7))
def test_attach_kills_itself(target, talk, trace_file, step):
    """Between any two steps of the injector: the program goes on, traced by nobody, and can be attached to again."""
    program = talk([target("attached.c", "-pthread"), 2])
    before, belongs = program.ask("where"), belongings(program.pid)
    done = running.run([traces.heapsake_binary(), "attach", "-o", trace_file, program.pid],
                       env=running.clean_environment(HEAPSAKE_FAULT_INJECTION=step))
    assert done.status == -signal.SIGKILL, f"{done}"
    running.until(lambda: program.ask("where") == before and belongings(program.pid) == belongs, what="the end of it")
    running.until(lambda: not trace_file.exists() or '"complete": true' in traces.heapsake("verify", "--json", trace_file).out,
                  what="the recorder's end")
    again = traces.heapsake("attach", "--force", "--duration", "0.1", "-o", trace_file, program.pid)
    assert again.status == 0, f"{again}"
    traces.Trace(trace_file).whole(unknown_frees=1 << 40)
    program.end()
