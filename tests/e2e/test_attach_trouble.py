"""Attaching to programs that do much at that moment, and leaving them in states that were not foreseen."""

import json
import os
import resource
import signal

import pytest

from e2e.test_attach import attach, belongings, refused, settled, talk  # noqa: F401 (fixtures)
from e2e.test_injection import inject
from support import running, traces
from support.building import TARGETS
from support.running import first_line

ROUNDS = 12


def leads_to_libc(program):
    return all("libheapsake" not in path for path in program.ask("where").values())


# ---- threads and modules that come and go ----


def test_threads_come_and_go(target, talk, attach, trace_file):
    """Some get their ring at the moment of a detach, and some end there."""
    program = talk([target("attached.c", "-pthread"), 1])
    program.ask("come 4")
    for number in range(ROUNDS):
        attach(program.pid, "--duration", "0.02", "--no-snapshot", path=trace_file.with_name(f"{number}.hsk")).end(None)
        assert leads_to_libc(program)
    program.end()


def test_modules_come_and_go(target, talk, attach, trace_file):
    """While others allocate, at whose calls it could be looked for new modules."""
    program = talk([target("attached.c", "-pthread"), 2])
    program.ask("come 2")
    program.ask(f"modules {target('plugged.c', '-shared', name='libplugged.so')}")
    for number in range(ROUNDS // 2):
        attach(program.pid, "--duration", "0.1", "--no-snapshot", path=trace_file.with_name(f"{number}.hsk")).end(None)
        assert leads_to_libc(program)
    program.end()


def test_module_that_is_opened_later(target, talk, attach):
    """From its first call on it is seen, and left as the others are."""
    program = talk([target("attached.c", "-pthread"), 1])
    attached = attach(program.pid)
    assert "libheapsake" in program.ask(f"plug {target('plugged.c', '-shared', name='libplugged.so')}")["malloc"]
    attached.end()
    assert "libc" in program.ask("plugged")["malloc"]
    program.end()
    found = attached.trace.allocations(5003, stacks=True)
    assert [one["stack"][0]["function"] for one in found] == ["plugged_keep"]


# ---- processes that are half in our hands ----


def test_child_that_went_untraced(target, talk, attach, trace_file):
    """A child of a process that is attached to, which the attach did not follow: it can be attached to itself."""
    program = talk([target("attached.c", "-pthread"), 4])
    attached = attach(program.pid)
    program.ask("keep 10")
    child = program.ask("orphan")["pid"]
    own = attach(child, path=trace_file.with_name("own.hsk"))
    program.ask("keep 70")
    own.end()
    assert len(own.trace.allocations(7001)) == 70
    assert leads_to_libc(program)
    program.end()
    attached.end(None)
    assert len(attached.trace.allocations(7001)) == 10


def test_preloaded_and_forsaken(target, talk, attach, trace_file, tmp_path):
    """Started by `heapsake run`, whose recorder was killed: what the library is called for is there already."""
    program = talk([*traces.command(tmp_path / "run.hsk"), target("attached.c", "-pthread"), 2])
    recorder = next(pid for pid in running.children_of(program.process.pid) if pid != program.pid)
    os.kill(recorder, signal.SIGKILL)
    running.until(lambda: not running.alive(recorder), what="the recorder's end")  # until then it traces
    for number in range(2):
        attached = attach(program.pid, path=trace_file.with_name(f"{number}.hsk"))
        program.ask("keep 60")
        attached.end()
        assert len(attached.trace.allocations(7001)) == 60
        assert "libc" in program.ask("where")["malloc"]  # free has to know what was allocated before libc was found
    program.process.stdin.write(b"end\n")
    program.process.stdin.flush()
    running.finish(program.process)


def test_recorder_is_asked_to_stop(target, talk, attach):
    """The program is left as by a detach."""
    program = talk([target("attached.c", "-pthread"), 2])
    before, belongs = program.ask("where"), belongings(program.pid)
    attached = attach(program.pid)
    program.ask("keep 10")
    os.kill(running.children_of(attached.process.pid)[0], signal.SIGTERM)
    attached.end(None)
    running.until(lambda: program.ask("where") == before, what="the detaching")
    settled(program.pid, belongs)
    program.end()


def sessions_of(attached):
    """The addresses at which its recorder is met."""
    with open("/proc/net/unix") as sockets:
        return {line.split()[-1][1:] for line in sockets if f" @heapsake.{attached.process.pid}." in line}


def test_detach_that_comes_late(target, talk, attach, trace_file):
    """One that was meant for a former session takes nothing back of the one that has begun since."""
    def detach(session):
        inject(program.pid, traces.preload_library(), session, function="heapsake_detach").ok()
    program = talk([target("attached.c", "-pthread"), 2])
    belongs = belongings(program.pid)
    first = attach(program.pid)
    former, = sessions_of(first)
    first.end()
    second = attach(program.pid, path=trace_file.with_name("second.hsk"))
    settled(program.pid, belongs)
    session, = sessions_of(second)
    detach(former)
    settled(program.pid, belongs)
    assert not leads_to_libc(program)
    program.ask("keep 20")
    detach(session)
    second.end(None)
    assert leads_to_libc(program)
    program.end()
    assert len(second.trace.allocations(7001)) == 20


# ---- processes below it that are there already ----


def told(attached, words):
    """What `heapsake attach` says next, up to a line with these words."""
    said = b""
    while words not in said.decode() or not said.endswith(b"\n"):
        said += os.read(attached.process.stderr.fileno(), 1) or pytest.fail(f"it has ended: {said}")
    return said.decode()


def is_traced(pid):
    with open(f"/proc/{pid}/maps") as maps:
        return "heapsake (deleted)" in maps.read()


def test_fork_server(python, talk, attach):
    """Whom a server of multiprocessing forks is followed, though the server was there before."""
    program = talk([python.path, TARGETS / "py_forkserver.py"])
    server = program.ask("work")["server"]
    attached = attach(program.pid, "--follow", "--json")
    told(attached, "attached to 2 processes below it")  # the server, and that of multiprocessing's resources
    after = program.ask("work")
    assert after["server"] == server and is_traced(program.pid) and is_traced(server)
    assert json.loads(attached.end().out)["followed"] == 2
    running.until(lambda: not is_traced(program.pid) and not is_traced(server), what="the detaching")
    program.ask("end")
    assert running.finish(program.process).ok().err == ""
    worker, _ = [traces.settled(attached.trace.child_of_pid(one)).whole(unknown_frees=1 << 40)
                 for one in (after["worker"], server)]
    types = {row["type"]: row for row in worker.json("objects")["types"]}
    assert types["__mp_main__.Kept"]["live"] == 300, types


TREE = """
import os, sys, time
pids = []
for _ in range(2):
    here, there = os.pipe()
    pids.append(os.fork())
    if pids[-1] == 0:
        child = os.fork()
        if child == 0:
            kept = []
            os.closerange(0, 3)
            while True:
                kept.append(bytes(7001))
                time.sleep(0.005)
        os.write(there, b"%d" % child)
        os.wait()
        os._exit(0)
    pids.append(int(os.read(here, 20)))
ended = os.fork() or os._exit(0)
os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
print(os.getpid(), *pids, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def tree(one_python, started):
    """A process with two children, a child each, and one that has ended; its pid and theirs."""
    program = started([one_python.path, "-c", TREE], stdin=-1)
    pid, *below = map(int, first_line(program).split())
    yield pid, below
    for one in below:
        os.kill(one, signal.SIGKILL)


def test_tree_that_is_there(tree, attach):
    pid, below = tree
    attached = attach(pid, "--follow")
    assert told(attached, "below it") == "heapsake: attached to 4 processes below it, too: traces beside it\n"
    assert all(is_traced(one) for one in (pid, *below))
    allocating = [attached.trace.child_of_pid(one) for one in below[1::2]]
    for trace in allocating:
        running.until(lambda: trace.allocations(7034), what="blocks")
    attached.end()
    running.until(lambda: not any(is_traced(one) for one in (pid, *below)), what="the detaching")
    for one in below:
        traces.settled(attached.trace.child_of_pid(one)).whole(unknown_frees=1 << 40)
    tree = traces.heapsake("summary", attached.trace.path).out
    assert all(str(one) in tree for one in below), tree


def test_one_below_it_cannot_be_attached_to(tree, attach):
    """Which is said; the others are followed."""
    pid, below = tree
    os.kill(below[0], signal.SIGSTOP)
    running.until(lambda: state_of(below[0], below[0]) == "T", what="the stop")
    attached = attach(pid, "--follow")
    said = told(attached, "below it").splitlines()
    assert said == [f"heapsake: process {below[0]}: is stopped: kill -CONT {below[0]}; it is not traced",
                    "heapsake: attached to 3 processes below it, too: traces beside it"]
    assert [is_traced(one) for one in below] == [False, True, True, True]
    os.kill(below[0], signal.SIGCONT)
    attached.end()


# ---- a process in another network ----


def test_other_network(target, talk, attach, trace_file):
    """As a container has it: it meets its recorder there, and so do its children; the commands meet it here."""
    if os.geteuid() != 0:
        pytest.skip("only root may enter another network namespace")
    elsewhere = traces.among_no_recorders()
    if not elsewhere:
        pytest.skip("no network of one's own here")
    program = talk([*elsewhere, target("attached.c", "-pthread"), 1])
    assert os.readlink(f"/proc/{program.pid}/ns/net") != os.readlink("/proc/self/ns/net")
    belongs = belongings(program.pid)
    attached = attach(program.pid, "--follow")
    program.ask("keep 30")
    assert program.ask("fork") == {"status": 7}
    assert "snapshot" in traces.heapsake("snapshot", program.pid).ok().out
    traces.heapsake("detach", program.pid).ok()
    attached.end(None)
    settled(program.pid, belongs)
    assert leads_to_libc(program)
    program.end()
    assert len(attached.trace.allocations(7001)) == 30
    child, = attached.trace.children()
    traces.settled(child).whole(unknown_frees=1 << 40)


# ---- a process that cannot be left now ----


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    running.until(lambda: all(state_of(pid, task) == "T" for task in os.listdir(f"/proc/{pid}/task")), what="the stop")


def state_of(pid, task):
    with open(f"/proc/{pid}/task/{task}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


def test_stopped_at_a_detach(target, talk, attach):
    """Who asks is told that it has not come to anything; it is left when it goes on."""
    program = talk([target("attached.c", "-pthread"), 2])
    before, belongs = program.ask("where"), belongings(program.pid)
    attached = attach(program.pid)
    stop(program.pid)
    done = traces.heapsake("detach", program.pid)
    assert done.status == traces.EXIT_UNUSABLE and done.out == "" and done.err.count("\n") == 1, f"{done}"
    assert "cannot be left yet" in done.err and "goes on trying" in done.err, f"{done}"
    assert attached.process.poll() is None
    os.kill(program.pid, signal.SIGCONT)
    done = attached.end(None)
    assert "cannot be left yet" in done.err, f"{done}"
    assert program.ask("where") == before
    settled(program.pid, belongs)
    program.end()
    assert attached.trace.summary["process"]["ended_by"] == "detach"


def test_interrupted_twice(target, talk, attach):
    """The second time the rest is left to the recorder, and the status says that it has not come yet."""
    program = talk([target("attached.c", "-pthread"), 2])
    before = program.ask("where")
    attached = attach(program.pid)
    stop(program.pid)
    os.kill(attached.process.pid, signal.SIGINT)
    line = b""
    while b"cannot be left yet" not in line:
        line += os.read(attached.process.stderr.fileno(), 1000) or pytest.fail(f"it has ended: {line}")
    os.kill(attached.process.pid, signal.SIGINT)
    assert running.finish(attached.process).status == traces.EXIT_UNUSABLE
    os.kill(program.pid, signal.SIGCONT)
    running.until(lambda: program.ask("where") == before, what="the detaching")
    traces.settled(attached.trace).whole(unknown_frees=1 << 40)
    program.end()


def test_given_up(target, talk, attach, trace_file):
    """A recorder that is asked to stop does not wait: it says what stays, which the next detach takes back."""
    program = talk([target("attached.c", "-pthread"), 2])
    before, belongs = program.ask("where"), belongings(program.pid)
    attached = attach(program.pid)
    stop(program.pid)
    os.kill(running.children_of(attached.process.pid)[0], signal.SIGTERM)
    done = running.finish(attached.process)
    assert done.status == traces.EXIT_UNUSABLE, f"{done}"
    assert "is not left: " in done.err and "hooks stay, and pass calls on" in done.err, f"{done}"
    os.kill(program.pid, signal.SIGCONT)
    program.ask("keep 10")
    assert not leads_to_libc(program)
    attach(program.pid, path=trace_file.with_name("again.hsk")).end()
    assert program.ask("where") == before
    settled(program.pid, belongs)
    assert program.end() == {"kept": 10}


UNMAPPED = """
import ctypes, mmap, os, sys
library = ctypes.CDLL(sys.argv[1])
file = os.memfd_create("heapsake")
os.ftruncate(file, mmap.PAGESIZE)
session = mmap.mmap(file, mmap.PAGESIZE)
os.ftruncate(file, 0)
os.close(file)
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_session_that_goes_at_this_moment(started, trace_file):
    """One that is among the mappings, and cannot be read any more: it is traced by nobody."""
    program = started(["/usr/bin/python3", "-c", UNMAPPED, traces.preload_library()], stdin=-1)
    pid = int(first_line(program))
    assert "heapsake (deleted)" in open(f"/proc/{pid}/maps").read()
    traces.heapsake("attach", "--duration", "0.1", "-o", trace_file, pid).ok()
    assert running.finish(program).ok().err == ""


# ---- what is refused, and said ----


def test_no_descriptor_left(target, talk, trace_file):
    program = talk([target("attached.c", "-pthread"), 1])
    hard = resource.prlimit(program.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (3, hard))
    assert "has no descriptor left" in refused(program.pid, trace_file)
    program.end()


def test_several_at_once(target, talk, trace_file):
    """One of them attaches; the others say that the process is traced, or that it is being stopped by another."""
    program = talk([target("attached.c", "-pthread"), 2])
    attaching = [running.start([traces.heapsake_binary(), "attach", "--duration", "6", "-o",
                                trace_file.with_name(f"{number}.hsk"), program.pid]) for number in range(3)]
    done = [running.finish(process) for process in attaching]
    assert sorted(one.status for one in done) == [0, 3, 3], done
    assert all("traced" in one.err or "traces it" in one.err for one in done if one.status), done
    assert all("has not loaded" not in one.err for one in done), done
    assert leads_to_libc(program)
    program.end()


def test_another_was_first(target, talk, trace_file, tmp_path):
    """Both look before either has come in; the second to come in says so at once, also when the first has gone again."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = talk([target("attached.c", "-pthread"), 2], env=running.clean_environment(HELD_AT=gate))
    program.ask(f"hold {target('held.c', '-shared', name='libheld.so')}")
    open(gate, "rb").close()  # the loader's lock is held from here on
    threads = len(os.listdir(f"/proc/{program.pid}/task"))
    attaching = [running.start([traces.heapsake_binary(), "attach", "--duration", "0.5", "-o",
                                trace_file.with_name(f"{number}.hsk"), program.pid]) for number in range(2)]
    running.until(lambda: len(os.listdir(f"/proc/{program.pid}/task")) == threads + 2, what="both threads")
    open(gate, "wb").close()
    done = sorted((running.finish(process) for process in attaching), key=lambda one: one.status)
    assert [one.status for one in done] == [0, traces.EXIT_UNUSABLE], done
    assert "traced by heapsake already" in done[1].err or "another heapsake was attached to it" in done[1].err, done[1]
    assert done[1].err.count("\n") == 1, done[1]
    assert len(list(trace_file.parent.glob("*.hsk"))) == 1
    assert leads_to_libc(program)
    program.end()


# ---- interpreters ----


@pytest.mark.parametrize("steps", [
    ["attach", "initialize", "work", "detach", "work", "finalize"],
    ["attach", "initialize", "work", "finalize", "detach", "initialize", "work", "finalize"],
    ["initialize", "attach", "work", "finalize", "detach"],
    ["initialize", "finalize", "attach", "initialize", "work", "detach", "work", "finalize"],
    ["initialize", "attach", "finalize", "initialize", "work", "detach", "finalize"],
], ids="-".join)
def test_embedded(python, target, talk, attach, trace_file, steps):
    """An interpreter that comes, goes and comes again in any order: twice the same, and its allocators are its own again."""
    if not python.library:
        pytest.skip("this interpreter has no shared library")
    program = talk([target("embedding.c", "-ldl"), python.library])
    for number in range(2):
        attached = None
        for step in steps:
            if step == "attach":
                attached = attach(program.pid, path=trace_file.with_name(f"{number}.hsk"))
            elif step == "detach":
                attached.end()
                assert all("libheapsake" not in path for path in program.ask("where").values())
            else:
                program.ask(step)
        if "work" in steps[steps.index("attach"):steps.index("detach")]:
            assert attached.trace.domain("py_object")["allocations"] > 5000
    program.end()


ALLOCATORS = """
import ctypes, json, os, sys, tracemalloc

class Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")]

class Info(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("base", ctypes.c_void_p), ("name", ctypes.c_char_p), ("at", ctypes.c_void_p)]

dladdr = ctypes.CDLL(None).dladdr
dladdr.argtypes = [ctypes.c_void_p, ctypes.POINTER(Info)]

def whose(domain):
    allocator, info = Allocator(), Info()
    ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(allocator))
    return info.file.decode() if dladdr(allocator.malloc, info) else "?"

