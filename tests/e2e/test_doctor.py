"""heapsake doctor: what it says of processes of every kind, and of the machine; and that it leaves them alone."""

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from support import interpreters, running, traces
from support.running import first_line
from support.traces import the_program, the_recorder

# What is said of every process that can be looked into, in this order.
OF_A_PROCESS = ["process", "permission", "tracer", "state", "seccomp", "shadow stack", "program", "libc", "library",
                "tracing", "interpreter", "network", "namespaces", "address space", "descriptors", "mappings", "memory"]
OF_THE_MACHINE = ["kernel", "library", "shared memory", "disk", "cores", "attaching", "watchpoints", "debuginfod",
                  "interpreter"]


class Doctor:
    """What `doctor --json` said of a process (or of the machine alone)."""

    def __init__(self, *words, command=(), heapsake=None, **more):
        self.done = running.run([*command, heapsake or traces.heapsake_binary(), "doctor", "--json", *words], **more)
        assert self.done.status in (traces.EXIT_DONE, traces.EXIT_UNUSABLE) and self.done.err == "", f"{self.done}"
        checks = json.loads(self.done.out)["checks"]
        for check in checks:
            assert set(check) == {"name", "ok", "fatal", "detail", "fix"}
            assert check["detail"] and not check["detail"].endswith(".")
            assert not (check["ok"] and check["fatal"]) and not (check["ok"] and check["fix"])
        at = next(i for i, check in enumerate(checks) if check["name"] == "kernel")
        self.process, self.machine = checks[:at], checks[at:]
        assert (self.done.status == traces.EXIT_UNUSABLE) == any(check["fatal"] for check in checks)

    def of(self, name):
        return next(check for check in self.process if check["name"] == name)

    def of_machine(self, name):
        return next(check for check in self.machine if check["name"] == name)

    @property
    def obstacles(self):
        return {check["name"] for check in self.process if check["fatal"]}

    def healthy(self, *, but=()):
        """Asserts that everything is said, and all of it is well except for the obstacles named in `but`."""
        assert [check["name"] for check in self.process] == OF_A_PROCESS, self.process
        assert self.obstacles == set(but), self.process
        return self


def refused(*words, **more):
    """The one line on standard error of a doctor that could not look at all."""
    for form in ([], ["--json"]):
        done = running.run([traces.heapsake_binary(), "doctor", *form, *words], **more)
        assert done.status == traces.EXIT_UNUSABLE and done.out == "", f"{done}"
        assert len(done.err.splitlines()) == 1 and done.err.startswith("heapsake: process "), f"{done}"
    return done.err


@pytest.fixture
def subject(target, started):
    """subject(kind, command=...) is a running tests/targets/subject.c, and the number that it said."""
    def go(kind="plain", *, command=(), program=None, **more):
        process = started([*command, program or target("subject.c"), kind], stdin=subprocess.PIPE, **more)
        return process, int(first_line(process).split()[1])
    return go


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_c_program(subject):
    process, _ = subject()
    doctor = Doctor(process.pid).healthy()
    assert all(check["ok"] for check in doctor.process)
    assert doctor.of("process")["detail"] == "runs subject in 1 thread"
    assert "no CPython" in doctor.of("interpreter")["detail"]
    assert str(traces.preload_library()) in doctor.of("library")["detail"]
    assert doctor.of("libc")["detail"].startswith("has glibc 2.")
    process.stdin.close()
    assert process.wait(timeout=30) == 0  # it has noticed nothing


READY = "import sys; print('ready 0', flush=True); sys.stdin.read()"


def version_text(python):
    """As doctor writes it: before 3.11 the last part of a version is not to be read without running it."""
    parts = python.version if python.version >= (3, 11) else python.version[:2]
    return "CPython " + ".".join(map(str, parts)) + (", free-threaded" if python.free_threaded else "")


def check_interpreter(python, started):
    process = started([python.path, "-c", READY], stdin=subprocess.PIPE)
    first_line(process)
    check = Doctor(process.pid).healthy().of("interpreter")
    assert f"runs {version_text(python)} (" in check["detail"], check
    assert ("libpython" in check["detail"]) == python.shared, check
    assert check["ok"] == python.traced and not check["fatal"], check
    process.stdin.close()
    assert process.wait(timeout=30) == 0


def test_python(python, started):
    check_interpreter(python, started)


