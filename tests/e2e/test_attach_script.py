"""Attaching where no thread can be stopped: Python is asked to run a script (PEP 768, CPython 3.14 and later)."""

import concurrent.futures
import glob
import json
import os
import re
import shutil
import signal
import time

import pytest

from e2e.test_attach import attach, belongings, mappings, refused, settled, talk  # noqa: F401 (fixtures)
from e2e.test_doctor import Doctor, unshare
from support import interpreters, running, traces
from support.building import TARGETS
from support.chunks import whole_snapshots
from support.running import asleep, first_line

FIRST_ASKED = (3, 14)
_FOUND = [one for one in interpreters.traced_interpreters() if one.version >= FIRST_ASKED]
every_asked = pytest.mark.parametrize("asked", _FOUND or [None], ids=[one.name for one in _FOUND] or ["none"],
                                      indirect=True)
SCRIPTS = "/tmp/heapsake-????????????????.py"


@pytest.fixture
def asked(request):
    """A Python that can be asked."""
    found = getattr(request, "param", _FOUND[-1] if _FOUND else None)
    if not found:
        pytest.skip("no CPython 3.14 or later on this machine")
    return found


@pytest.fixture
def keep_out(target, started):
    """keep_out(pid) lets another tracer have the process, and gives what asks that one for its number of stops."""
    def go(pid, *words):
        tracer = started([target("tracer.c"), pid, *words], stdin=-1)
        assert first_line(tracer) == "ready\n"
        return Tracer(tracer, pid)
    return go


class Tracer:
    def __init__(self, process, pid):
        self.process = process
        self.pid = pid

    def has_it(self):
        """It still traces the process, and answers."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        assert int(first_line(self.process)) >= 0
        assert status_of(self.pid, "TracerPid") == str(self.process.pid)

    def lets_go(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def status_of(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return next(line.split(":", 1)[1].strip() for line in status if line.startswith(name + ":"))


@pytest.fixture(autouse=True)
def no_script_stays():
    """Whatever becomes of it, it is gone in the end. Other tests may have theirs there for a moment."""
    before = set(glob.glob(SCRIPTS))
    yield
    running.until(lambda: not set(glob.glob(SCRIPTS)) - before, what="the end of all scripts")


def script_of(attach):
    """The inode of the script that this `heapsake attach` has written: it wants to be told when that is opened."""
    for fd, name in belongings(attach)[0].items():
        if name == "anon_inode:inotify":
            with open(f"/proc/{attach}/fdinfo/{fd}") as info:
                found = re.search(r"^inotify .*ino:([0-9a-f]+)", info.read(), re.MULTILINE)
                return int(found[1], 16) if found else None
    return None


def never_entered(pid):
    assert not [path for path in mappings(pid)[1] if "libheapsake" in path]


def by_script(attached):
    done = attached.end()
    said = json.loads(done.out)
    assert said["way"] == "script" and said["stopped"] == 0, said
    assert not any("put back" in text for text in attached.trace.summary["blind_spots"])
    return attached.trace


# ---- it works ----


@every_asked
@pytest.mark.parametrize("words", [[], ["follow"]], ids=["alone", "follow"])
def test_traced_by_another(asked, talk, attach, keep_out, words):
    """The program is attached to and left; it and its tracer run on."""
    program = talk([asked.path, TARGETS / "py_attached.py", "busy"])
    tracer = keep_out(program.pid, *words)
    program.ask("keep 100")
    before, belongs = program.ask("state"), belongings(program.pid)
    attached = attach(program.pid, "--json")
    program.ask("keep 300")
    trace = by_script(attached)
    tracer.has_it()
    settled(program.pid, belongs)
    after = program.ask("state")
    assert {**after, "kept": 100} == before
    assert program.end() == {"kept": 400}
    assert trace.live_of("keep")[0] >= 300
    assert [one["reason"] for one in whole_snapshots(trace.path)] == ["attach", "detach"]


def test_again_and_again(asked, talk, attach, keep_out, trace_file):
    """By a script, and by the injector when the tracer is gone, in turn."""
    program = talk([asked.path, TARGETS / "py_attached.py", "busy"])
    for number in range(6):
        tracer = keep_out(program.pid) if number % 3 != 2 else None
        attached = attach(program.pid, "--json", path=trace_file.with_name(f"{number}.hsk"))
        program.ask("keep 20")
        if tracer:
            trace = by_script(attached)
            tracer.has_it()
            tracer.lets_go()
        else:
            assert json.loads(attached.end().out)["way"] == "ptrace"
            trace = attached.trace
        assert trace.live_of("keep")[0] >= 20
    assert program.end() == {"kept": 120}


def test_detach(asked, talk, attach, keep_out):
    """The tracer comes when the program is attached to already; from another terminal it is left all the same."""
    program = talk([asked.path, TARGETS / "py_attached.py", "busy"])
    attached = attach(program.pid)
    tracer = keep_out(program.pid)
    assert traces.heapsake("detach", program.pid).ok().out.startswith("detached from")
    attached.end(None)
    tracer.has_it()
    program.end()


def test_left_when_it_wakes(asked, talk, attach, keep_out):
    """A main thread that sleeps keeps its tracer's process from being left; its recorder tries until it runs again."""
    program = talk([asked.path, TARGETS / "py_attached.py", "input"])
    attached = attach(program.pid)
    tracer = keep_out(program.pid)
    asleep(program.pid)
    done = traces.heapsake("detach", program.pid)
    assert done.status == traces.EXIT_UNUSABLE and "has run no Python code" in done.err, f"{done}"
    deadline = time.monotonic() + 20
    while attached.process.poll() is None and time.monotonic() < deadline:
        program.ask("state")
    assert attached.process.poll() == 0
    tracer.has_it()
    program.end()


