"""What a program can see of where it runs is the same with and without heapsake, however it was started."""

import json
import os
import shutil

import pytest

from support import running, traces
from support.running import clean_environment

SEEN = ["descriptors", "environment", "signals", "process", "error_string"]
# The closing screen and messages go to heapsake's own stderr; with these two there is nobody to print one.
WAYS = ["run", "exec", "preload"]


@pytest.fixture
def start_in(trace_file):
    """start_in(way, argv) runs argv traced, started in that way."""
    def go(way, argv, **more):
        if way == "preload":
            return traces.preloaded(trace_file, argv, **more)
        return traces.record(trace_file, argv, *(["--exec"] if way == "exec" else []), **more)
    return go


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", SEEN)
def test_seen(target, start_in, mode, way):
    argv = [target("surroundings.c"), mode]
    plain = running.run(argv).ok()
    traced = start_in(way, argv)
    traced.result.ok()
    if mode == "process" and way == "run":
        # run is the program's parent: who leads the session and the group is run's matter
        def relevant(text):
            return [line for line in text.splitlines() if not line.startswith("oom")]
        assert relevant(traced.out) == relevant(plain.out)
    else:
        assert traced.out == plain.out
    assert len(plain.out.splitlines()) >= 2


@pytest.mark.parametrize("way", WAYS)
def test_users_own_preload_stays(target, start_in, tmp_path, way):
    """An LD_PRELOAD entry of the user's is still there inside; ours is not."""
    own = target("nothing.c", "-shared", name="libnothing.so")
    environment = clean_environment()
    argv = [target("surroundings.c"), "environment"]
    if way == "preload":
        environment["LD_PRELOAD"] = f"{own}:{traces.preload_library()}"
        environment["HEAPSAKE_OUTPUT"] = str(tmp_path / "own.hsk")
        done = running.run(argv, env=environment)
    else:
        environment["LD_PRELOAD"] = str(own)
        done = start_in(way, argv, env=environment).result
    done.ok()
    lines = done.out.splitlines()
    assert f"LD_PRELOAD={own}" in lines
    assert not any(line.startswith("HEAPSAKE") for line in lines)


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_environment_during_system(target, start_in, way, preload):
    """Commands of several threads at once, changes meanwhile, a cancelled one: each leaves what it leaves untraced."""
    if preload and way == "preload":
        pytest.skip("the list is ours there")
    environment = clean_environment()
    if preload:
        environment["LD_PRELOAD"] = str(target("nothing.c", "-shared", name="libnothing.so"))
    program = target("environment.c")
    plain = running.run([program], env=environment).ok()
    traced = start_in(way, [program], env=environment)
    traced.result.ok()

    def entries(text):
        return [sorted(line.split(" ")) for line in text.splitlines()]

    assert entries(traced.out) == entries(plain.out)
    assert "CHANGED=after" in traced.out


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["wait_any", "no_sigchld", "subreaper"])
def test_no_strange_children(target, start_in, mode, way):
    """A recorder that the program did not start is invisible to its wait() and SIGCHLD."""
    argv = [target("processes.c"), mode]
    plain = running.run(argv).ok()
    traced = start_in(way, argv)
    traced.result.ok()
    assert traced.out == plain.out


@pytest.mark.parametrize("way", WAYS)
def test_traced_in_every_way(target, start_in, way):
    traced = start_in(way, [target("counts.c"), "malloc_keep", 1234])
    traced.result.ok()
    trace = traces.settled(traced.trace).whole()
    assert trace.live_of("malloc_keep")[0] == 1234


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode, status", [("closes_everything", 42), ("reopens", 0), ("errno_kept", 0), ("folder", 0),
                                          ("privileges", 0), ("not_dumpable", 0)])
def test_rude_programs(target, start_in, mode, status, way):
    argv = [target("surroundings.c"), mode]
    plain = running.run(argv)
    traced = start_in(way, argv)
    assert plain.status == traced.status == status, f"{traced.result}"
    assert traced.out == plain.out
    traces.settled(traced.trace).whole()


def test_exec_keeps_the_pid(target, trace_file, started):
    process = started([traces.heapsake_binary(), "run", "-o", trace_file, "--exec", "--", "sh", "-c", "echo $$; exit 3"])
    done = running.finish(process)
    assert done.status == 3
    assert int(done.out) == process.pid
    assert traces.settled(traces.Trace(trace_file)).summary["process"]["pid"] == process.pid