def test_other_python(other_python, started):
    if other_python.version < (3, 7):
        pytest.skip("so old that it does not export what an interpreter is known by")
    check_interpreter(other_python, started)


def test_static_executable(target, subject):
    process, _ = subject(program=target("subject.c", "-static"))
    doctor = Doctor(process.pid)
    assert doctor.obstacles == {"program"} and "static" in doctor.of("program")["detail"]


def test_other_word_size(target, started):
    try:
        program = target("other_word_size.c", "-m32", "-nostdlib", "-static", "-ffreestanding")
    except Exception as trouble:  # whatever its words: no such compiler
        pytest.skip(f"no 32-bit programs can be built here: {trouble}")
    try:
        process = started([program])
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    doctor = Doctor(process.pid)
    assert doctor.obstacles == {"program"} and "32-bit" in doctor.of("program")["detail"]


def test_zombie(started):
    process = started(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert "zombie" in refused(process.pid)


def test_ended():
    process = running.start(["true"])
    running.finish(process)
    assert "no such process" in refused(process.pid)


def test_kernel_thread():
    try:
        if Path("/proc/2/comm").read_text() != "kthreadd\n":
            pytest.skip("process 2 is no thread of the kernel here")
    except OSError:
        pytest.skip("there is no process 2 here")
    assert "kernel" in refused(2)


def test_thread(subject):
    process, thread = subject("thread")
    assert thread != process.pid
    line = refused(thread)
    assert f"is a thread of process {process.pid}" in line
    assert Doctor(process.pid).healthy().of("process")["detail"].endswith(" in 2 threads")


def test_first_thread_has_ended(subject):
    process, _ = subject("leaderless")
    assert "first thread" in refused(process.pid)


def test_itself():
    """The shell's pid is heapsake's after exec."""
    done = running.run(["sh", "-c", 'exec "$0" doctor $$', traces.heapsake_binary()])
    assert done.status == traces.EXIT_UNUSABLE and "is heapsake itself" in done.err and done.out == "", f"{done}"


@pytest.mark.parametrize("word", ["no-number", "12x", "-5", "0", "99999999999999999999", ""])
def test_no_pid(word):
    done = traces.heapsake("doctor", "--", word)
    assert done.status == traces.EXIT_USAGE and len(done.err.splitlines()) == 1 and done.out == "", f"{done}"


def test_two_pids():
    assert traces.heapsake("doctor", 1, 2).status == traces.EXIT_USAGE


def test_traced_by_another(subject):
    process, child = subject("tracer")
    check = Doctor(child).healthy(but=["tracer"]).of("tracer")
    assert f"subject, process {process.pid}" in check["detail"] and str(process.pid) in check["fix"]
    Doctor(process.pid).healthy()


def test_stopped(subject):
    process, _ = subject()
    os.kill(process.pid, signal.SIGSTOP)
    running.until(lambda: state_of(process.pid) == "T", what="the stop")
    doctor = Doctor(process.pid).healthy(but=["state"])
    assert doctor.of("state")["fix"] == f"kill -CONT {process.pid}"
    assert state_of(process.pid) == "T"
    os.kill(process.pid, signal.SIGCONT)
    running.until(lambda: state_of(process.pid) == "S", what="the continuation")
    Doctor(process.pid).healthy()


def test_strict_seccomp(subject):
    process, _ = subject("strict")
    check = Doctor(process.pid).healthy(but=["seccomp"]).of("seccomp")
    assert "strict" in check["detail"] and check["fix"] is None
    process.stdin.close()
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("kind", ["filter", "filtered-thread"])
def test_seccomp_filter(subject, kind):
    """Also when only one thread has one."""
    process, _ = subject(kind)
    check = Doctor(process.pid).healthy(but=["seccomp"]).of("seccomp")
    assert f"--allow-seccomp {process.pid}" in check["fix"]


def test_own_seccomp_filter(target, started):
    """Those that heapsake has itself are no obstacle: the same container."""
    script = """
import ctypes, os, subprocess, sys
program, heapsake = sys.argv[1:]
code = (ctypes.c_uint64 * 1)(0x7fff0000 << 32 | 0x06)  # BPF_RET, SECCOMP_RET_ALLOW
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Program(1, ctypes.addressof(code)))) == 0
subject = subprocess.Popen([program, "plain"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
subject.stdout.readline()
subprocess.run([heapsake, "doctor", "--json", str(subject.pid)])
subject.communicate()
"""
    done = running.run(["/usr/bin/python3", "-c", script, target("subject.c"), traces.heapsake_binary()]).ok()
    check = next(check for check in json.loads(done.out)["checks"] if check["name"] == "seccomp")
    assert check["ok"] and "as many filters" in check["detail"], check


def test_address_space(subject):
    process, _ = subject("limited")
    check = Doctor(process.pid).healthy(but=["address space"]).of("address space")
    assert "of the 200 MiB" in check["detail"]
    words = check["fix"].split()
    if not shutil.which(words[0]):
        pytest.skip(f"{words[0]} is not installed")
    running.run(words).ok()
    assert resource.prlimit(process.pid, resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY
    Doctor(process.pid).healthy()


# ---- namespaces ----

def unshare(*options):
    """The words that run a command in namespaces of its own; skips where that is forbidden."""
    words = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), *options]
    if not shutil.which("unshare") or running.run([*words, "true"]).status:
        pytest.skip("no namespaces of one's own here")
    return words