THREADS = """
import os, sys, threading
done = False
def work():
    while not done:
        sum(range(1000))
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
print(os.getpid(), flush=True)
for line in sys.stdin if len(sys.argv) > 1 else iter(int, 1):
    work() if len(sys.argv) > 1 else sum(range(1000))
"""


def test_everybody_wants_the_gil(asked, started, attach, keep_out, trace_file):
    """The main thread is told while others ask it to hand the GIL over."""
    program = started([asked.path, "-c", THREADS])
    pid = int(first_line(program))
    keep_out(pid)
    for number in range(4):
        attached = attach(pid, "--json", "--no-snapshot", path=trace_file.with_name(f"{number}.hsk"))
        by_script(attached)
    worked = cpu(pid)
    running.until(lambda: cpu(pid) > worked + 5, what="more of its work")


SLOWLY = """
import os, sys, time
asked = 0
def hook(event, arguments):
    global asked
    if "remote_debugger_script" in event:
        asked += 1
        with open(sys.argv[2], "w") as file:
            file.write(str(asked))
    elif event == "import" and arguments[0] == "heapsake_door":
        time.sleep(float(open(sys.argv[1]).read()))
sys.addaudithook(hook)
print(os.getpid(), flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.fixture
def slowly(asked, started, keep_out, tmp_path):
    """slowly(seconds) is a program whose main thread takes so long for each script, and what it has printed in the end."""
    class Program:
        def __init__(self, seconds):
            self.count, self.seconds = tmp_path / "count", tmp_path / "seconds"
            self.seconds.write_text(str(seconds))
            self.process = started([asked.path, "-c", SLOWLY, self.seconds, self.count])
            self.pid = int(first_line(self.process))
            keep_out(self.pid)

        def scripts(self):
            return int(self.count.read_text())

        def end(self):
            assert self.process.poll() is None
            self.process.kill()
            return self.process.communicate(timeout=60)[1]
    return Program


def test_script_that_takes_long(slowly, attach):
    """As where many threads want the GIL. What was begun with is waited for: no second script comes behind it."""
    program = slowly(2.5)
    by_script(attach(program.pid, "--json"))
    assert program.scripts() == 2
    assert program.end() == b""


def test_detach_that_takes_too_long(slowly, attach):
    """Who waits is told. The process is left by the script that was begun with: no other one comes in between."""
    program = slowly(0)
    attached = attach(program.pid)
    program.seconds.write_text("7")
    done = traces.heapsake("detach", program.pid)
    assert done.status == traces.EXIT_UNUSABLE and "heapsake's script" in done.err, f"{done}"
    attached.end(None)
    assert program.scripts() == 2
    assert program.end() == b""


def test_script_that_takes_too_long(slowly, trace_file):
    """Said within seconds, and Python gets to read the file that it has begun with: it complains of nothing."""
    program = slowly(6)
    began = time.monotonic()
    assert "has begun with heapsake's script" in refused(program.pid, trace_file)
    took, threads = time.monotonic() - began, len(os.listdir(f"/proc/{program.pid}/task"))
    assert took < 6 and threads == 1
    running.until(lambda: [path for path in mappings(program.pid)[1] if "libheapsake" in path], what="the script's end")
    running.until(lambda: len(os.listdir(f"/proc/{program.pid}/task")) == 1, what="the end of its thread")
    assert program.scripts() == 1
    assert program.end() == b""


def cpu(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[11])


OTHERS = """
import _interpreters, os, sys, time
others = [_interpreters.create() for _ in range(3)]
print(os.getpid(), flush=True)
while True:
    time.sleep(0.01)