print(os.getpid(), flush=True)
kept = []
for line in sys.stdin:
    if line == "start\\n":
        tracemalloc.start()
    elif line == "stop\\n":
        tracemalloc.stop()
    kept.append([object() for _ in range(5000)])
    print(json.dumps({name: whose(domain) for domain, name in enumerate(["raw", "mem", "object"])}), flush=True)
    if line == "end\\n":
        break
"""


@pytest.mark.parametrize("malloc", [None, "malloc", "debug"])
@pytest.mark.parametrize("steps", [
    ["start", "attach", "work", "detach", "work", "stop"],
    ["start", "attach", "stop", "work", "detach"],
    ["attach", "start", "work", "detach", "work", "stop", "work"],
    ["attach", "start", "stop", "work", "detach", "work"],
], ids="-".join)
def test_tracemalloc(python, talk, attach, malloc, steps):
    """It lays its allocators above ours or below, in any order: ours are in no place after the detach."""
    program = talk([python.path, "-c", ALLOCATORS], env=running.clean_environment(PYTHONMALLOC=malloc))
    attached, left = None, False
    for step in steps:
        if step == "attach":
            attached = attach(program.pid)
        elif step == "detach":
            attached.end()
            left = True
        else:
            program.ask(step)
        if left:
            assert all("libheapsake" not in path for path in program.ask("where").values())
    program.end()


BOUNDED = """
import collections, json, os, sys