def test_network_namespace(subject):
    """It has to be entered, which takes a capability."""
    process, _ = subject(command=unshare("-n"))
    without = []
    if os.geteuid() == 0:
        assert "which a recorder enters" in Doctor(process.pid).healthy().of("network")["detail"]
        without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is not installed")
    check = Doctor(process.pid, command=without).healthy(but=["network"]).of("network")
    assert f"nsenter --net=/proc/{process.pid}/ns/net" in check["fix"]
    if os.geteuid() == 0 and shutil.which("nsenter"):
        Doctor(process.pid, command=["nsenter", f"--net=/proc/{process.pid}/ns/net"]).healthy()


def test_pid_namespace(subject, needs_root):
    process, _ = subject(command=unshare("-p", "-f"))
    child, = running.until(lambda: running.children_of(process.pid), what="the child")
    check = Doctor(child).healthy().of("namespaces")
    assert check["ok"] and check["detail"].endswith(": pid")


def test_user_namespace(subject, needs_root):
    process, _ = subject(command=unshare("-U"))
    check = Doctor(process.pid).healthy().of("namespaces")
    assert check["ok"] and check["detail"].endswith(": user")


def in_own_mounts(subject, script, *words):
    """A process that waits in a mount namespace where the shell script has been run before, with these words."""
    command = [*unshare("-m"), "sh", "-ec", script + '\nshift "$1"; shift; exec "$@"', "sh", len(words), *words]
    return subject(command=command)[0]


# The script is given a count of its words first, so that it can get rid of them.
HIDE = 'mount -t tmpfs none "$2"'


def test_library_is_not_in_the_container(subject):
    process = in_own_mounts(subject, HIDE, traces.preload_library().parent)
    check = Doctor(process.pid).healthy(but=["library"]).of("library")
    assert "finds no " in check["detail"] and "container" in check["detail"]
    assert f"/proc/{process.pid}/root{traces.preload_library()}" in check["fix"]
    if os.geteuid() == 0:  # what the fix says does it
        running.run(["sh", "-c", check["fix"][check["fix"].index("install "):]]).ok()
        Doctor(process.pid).healthy()


def test_other_library_in_the_container(subject):
    other = traces.preload_library().with_name("libheapsake-noop.so")
    process = in_own_mounts(subject, 'cp "$3" /dev/shm/heapsake-$$; ' + HIDE +
                            '; cp /dev/shm/heapsake-$$ "$2/libheapsake.so"; rm /dev/shm/heapsake-$$',
                            traces.preload_library().parent, other)
    check = Doctor(process.pid).healthy(but=["library"]).of("library")
    assert "finds another " in check["detail"]


@pytest.fixture
def library_copy():
    """The library in a folder of its own that every user may enter, and what tells heapsake to use that one."""
    folder = Path(tempfile.mkdtemp(prefix="heapsake-test-"))
    folder.chmod(0o755)
    inside = folder / "inside"
    inside.mkdir()
    library = Path(shutil.copy(traces.preload_library(), inside))
    yield library, running.clean_environment(HEAPSAKE_LIBRARY=library)
    shutil.rmtree(folder)