"""


def test_other_interpreters(asked, started, attach, keep_out):
    """The last one that was made is the first in Python's list; the main one is asked."""
    program = started([asked.path, "-c", OTHERS])
    pid = int(first_line(program))
    keep_out(pid)
    by_script(attach(pid, "--json"))
    assert program.poll() is None


def working(program, wanted):
    """What `wanted` gives, while the program is kept at work."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        coming = pool.submit(wanted)
        while not coming.done():
            program.ask("work")
        return coming.result()


@every_asked
def test_embedded(asked, target, talk, attach, keep_out):
    """A shared libpython that a program has opened, whose interpreter runs now and then: both ways by a script."""
    if not asked.library:
        pytest.skip("this interpreter has no shared library")
    program = talk([target("embedding.c", "-ldl"), asked.library])
    program.ask("initialize")
    tracer = keep_out(program.pid)
    attached = working(program, lambda: attach(program.pid, "--json"))
    trace = working(program, lambda: by_script(attached))
    assert all("libheapsake" not in path for path in program.ask("where").values())
    assert trace.domain("py_object")["allocations"] > 5000
    tracer.has_it()
    program.ask("finalize")
    check = Doctor(program.pid).healthy(but=["tracer"]).of("tracer")
    assert "just beginning, or ends" in check["detail"] or "no main thread" in check["detail"], check
    program.end()


def test_own_temporary_files(asked, started, attach, keep_out):
    """The script is where the program finds it: in its own mounts."""
    mounted = [*unshare("-m"), "sh", "-ec", 'mount -t tmpfs -o mode=1777 none /tmp; exec "$@"', "sh"]
    program = started([*mounted, asked.path, "-c", OTHERS])
    pid = int(first_line(program))
    keep_out(pid)
    by_script(attach(pid, "--json"))
    assert not os.listdir(f"/proc/{pid}/root/tmp")


def test_of_another_user(asked, open_folder, started, keep_out, as_nobody, needs_root, trace_file):
    """The script belongs to the user that runs it, who can remove it."""
    program = started(as_nobody([asked.path, "-c", OTHERS]), cwd="/")
    pid = int(first_line(program))
    keep_out(pid)
    heapsake = open_folder / "build/analyzer/heapsake"
    done = running.run([heapsake, "attach", "--json", "--duration", "0.1", "-o", trace_file, pid]).ok()
    assert json.loads(done.out)["way"] == "script"


@pytest.mark.parametrize("name", [b"plain", b"quote\"'\\\n{", "f\u00fcr".encode()],
                         ids=["plain", "quotes", "utf-8"])
def test_where_the_library_is(asked, talk, keep_out, trace_file, tmp_path, name):
    """Its path is data, whatever is in it."""
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    library = shutil.copy(os.fsencode(traces.preload_library()), folder)
    program = talk([asked.path, TARGETS / "py_attached.py", "busy"])
    keep_out(program.pid)
    done = running.run([traces.heapsake_binary(), "attach", "--json", "--duration", "0.1", "-o", trace_file, program.pid],
                       env=running.clean_environment() | {"HEAPSAKE_LIBRARY": os.fsdecode(library)}).ok()
    assert json.loads(done.out)["way"] == "script"
    with open(f"/proc/{program.pid}/maps", "rb") as maps:
        assert library.replace(b"\n", b"\\012") in maps.read()
    program.end()


def test_path_that_python_cannot_open(asked, talk, keep_out, trace_file, tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), b"\xff")
    os.mkdir(folder)
    library = os.fsdecode(shutil.copy(os.fsencode(traces.preload_library()), folder))
    program = talk([asked.path, TARGETS / "py_attached.py", "busy"])
    keep_out(program.pid)
    done = running.run([traces.heapsake_binary(), "attach", "-o", trace_file, program.pid],
                       env=running.clean_environment() | {"HEAPSAKE_LIBRARY": library})
    assert done.status == traces.EXIT_UNUSABLE and "no UTF-8" in done.err
    never_entered(program.pid)
    program.end()


WITHOUT_PTRACE = """
import ctypes, os, struct, sys
code = b"".join(struct.pack("<HBBI", *one) for one in (
    (0x20, 0, 0, 0),           # the call's number
    (0x15, 0, 1, 101),         # ptrace?
    (0x06, 0, 0, 0x00050001),  # EPERM
    (0x06, 0, 0, 0x7fff0000),  # else it is allowed
))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Program(4, code))) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_ptrace_is_forbidden(asked, talk, trace_file):
    """As in a container whose filter of system calls has no ptrace."""
    program = talk([asked.path, TARGETS / "py_attached.py", "busy"])
    filtered = ["/usr/bin/python3", "-c", WITHOUT_PTRACE]
    check = Doctor(program.pid, command=filtered).healthy().of("tracer")
    assert "ptrace is forbidden" in check["detail"] and "would run a script" in check["detail"], check
    done = running.run([*filtered, traces.heapsake_binary(), "attach", "--json", "--duration", "0.1", "-o", trace_file,
                        program.pid]).ok()
    assert json.loads(done.out)["way"] == "script"
    assert "no thread was stopped: its Python ran heapsake's script" in done.err
    program.end()


