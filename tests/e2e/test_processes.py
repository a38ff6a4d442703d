"""Processes: fork, exec and their relatives, and every way to end. Each child has a trace of its own."""

import json
import re
import shutil
import signal
import stat

import pytest

SIZE_INHERITED, SIZE_CHILD, SIZE_PARENT, SIZE_IMAGE, SIZE_LAST = 6001, 6002, 6003, 6004, 6005
BLOCKS = 100


def allocated(trace, size):
    """How many blocks of that size the trace saw being allocated."""
    return len(trace.allocations(size))


def check(traced, status=0):
    assert traced.status == status, f"{traced.result}"
    traced.trace.whole()
    return traced.trace


@pytest.fixture
def processes(target, record):
    def go(mode, *words, options=(), **more):
        return record([target("processes.c"), mode, *words], *options, **more)
    return go


def test_fork(processes):
    traced = processes("fork")
    trace = check(traced)
    truth = traced.truth
    assert truth["status"] == 7
    assert allocated(trace, SIZE_INHERITED) == BLOCKS
    assert allocated(trace, SIZE_PARENT) == BLOCKS
    assert allocated(trace, SIZE_CHILD) == 0
    assert trace.live_of("mode_fork") == (2 * BLOCKS, BLOCKS * (SIZE_INHERITED + SIZE_PARENT))

    child = trace.child_of_pid(truth["child"]).whole()
    assert [each.path for each in trace.children()] == [child.path]
    summary = child.summary
    assert summary["process"]["pid"] == truth["child"]
    assert child.exit == (7, None)
    assert allocated(child, SIZE_CHILD) == BLOCKS
    # The child freed what it inherited: those frees find their blocks, and none of them is alive.
    live = {}
    for leak in child.leaks["leaks"]:
        for frame in leak["stack"]:
            live[frame["function"]] = live.get(frame["function"], 0) + leak["count"]
    assert live.get("child_frees", 0) == BLOCKS
    assert sum(leak["bytes"] for leak in child.leaks["leaks"]
               if leak["bytes"] == BLOCKS * SIZE_INHERITED) == 0


def test_fork_deep(processes):
    traced = processes("fork_deep", 4)
    trace = check(traced)
    lines = [json.loads(line) for line in traced.out.splitlines()]
    assert len(lines) == 4 and {line["status"] for line in lines} == {0}
    for line in lines:
        trace.child_of_pid(line["child"]).whole()
    last = trace.child_of_pid(lines[0]["child"])  # the innermost ends, and speaks, first
    assert allocated(last, SIZE_CHILD) == BLOCKS


def test_fork_many(processes):
    traced = processes("fork_many", 60)
    trace = check(traced)
    children = trace.children()
    assert len(children) == 60
    for child in children:
        child.whole()
        assert allocated(child, SIZE_CHILD) == BLOCKS


def test_raw_clone(processes):
    """A child that no hook announced: its events never land in the parent's rings."""
    traced = processes("raw_clone")
    trace = check(traced)
    assert traced.truth["status"] == 3
    assert allocated(trace, SIZE_INHERITED) == BLOCKS
    assert allocated(trace, SIZE_CHILD) == 0
    assert trace.live_of("mode_raw_clone")[0] == BLOCKS


def test_fork_in_a_crowd(processes):
    traced = processes("fork_threaded", 30, timeout=120)
    trace = check(traced)
    assert traced.truth == {"children": 30}
    children = trace.children()
    assert len(children) == 30
    for child in children:
        child.whole()
        assert allocated(child, SIZE_CHILD) == BLOCKS
        assert child.exit[0] == 5


@pytest.mark.parametrize("mode, status", [("vfork", 9), ("spawn", 11)])
def test_child_image(processes, mode, status):
    traced = processes(mode)
    trace = check(traced)
    assert traced.truth["status"] == status
    child = trace.child_of_pid(traced.truth["child"]).whole()
    assert allocated(child, SIZE_LAST) == BLOCKS
    assert allocated(trace, SIZE_LAST) == 0
    assert child.exit[0] == status
    if mode == "vfork":
        assert allocated(trace, SIZE_PARENT) == 2 * BLOCKS


def test_vfork_without_exec(processes):
    traced = processes("vfork_exit")
    trace = check(traced)
    assert traced.truth == {"children": BLOCKS}
    assert allocated(trace, SIZE_PARENT) == BLOCKS


def test_system(processes):
    traced = processes("system")
    trace = check(traced)
    assert traced.truth == {"status": 13}
    assert sum(allocated(child, SIZE_LAST) for child in trace.children()) == BLOCKS


def test_popen(processes):
    traced = processes("popen")
    check(traced)
    assert traced.truth == {"line": "ok"}


def test_exec_chain(processes):
    """FILE is the last image of the pid; the ones before have numbers."""
    traced = processes("exec", 3)
    trace = check(traced)
    assert allocated(trace, SIZE_LAST) == BLOCKS and allocated(trace, SIZE_IMAGE) == 0
    pid = trace.summary["process"]["pid"]
    earlier = trace.children()
    assert len(earlier) == 4
    for image in earlier:
        assert re.fullmatch(rf"t\.{pid}\.\d+\.hsk", image.path.name)
        image.whole()
        assert allocated(image, SIZE_IMAGE) == BLOCKS
        assert image.summary["process"]["pid"] == pid
    assert [image.summary["process"]["argv"][-1] for image in earlier] == ["3", "2", "1", "0"]