def test_library_on_noexec(subject, library_copy):
    library, environment = library_copy
    script = 'cp "$2/$3" "$2/../kept"; mount -t tmpfs -o noexec none "$2"; mv "$2/../kept" "$2/$3"'
    process = in_own_mounts(subject, script, library.parent, library.name)
    check = Doctor(process.pid, env=environment).healthy(but=["library"]).of("library")
    assert "noexec" in check["detail"]


# ---- other users ----

@pytest.fixture
def open_subject(open_folder, target):
    """subject.c where every user may run it."""
    return Path(shutil.copy(target("subject.c"), open_folder / "subject"))


def test_of_another_user(open_folder, open_subject, subject, as_nobody, needs_root):
    """Root's, asked about by nobody: refused, whatever else can be said is said."""
    process, _ = subject(program=open_subject)
    doctor = Doctor(process.pid, command=as_nobody([]), heapsake=open_folder / "build/analyzer/heapsake", cwd="/")
    assert doctor.obstacles == {"permission"}
    assert "belongs to user 0, and this is user 65534" in doctor.of("permission")["detail"]
    assert doctor.of("state")["ok"] and doctor.of("address space")["ok"]


def test_asked_by_root(open_subject, subject, as_nobody, needs_root):
    process, _ = subject(program=open_subject, command=as_nobody([]))
    doctor = Doctor(process.pid, heapsake=open_subject.parent / "build/analyzer/heapsake").healthy()
    assert "user 65534" in doctor.of("permission")["detail"]


def test_own_process(open_folder, open_subject, subject, as_nobody):
    """Without any special right."""
    process, _ = subject(program=open_subject, command=as_nobody([]))
    doctor = Doctor(process.pid, command=as_nobody([]), heapsake=open_folder / "build/analyzer/heapsake", cwd="/")
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and scope.read_text() != "0\n":
        assert doctor.obstacles == {"permission"} and "ptrace_scope" in doctor.of("permission")["detail"]
    else:
        doctor.healthy()


def test_undumpable(open_folder, open_subject, subject, as_nobody):
    process, _ = subject("undumpable", program=open_subject, command=as_nobody([]))
    doctor = Doctor(process.pid, command=as_nobody([]), heapsake=open_folder / "build/analyzer/heapsake", cwd="/")
    assert doctor.obstacles == {"permission"} and "DUMPABLE" in doctor.of("permission")["detail"]


@pytest.mark.parametrize("what", ["folder", "file"])
def test_library_that_the_process_cannot_read(open_subject, subject, as_nobody, library_copy, needs_root, what):
    library, environment = library_copy
    (library.parent if what == "folder" else library).chmod(0o700)
    process, _ = subject(program=open_subject, command=as_nobody([]))
    check = Doctor(process.pid, env=environment).healthy(but=["library"]).of("library")
    assert ("searched" if what == "folder" else "read") + " by its user" in check["detail"], check
    os.chown(library.parent if what == "folder" else library, 65534, -1)
    Doctor(process.pid, env=environment).healthy()


def test_library_for_root(subject, library_copy, needs_root):
    """Root reads what modes forbid."""
    library, environment = library_copy
    library.parent.chmod(0)
    process, _ = subject()
    Doctor(process.pid, env=environment).healthy()


# ---- cgroups ----

@pytest.fixture
def group(needs_root):
    """group(controller, {file: text}) is a fresh cgroup, of whichever version has that controller here."""
    made = []

    def go(controller, files_1, files_2):
        one, two = Path("/sys/fs/cgroup") / controller, Path("/sys/fs/cgroup")
        folder, files = (one, files_1) if one.is_dir() else (two, files_2)
        folder /= f"heapsake-test-{os.getpid()}-{len(made)}"
        try:
            folder.mkdir()
            made.append(folder)
            for name, text in files.items():
                (folder / name).write_text(text)
        except OSError as trouble:
            pytest.skip(f"no group with {controller} can be made here: {trouble}")
        return folder
    yield go
    for folder in reversed(made):
        running.until(lambda: not (folder / "cgroup.procs").read_text(), what="the end of the group's processes")
        folder.rmdir()


@pytest.fixture
def in_group(group, subject):
    """A subject in such a group, which ends before the group does."""
    started_here = []

    def go(*words):
        folder = group(*words)
        process, _ = subject()
        (folder / "cgroup.procs").write_text(str(process.pid))
        started_here.append((process, folder))
        return process, folder
    yield go
    for process, folder in started_here:
        for name, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if (folder / name).exists():
                (folder / name).write_text(text)
        running.end(process)