def test_ptrace_is_forbidden_and_no_python(target, talk, trace_file):
    program = talk([target("attached.c", "-pthread"), 1])
    filtered = ["/usr/bin/python3", "-c", WITHOUT_PTRACE]
    assert "ptrace is forbidden" in Doctor(program.pid, command=filtered).healthy(but=["tracer"]).of("tracer")["detail"]
    done = running.run([*filtered, traces.heapsake_binary(), "attach", "-o", trace_file, program.pid])
    assert done.status == traces.EXIT_UNUSABLE and "ptrace is forbidden" in done.err and done.err.count("\n") == 1, f"{done}"
    program.end()


# ---- what is refused ----


@pytest.mark.parametrize("way", ["option", "environment"])
def test_python_may_not_be_asked(asked, talk, keep_out, trace_file, way):
    words = ["-X", "disable-remote-debug"] if way == "option" else []
    environment = running.clean_environment(PYTHON_DISABLE_REMOTE_DEBUG=None if words else "1")
    program = talk([asked.path, *words, TARGETS / "py_attached.py", "busy"], env=environment)
    tracer = keep_out(program.pid)
    check = Doctor(program.pid).healthy(but=["tracer"]).of("tracer")
    assert "told to take no requests" in check["detail"]
    line = refused(program.pid, trace_file)
    assert f"process {tracer.process.pid} already" in line and "PYTHON_DISABLE_REMOTE_DEBUG" in line, line
    never_entered(program.pid)
    tracer.has_it()
    program.end()


def test_older_python(talk, keep_out, trace_file):
    """Nothing is said of what it would take to be asked."""
    older = [one for one in interpreters.traced_interpreters() if one.version < FIRST_ASKED]
    if not older:
        pytest.skip("no CPython before 3.14 on this machine")
    for python in {one.version[:2]: one for one in older}.values():
        program = talk([python.path, TARGETS / "py_attached.py", "busy"])
        tracer = keep_out(program.pid)
        line = refused(program.pid, trace_file)
        assert line.strip().endswith(f"and there is room for one tracer: detach or end process {tracer.process.pid} first")
        never_entered(program.pid)
        program.end()


def test_main_thread_sleeps(asked, talk, keep_out, attach, trace_file):
    """Said within seconds; when it wakes up it runs nothing."""
    program = talk([asked.path, TARGETS / "py_attached.py", "input"])
    before = program.ask("state")
    tracer = keep_out(program.pid)
    asleep(program.pid)
    assert "no Python code for 4 s" in refused(program.pid, trace_file)
    for _ in range(20):
        assert program.ask("state") == before
    never_entered(program.pid)
    tracer.lets_go()
    attach(program.pid).end()
    assert program.end() == {"kept": 0}


def test_only_the_main_thread_sleeps(asked, started, keep_out, trace_file):
    program = started([asked.path, "-c", THREADS, "waits"], stdin=-1)
    pid = int(first_line(program))
    running.asleep_in(pid, running.READ)  # the others keep it from getting there at once
    keep_out(pid)
    assert "no Python code for 4 s" in refused(pid, trace_file)
    never_entered(pid)


def test_another_debugger_was_first(asked, talk, keep_out, trace_file, tmp_path):
    """Its script waits for the main thread, and is run in the end; ours is not put in its place."""
    program = talk([asked.path, TARGETS / "py_attached.py", "input"])
    asleep(program.pid)
    mark, script = tmp_path / "mark", tmp_path / "script.py"
    script.write_text(f"open({str(mark)!r}, 'w').close()\n")
    running.run([asked.path, "-c", "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])", program.pid, script]).ok()
    keep_out(program.pid)
    assert "another debugger's script" in refused(program.pid, trace_file)
    assert not mark.exists()
    program.ask("state")
    running.until(mark.exists, what="the other script")
    never_entered(program.pid)
    program.end()