class Entry:
    def __init__(self, number):
        self.text = f"entry {number}" * 3

cache = collections.OrderedDict()
log = []
number = 0

def use(count):
    global number
    for _ in range(count):
        number += 1
        cache[number] = Entry(number)
        if len(cache) > 4000:
            cache.popitem(last=False)

def note(count):
    for _ in range(count):
        log.append({"text": f"line {len(log)}"})

use(4000)
note(1000)
print(os.getpid(), flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
    use(400)
    note(200)
    print(json.dumps({"cache": len(cache), "log": len(log)}), flush=True)
print(json.dumps({}), flush=True)
"""


def test_what_did_not_grow_is_not_blamed(one_python, talk, attach):
    """A cache that was full when the attach came replaces its entries: all of them are new, and none is a leak."""
    program = talk([one_python.path, "-c", BOUNDED])
    attached = attach(program.pid)
    for _ in range(8):
        said = program.ask("work")
    assert said == {"cache": 4000, "log": 2600}
    attached.end()
    program.end()
    leaks = attached.trace.leaks["leaks"]
    assert not [leak for leak in leaks if leak["type"] == "__main__.Entry"], leaks
    assert [leak for leak in leaks if any("log" in text for text in leak["why"])], leaks


@pytest.mark.parametrize("report", [["summary"], ["leaks"], ["peak"], ["objects"], ["cycles"], ["why", "__main__.Entry"]],
                         ids=lambda words: words[0])
def test_every_report_says_so(one_python, talk, attach, report):
    """That the process ran already when tracing began."""
    program = talk([one_python.path, "-c", BOUNDED])
    attached = attach(program.pid)
    program.ask("work")
    attached.end()
    program.end()
    done = traces.heapsake(report[0], attached.trace.path, *report[1:])
    assert done.status == 0 and "ran already" in done.out + done.err, f"{done}"