def test_memory_of_the_group(in_group):
    def limits(mib):
        return {"memory.limit_in_bytes": f"{mib}M"}, {"memory.max": f"{mib}M"}
    process, _ = in_group("memory", *limits(60))
    check = Doctor(process.pid).healthy(but=["memory"]).of("memory")
    assert "of the 60.0 MiB of its cgroup" in check["detail"], check
    process, _ = in_group("memory", *limits(300))
    check = Doctor(process.pid).healthy().of("memory")
    assert "of the 300 MiB of its cgroup" in check["detail"], check


def test_frozen(in_group):
    process, folder = in_group("freezer", {}, {})
    Doctor(process.pid).healthy()
    if (folder / "freezer.state").exists():
        (folder / "freezer.state").write_text("FROZEN")
        running.until(lambda: (folder / "freezer.state").read_text() == "FROZEN\n", what="the freezing")
    else:
        (folder / "cgroup.freeze").write_text("1")
        running.until(lambda: "frozen 1" in (folder / "cgroup.events").read_text(), what="the freezing")
    check = Doctor(process.pid).healthy(but=["state"]).of("state")
    assert "frozen" in check["detail"]


# ---- traced by heapsake ----

def test_traced_already(target, trace_file, started):
    program = target("subject.c")
    process = started([*traces.command(trace_file), program, "plain"], stdin=subprocess.PIPE)
    first_line(process)
    pid = the_program(process, program)
    check = Doctor(pid).healthy(but=["tracing"]).of("tracing")
    assert f"heapsake snapshot {pid}" in check["fix"]
    # without its recorder it is traced no more
    os.kill(the_recorder(process, trace_file), signal.SIGKILL)
    running.until(lambda: not Doctor(pid).obstacles, what="the end of the session")
    assert "traced before" in Doctor(pid).of("tracing")["detail"]
    process.stdin.close()
    assert process.wait(timeout=30) == 0


def test_library_without_session(subject):
    """Preloaded, but told to record nothing that it could: no session, no obstacle."""
    process, _ = subject(env=running.clean_environment(LD_PRELOAD=traces.preload_library(),
                                                       HEAPSAKE_OUTPUT="/no/such/folder/t.hsk"))
    assert Doctor(process.pid).healthy().of("tracing")["ok"]


# ---- the machine ----

def test_machine():
    doctor = Doctor()
    assert doctor.process == []
    assert [check["name"] for check in doctor.machine][:len(OF_THE_MACHINE)] == OF_THE_MACHINE
    assert {check["name"] for check in doctor.machine} == set(OF_THE_MACHINE)
    assert doctor.of_machine("library")["detail"] == str(traces.preload_library())
    assert os.uname().release in doctor.of_machine("kernel")["detail"]


def test_interpreters_of_the_machine(tmp_path):
    """Every one in PATH, once, under whatever names, and no script."""
    found = [python for python in interpreters.all_interpreters() if python.version >= (3, 7)]
    for number, python in enumerate(found):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "python3").symlink_to(python.path)
        (folder / "python3.99").symlink_to(python.path)
        (folder / "python3-config").write_text("#!/bin/sh\n")
        (folder / "python3-config").chmod(0o755)
    path = ":".join(["", "/no/such/folder", *(str(tmp_path / str(number)) for number in range(len(found)))])
    doctor = Doctor(env=running.clean_environment(PATH=path))
    checks = [check for check in doctor.machine if check["name"] == "interpreter"]
    said = [(check["detail"].split(": ")[:2], check["ok"]) for check in checks]
    assert said == [([str(tmp_path / str(number) / "python3"), version_text(python)], python.traced)
                    for number, python in enumerate(found)]


def test_no_interpreter(tmp_path):
    check = Doctor(env=running.clean_environment(PATH=tmp_path)).of_machine("interpreter")
    assert check["ok"] and "no python3" in check["detail"]


def test_library_is_missing():
    doctor = Doctor(env=running.clean_environment(HEAPSAKE_LIBRARY="/no/such/library.so"))
    check = doctor.of_machine("library")
    assert check["fatal"] and "/no/such/library.so" in check["detail"]


def test_library_is_missing_for_a_process(subject):
    process, _ = subject()
    Doctor(process.pid, env=running.clean_environment(HEAPSAKE_LIBRARY="/no/such/library.so")).healthy(but=["library"])