def test_no_zombies(target, trace_file):
    """After `run` has ended, none of its processes is left, and none is a zombie."""
    traced = traces.record(trace_file, [target("processes.c"), "fork_many", 20])
    traced.result.ok()

    def mine():
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                if any(str(trace_file).encode() in word for word in running.command_line(pid))]
    running.until(lambda: not mine(), what="the end of the recorder")


@pytest.mark.parametrize("way", ["run", "preload"])
def test_no_strange_clones(target, start_in, way):
    """The same for waitpid(-1, __WALL)."""
    argv = [target("processes.c"), "wait_clones"]
    plain = running.run(argv).ok()
    traced = start_in(way, argv)
    traced.result.ok()
    assert traced.out == plain.out


@pytest.mark.parametrize("limit, mode", [("ulimit -v 1048576", "tight_memory"), ("ulimit -v 262144", "tight_memory")])
def test_little_address_space(target, start_in, limit, mode):
    """Under RLIMIT_AS the program gets nearly all of what it gets untraced, and is traced."""
    argv = ["sh", "-c", f'{limit}; exec "$0" {mode}', target("surroundings.c")]
    plain = running.run(argv).ok()
    traced = start_in("run", argv)
    traced.result.ok()
    traced.trace.whole()
    assert json.loads(traced.out)["mebibytes"] >= json.loads(plain.out)["mebibytes"] - 40
    assert traced.trace.domain("malloc")["allocations"] > 10_000


def test_limit_around_heapsake_itself(target, trace_file):
    """The limit set before heapsake starts, as a container or a CI job does it."""
    done = running.run(["sh", "-c", 'ulimit -v 1048576; exec "$@"', "sh", *traces.command(trace_file),
                        target("surroundings.c"), "tight_memory"])
    done.ok()
    assert json.loads(done.out.splitlines()[0])["mebibytes"] > 700


@pytest.mark.parametrize("files, is_traced", [(4, None), (6, None), (8, True), (16, True)])
def test_few_descriptors(target, start_in, files, is_traced):
    """With hardly any descriptor to be had the program runs, traced or not; with a few it is traced."""
    argv = ["sh", "-c", f'ulimit -n {files}; exec "$0" malloc_keep 50', target("counts.c")]
    plain = running.run(argv).ok()
    traced = start_in("run", argv)
    traced.result.ok()
    assert traced.out == plain.out
    if is_traced:
        assert traced.trace.whole().live_of("malloc_keep")[0] == 50


@pytest.mark.parametrize("kilobytes", [64, 256])
def test_small_stack(target, start_in, kilobytes):
    argv = ["sh", "-c", f'ulimit -s {kilobytes}; exec "$0" malloc_free 5000', target("counts.c")]
    plain = running.run(argv).ok()
    traced = start_in("run", argv)
    traced.result.ok()
    assert traced.out == plain.out
    traced.trace.whole()


def test_closed_standard_streams(target, trace_file):
    """Started without stdin, stdout and stderr at all: no file of ours takes their numbers."""
    program = target("counts.c")
    done = running.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *traces.command(trace_file), program, "malloc_free",
                        "10"])
    plain = running.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", program, "malloc_free", "10"])
    assert done.status == plain.status


def test_relative_output_stays_where_it_was(target, tmp_path):
    done = running.run([traces.heapsake_binary(), "run", "-o", "here.hsk", "--", target("surroundings.c"), "folder"],
                       cwd=tmp_path)
    done.ok()
    traces.Trace(tmp_path / "here.hsk").whole()


def test_default_name(target, tmp_path):
    done = running.run([traces.heapsake_binary(), "run", "--", "sh", "-c", "echo $$"], cwd=tmp_path)
    done.ok()
    assert (tmp_path / f"heapsake.sh.{int(done.out)}.hsk").exists()
    assert ((tmp_path / f"heapsake.sh.{int(done.out)}.hsk").stat().st_mode & 0o777) == 0o600


def test_odd_names(target, tmp_path):
    """Names with spaces, quotes and bytes that are no UTF-8, for folder, file and program."""
    folder = tmp_path / os.fsdecode(b"a folder 'quoted' \"twice\" \xff")
    folder.mkdir()
    program = folder / "the program"
    shutil.copy(target("counts.c"), program)
    traced = traces.record(folder / "its trace.hsk", [program, "malloc_keep", 7])
    traced.result.ok()
    assert traced.trace.whole().live_of("malloc_keep")[0] == 7