def test_exec_from_another_thread(processes):
    traced = processes("exec_thread")
    trace = check(traced, 17)
    assert allocated(trace, SIZE_LAST) == BLOCKS


def test_exec_that_fails(processes):
    trace = check(processes("exec_fails"))
    assert allocated(trace, SIZE_PARENT) == BLOCKS
    assert allocated(trace, SIZE_LAST) == BLOCKS
    assert trace.children() == []


def test_exec_relatives(processes):
    traced = processes("exec_relatives")
    trace = check(traced)
    last = [child for child in trace.children() if allocated(child, SIZE_LAST) == BLOCKS]
    assert len(last) == 8, [child.path.name for child in trace.children()]
    for child in last:
        assert child.whole().exit[0] == 21


@pytest.mark.parametrize("mode, shown", [("exec_empty", "end\n"), ("exec_null", "end\n"),
                                         ("clear_environment", "ONLY=this\nend\n")])
def test_no_environment(processes, mode, shown):
    """The new image is traced, and sees the environment it was given: nothing, or what its maker chose."""
    traced = processes(mode)
    trace = check(traced)
    assert traced.out == shown
    assert allocated(trace, SIZE_LAST) == BLOCKS


def script(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_shims_before_the_program(target, record, tmp_path):
    """env, sh -c 'exec', a script with #!: FILE holds the program, not the shims."""
    program = target("processes.c")
    wrapper = script(tmp_path / "wrapper", f'#!/bin/sh\nexec "{program}" "$@"\n')
    env_script = script(tmp_path / "env-script", "#!/usr/bin/env sh\n" + f'exec "{program}" "$@"\n')
    for number, argv in enumerate((
            ["env", program, "last", "5"],
            ["env", "-i", program, "last", "5"],
            ["sh", "-c", 'exec "$0" "$@"', program, "last", "5"],
            [wrapper, "last", "5"],
            [env_script, "last", "5"],
            ["env", "-u", "LD_PRELOAD", "nice", "-n", "1", program, "last", "5"])):
        traced = record(argv, path=tmp_path / f"{number}.hsk")
        trace = check(traced, 5)
        assert allocated(trace, SIZE_LAST) == BLOCKS, argv
        assert trace.summary["process"]["argv"][1:] == ["last", "5"], argv
        assert trace.summary["process"]["executable"] == str(program.resolve()), argv


@pytest.mark.parametrize("mode, status", [("exit", 3), ("_exit", 4), ("_Exit", 5), ("quick_exit", 6)])
def test_ways_to_exit(processes, mode, status):
    trace = check(processes(mode, status), status)
    assert allocated(trace, SIZE_LAST) == BLOCKS
    assert trace.exit == (status, None)


def test_raw_exit(processes):
    """exit_group without libc: whatever had been put into the rings is in the trace."""
    trace = check(processes("raw_exit", 7), 7)
    assert allocated(trace, SIZE_LAST) == BLOCKS
    assert trace.exit == (7, None)


@pytest.mark.parametrize("mode, number", [("abort", signal.SIGABRT), ("segfault", signal.SIGSEGV),
                                          ("corrupt", signal.SIGABRT)])
def test_crashes(processes, mode, number):
    trace = check(processes(mode), 128 + number)
    # The damaged block's free is recorded as what it is: of a block that nobody allocated.
    assert trace.summary["events"]["unknown_frees"] == int(mode == "corrupt")
    assert allocated(trace, SIZE_LAST) == BLOCKS
    assert trace.exit == (None, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1, signal.SIGINT, signal.SIGRTMIN + 2,
                                    signal.SIGPIPE])
def test_killed_by(processes, number):
    trace = check(processes("raise", int(number)), 128 + number)
    assert allocated(trace, SIZE_LAST) == BLOCKS
    assert trace.exit == (None, number)


def test_corrupt_message_is_libcs(target, same):
    traced = same([target("processes.c"), "corrupt"])
    assert "free(): invalid " in traced.err


def test_main_thread_leaves_first(processes):
    trace = check(processes("thread_leader_leaves"))
    assert allocated(trace, SIZE_LAST) == BLOCKS


@pytest.mark.parametrize("children, traced_ones", [("all", 1), ("none", 0), ("python", 0)])
def test_children_option(processes, children, traced_ones):
    traced = processes("spawn", options=[f"--children={children}"])
    trace = check(traced)
    assert traced.truth["status"] == 11
    assert len([child for child in trace.children() if allocated(child, SIZE_LAST)]) == traced_ones


def test_children_python(record, one_python, tmp_path):
    """--children=python: a shell in between is ignored, the interpreter that it starts is traced."""
    traced = record(["sh", "-c", '"$0" -c "print(1)"; echo 2', one_python.path], "--children=python")
    trace = check(traced)
    assert traced.out == "1\n2\n"
    children = trace.children()
    assert len(children) == 1
    assert children[0].whole().summary["process"]["python_version"] is not None


def test_grandchildren_of_make(record, tmp_path):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    (tmp_path / "Makefile").write_text("all: a b c\na b c:\n\t@echo made $@ | cat\n")
    traced = record(["make", "-s", "-j2", "-C", tmp_path])
    check(traced)
    assert sorted(traced.out.split()) == ["a", "b", "c", "made", "made", "made"]
    for child in traced.trace.children():
        child.whole()


def test_pipeline(record):
    traced = record(["sh", "-c", "seq 1 20000 | sort -rn | head -n 1"])
    check(traced)
    assert traced.out == "20000\n"
    for child in traced.trace.children():
        child.whole()