def test_file_size_limit(open_folder, as_nobody):
    """Shared memory is a file: a limit that may not be lifted forbids it."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    doctor = Doctor(command=as_nobody([]), heapsake=open_folder / "build/analyzer/heapsake", cwd="/", preexec_fn=limit)
    check = doctor.of_machine("shared memory")
    assert check["fatal"] and "ulimit -f" in check["fix"]


def test_current_folder(open_folder, as_nobody, tmp_path):
    heapsake = open_folder / "build/analyzer/heapsake"
    closed = open_folder / "closed"
    closed.mkdir(mode=0o555)
    check = Doctor(command=as_nobody([]), heapsake=heapsake, cwd=closed).of_machine("disk")
    assert not check["ok"] and not check["fatal"] and "-o" in check["fix"]


def test_small_disk(tmp_path):
    script = 'mount -t tmpfs -o size=8m none "$1"; cd "$1"; shift; exec "$@"'
    check = Doctor(command=[*unshare("-m"), "sh", "-ec", script, "sh", tmp_path]).of_machine("disk")
    assert not check["ok"] and not check["fatal"] and "8.00 MiB" in check["detail"], check


def test_one_core():
    one = {min(os.sched_getaffinity(0))}
    check = Doctor(preexec_fn=lambda: os.sched_setaffinity(0, one)).of_machine("cores")
    assert not check["ok"] and not check["fatal"]


@pytest.mark.parametrize("urls", ["http://127.0.0.1:1/", None])
def test_debuginfod(urls):
    check = Doctor(env=running.clean_environment(DEBUGINFOD_URLS=urls)).of_machine("debuginfod")
    assert check["ok"] == bool(urls) and not check["fatal"]
    assert (urls or "not set up") in check["detail"]


# ---- for people ----

def test_text(subject):
    process, _ = subject("filter")
    done = traces.heapsake("doctor", process.pid)
    assert done.status == traces.EXIT_UNUSABLE and done.err == "", f"{done}"
    lines = done.out.splitlines()
    checks = [line for line in lines if line.startswith(("ok  ", "!   ", "-   "))]
    starts = {len(line) - len(line.partition(":")[2].lstrip()) for line in checks}
    assert len(starts) == 1, done.out  # aligned
    at = next(number for number, line in enumerate(lines) if line.startswith("!   seccomp:"))
    assert lines[at + 1] == " " * starts.pop() + f"heapsake attach --allow-seccomp {process.pid} tries it all the same"
    assert lines[0] == f"Process {process.pid}" and "This machine" in lines
    assert lines[-1].startswith(f"1 of {len(checks)} checks found an obstacle (!)")


def test_text_of_the_machine():
    done = traces.heapsake("doctor").ok()
    assert done.out.startswith("This machine\n") and done.out.splitlines()[-1].startswith("all that is needed works")


def test_names_are_harmless(target, subject, tmp_path):
    """A program's name may hold anything."""
    program = tmp_path / "a\x1b[31m\nb"
    shutil.copy(target("subject.c"), program)
    process, _ = subject(program=program)
    done = traces.heapsake("doctor", process.pid).ok()
    assert "\x1b" not in done.out and "This machine" in done.out
    Doctor(process.pid).healthy()


def test_takes_a_moment(subject):
    """Attaching asks this first; the target is not kept waiting, and neither is the user."""
    process, _ = subject("thread")
    began = time.monotonic()
    Doctor(process.pid).healthy()
    assert time.monotonic() - began < 5


def test_many_mappings_and_threads(started):
    """Lists are as long as they need to be."""
    script = """
import mmap, sys, threading, time
kept = [mmap.mmap(-1, 8192) for _ in range(3000)]
for number, one in enumerate(kept):
    if number % 2:
        one.madvise(mmap.MADV_DONTDUMP)
end = threading.Event()
threading.stack_size(65536)
for _ in range(200):
    threading.Thread(target=end.wait).start()
print("ready", flush=True)
sys.stdin.read()
end.set()
"""
    process = started(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE)
    first_line(process)
    doctor = Doctor(process.pid).healthy()
    assert doctor.of("process")["detail"].endswith(" in 201 threads")
    assert int(doctor.of("mappings")["detail"].split()[1]) > 3000
    process.stdin.close()
    assert process.wait(timeout=30) == 0
