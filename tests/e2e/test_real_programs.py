"""Programs that people use: the same results as untraced, and memory as valgrind sees it."""

import os
import re
import shlex
import shutil
import socket
import subprocess

import pytest

from support import running, traces
from support.building import TARGETS
from support.running import clean_environment, until


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def valgrind(argv, tmp_path, **more):
    """(live bytes, live blocks, allocations, allocated bytes) of a single process, as valgrind counts them."""
    needs("valgrind")
    log = tmp_path / "valgrind.log"
    done = running.run(["valgrind", "--leak-check=no", "--run-libc-freeres=no", "--run-cxx-freeres=no",
                        "--child-silent-after-fork=yes", f"--log-file={log}", *argv], timeout=300, **more)
    text = log.read_text().replace(",", "")
    live = re.search(r"in use at exit: (\d+) bytes in (\d+) blocks", text)
    total = re.search(r"total heap usage: (\d+) allocs (\d+) frees (\d+) bytes allocated", text)
    if not live or not total:
        pytest.skip(f"valgrind does not work here: {text[-300:]}")
    return done, int(live.group(1)), int(live.group(2)), int(total.group(1)), int(total.group(3))


def agrees(trace, live_bytes, live_blocks, allocations, allocated_bytes, *, part=0.01, blocks=20, size=8192):
    """
    The tolerance: one percent, and a few blocks that differ by nature: the loader's own, which valgrind does not see
    when they come before it has begun, and buffers whose size depends on what an output is.
    """
    domain = trace.domain("malloc")
    for key, known, slack in (("live_bytes", live_bytes, size), ("live_blocks", live_blocks, blocks),
                              ("allocations", allocations, blocks), ("allocated_bytes", allocated_bytes, 4 * size)):
        assert abs(domain[key] - known) <= known * part + slack, (key, domain[key], known)


@pytest.fixture
def repository(tmp_path):
    """A git repository with a history of its own, the same in every run."""
    needs("git")
    folder = tmp_path / "repository"
    folder.mkdir()
    environment = clean_environment(HOME=tmp_path, GIT_CONFIG_NOSYSTEM="1", GIT_AUTHOR_DATE="2020-01-01T00:00:00Z",
                                    GIT_COMMITTER_DATE="2020-01-01T00:00:00Z", GIT_AUTHOR_NAME="a",
                                    GIT_AUTHOR_EMAIL="a@example.com", GIT_COMMITTER_NAME="a",
                                    GIT_COMMITTER_EMAIL="a@example.com")

    def git(*words):
        subprocess.run(["git", "-C", folder, *words], check=True, env=environment, capture_output=True)
    git("init", "-q")
    for number in range(40):
        for name in ("a", "b", "c"):
            lines = [f"{name} line {line} of {number if line % 7 == number % 7 else 0}" for line in range(300)]
            (folder / name).write_text("\n".join(lines))
        git("add", ".")
        git("commit", "-q", "-m", f"commit {number}")
    return folder, environment


def test_git_log(repository, record, tmp_path):
    folder, environment = repository
    argv = ["git", "-C", folder, "--no-pager", "log", "-p"]
    plain = running.run(argv, env=environment).ok()
    traced = record(argv, env=environment)
    traced.result.ok()
    assert traced.out == plain.out and len(plain.out) > 100_000
    trace = traced.trace.whole()
    assert trace.domain("malloc")["allocations"] > 10_000
    seen, *numbers = valgrind(argv, tmp_path, env=environment)
    assert seen.out == plain.out
    agrees(trace, *numbers)


def test_gcc(record, tmp_path, same):
    """The driver, the compiler proper and the assembler, each in a trace of its own; the object file is the same."""
    needs("gcc")
    objects = []
    for number, under in enumerate((False, True)):
        output = tmp_path / f"{number}.o"
        argv = ["gcc", "-D_GNU_SOURCE", "-O2", "-frandom-seed=1", "-c", TARGETS / "processes.c", "-o", output]
        if under:
            traced = record(argv)
            traced.result.ok()
        else:
            running.run(argv).ok()
        objects.append(output.read_bytes())
    assert objects[0] == objects[1]
    trace = traced.trace.whole()
    names = {os.path.basename(child.whole().summary["process"]["executable"]): child for child in trace.children()}
    assert "cc1" in names
    assert any("as" in name for name in names)
    cc1 = names["cc1"].summary
    assert cc1["events"]["allocations"] > 1000 and cc1["memory"]["peak_bytes"] > 1_000_000