def test_it_ends_meanwhile(asked, started, keep_out, trace_file, as_nobody, open_folder, needs_root):
    """While a script waits for it, which nobody else may read, or put another one in the place of. None stays."""
    program = started(as_nobody([asked.path, "-c", "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"]),
                      stdin=-1, cwd="/")
    pid = int(first_line(program))
    asleep(pid)
    keep_out(pid)
    attach = started([open_folder / "build/analyzer/heapsake", "attach", "-o", trace_file, pid])
    running.until(lambda: script_of(attach.pid), what="the script")
    with os.scandir(os.path.dirname(SCRIPTS)) as entries:
        (path,) = [entry.path for entry in entries if entry.inode() == script_of(attach.pid)]
    assert os.stat(path).st_mode & 0o7777 == 0o600
    assert os.stat(path).st_uid == int(status_of(pid, "Uid").split()[3]) != 0
    os.kill(pid, signal.SIGKILL)
    done = running.finish(attach)
    assert done.status == traces.EXIT_UNUSABLE and "has ended" in done.err, f"{done}"
    assert not os.path.exists(path)


def test_another_debugger_comes_between(asked, talk, started, keep_out, trace_file, tmp_path):
    """It has written its script's path over ours. Its request is not taken back in the place of ours."""
    program = talk([asked.path, TARGETS / "py_attached.py", "input"])
    asleep(program.pid)
    keep_out(program.pid)
    ours = started([traces.heapsake_binary(), "attach", "-o", trace_file, program.pid])
    running.until(lambda: script_of(ours.pid), what="our script")
    mark, script = tmp_path / "mark", tmp_path / "script.py"
    script.write_text(f"open({str(mark)!r}, 'w').close()\n")
    running.run([asked.path, "-c", "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])", program.pid, script]).ok()
    done = running.finish(ours)
    assert done.status == traces.EXIT_UNUSABLE and "another debugger has asked its Python" in done.err, f"{done}"
    assert not mark.exists()
    program.ask("state")
    running.until(mark.exists, what="the other script")
    never_entered(program.pid)
    program.end()


def test_audit_hook_forbids_it(asked, started, keep_out, trace_file):
    """Python says so on its own; we say what we know, and leave no file."""
    hook = ("import os, sys, time\ndef hook(event, arguments):\n    if 'remote_debugger_script' in event: raise PermissionError\n"
            "sys.addaudithook(hook)\nprint(os.getpid(), flush=True)\nwhile True: time.sleep(0.01)\n")
    program = started([asked.path, "-c", hook])
    pid = int(first_line(program))
    keep_out(pid)
    assert "an audit hook may forbid it" in refused(pid, trace_file)
    never_entered(pid)
    assert program.poll() is None


# ---- our own end ----


@pytest.mark.parametrize("step", range(11, 16))
def test_attach_kills_itself(asked, talk, keep_out, attach, trace_file, step):
    """Between any two steps: the program goes on, says nothing, is traced by nobody, and can be attached to again."""
    program = talk([asked.path, TARGETS / "py_attached.py", "busy"])
    before, scripts = program.ask("state"), set(glob.glob(SCRIPTS))
    keep_out(program.pid)
    done = running.run([traces.heapsake_binary(), "attach", "-o", trace_file, program.pid],
                       env=running.clean_environment(HEAPSAKE_FAULT_INJECTION=step))
    assert done.status == -signal.SIGKILL, f"{done}"
    running.until(lambda: not trace_file.exists() or
                  '"complete": true' in traces.heapsake("verify", "--json", trace_file).out, what="the recorder's end")
    attached = attach(program.pid, "--json", "--force")
    by_script(attached)
    if step == 12:  # the one moment in which nobody knows of the file yet
        for path in set(glob.glob(SCRIPTS)) - scripts:
            os.unlink(path)
    settled(program.pid, belongings(program.pid))
    assert program.ask("state") == before
    program.end()


def test_killed_while_it_sleeps(asked, talk, keep_out, attach, trace_file):
    """Nobody is there who could take the request back: the script finds nobody who waits for it, and removes itself."""
    program = talk([asked.path, TARGETS / "py_attached.py", "input"])
    before, belongs = program.ask("state"), belongings(program.pid)
    tracer = keep_out(program.pid)
    asleep(program.pid)
    done = running.run([traces.heapsake_binary(), "attach", "-o", trace_file, program.pid],
                       env=running.clean_environment(HEAPSAKE_FAULT_INJECTION=14))
    assert done.status == -signal.SIGKILL, f"{done}"
    settled(program.pid, belongs)
    running.until(lambda: program.ask("state") == before, what="the end of the script and of its thread")
    tracer.lets_go()
    attach(program.pid, "--force").end()
    assert program.end() == {"kept": 0}