@pytest.mark.slow  # valgrind takes a minute for what the compiler does in half a second
def test_gcc_against_valgrind(record, tmp_path):
    """The compiler proper: what it allocates and keeps, by heapsake and by valgrind."""
    needs("gcc", "valgrind")
    shown = running.run(["gcc", "-###", "-D_GNU_SOURCE", "-O2", "-frandom-seed=1", "-S", TARGETS / "counts.c", "-o",
                         tmp_path / "out.s"]).ok()
    argv = shlex.split(next(line for line in shown.err.splitlines() if "cc1" in line))
    traced = record(argv)
    traced.result.ok()
    seen, *numbers = valgrind(argv, tmp_path)
    seen.ok()
    agrees(traced.trace.whole(), *numbers, part=0.05)  # it hashes addresses, which are others there: a pool more or less


def test_gcc_fails_alike(same, tmp_path):
    needs("gcc")
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { return nothing; }\n")
    traced = same(["gcc", "-c", source, "-o", tmp_path / "wrong.o"])
    assert traced.status == 1 and "nothing" in traced.err


@pytest.mark.parametrize("program, words", [("noise.c", ["20000"]), ("cxx.cpp", ["crowd", "1500"]),
                                            ("cxx.cpp", ["throws", "2000"]), ("counts.c", ["realloc_chain", "3000"])],
                         ids=["noise", "crowd", "throws", "chain"])
def test_against_valgrind(target, record, tmp_path, program, words):
    argv = [target(program), *words]
    traced = record(argv)
    traced.result.ok()
    seen, *numbers = valgrind(argv, tmp_path)
    assert seen.out == traced.out
    agrees(traced.trace.whole(), *numbers)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_redis(trace_file, tmp_path, started):
    """A server under load on loopback; what it says about its memory and what the trace says agree."""
    needs("redis-cli", "redis-benchmark")
    server = shutil.which("redis-server")
    if not server:  # Debian's redis-tools has the program under another name
        needs("redis-check-rdb")
        server = tmp_path / "redis-server"
        server.symlink_to(shutil.which("redis-check-rdb"))
    port = free_port()
    process = started([*traces.command(trace_file), server, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                       "--appendonly", "no", "--daemonize", "no", "--dir", tmp_path])

    def ask(*words):
        return running.run(["redis-cli", "-p", str(port), *words]).out.strip()
    until(lambda: ask("ping") == "PONG", what="redis-server's start")
    before = int(re.search(r"used_memory:(\d+)", ask("info", "memory")).group(1))
    running.run(["redis-benchmark", "-p", str(port), "-n", "20000", "-r", "10000", "-d", "300", "-q", "-t",
                 "set,get,lpush,hset"], timeout=120).ok()
    assert int(ask("dbsize")) > 5000
    used = int(re.search(r"used_memory:(\d+)", ask("info", "memory")).group(1))
    ask("shutdown", "nosave")
    done = running.finish(process)
    assert done.status == 0, f"{done}"
    trace = traces.Trace(trace_file).whole()
    summary = trace.summary
    # used_memory counts what the allocator rounds up to, heapsake what was asked for.
    grown = used - before
    assert grown > 3_000_000
    assert 0.75 * grown < summary["memory"]["live_bytes"] < 1.15 * used, (before, used, summary["memory"])


def test_perl_and_awk(same, tmp_path):
    """Interpreters of other languages."""
    for number, argv in enumerate((
            ["perl", "-e", "my %h; $h{$_ x 3} = [1..$_ % 50] for 1..5000; print scalar(keys %h), qq(\\n)"],
            ["awk", "BEGIN { for (i = 0; i < 20000; i++) a[i] = i \"x\"; n = 0; for (k in a) n++; print n }"],
            ["sort", "-R", "--random-source=/dev/zero", TARGETS / "counts.c"])):
        if shutil.which(argv[0]):
            traced = same(argv, "--force")
            assert traced.trace.domain("malloc")["allocations"] > 10, argv


def test_all_system_tools_start(same):
    """A handful of everyday programs, most with dozens of libraries."""
    for argv in (["ls", "-l", "/usr/bin"], ["find", "/etc/apt", "-name", "*.list"], ["tar", "-cf", "/dev/null", "/etc/apt"],
                 ["gzip", "-c", "/usr/bin/env"], ["date", "-u", "-d", "@0"], ["id"], ["bash", "-c", "echo $((6*7)); x=$(ls /); echo ${#x}"],
                 ["openssl", "version"], ["dpkg", "-l"]):
        if shutil.which(argv[0]):
            same(argv, "--force")
