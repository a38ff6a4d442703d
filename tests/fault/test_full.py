"""Full disks and full rings."""

import json
import os
import resource
import shutil
import signal
import time

import pytest

from support import running, traces
from support.progress import BATCH, SIZE, AtGate, last_number
from support.traces import the_recorder


def in_small_filesystem(tmp_path, kib, argv):
    """Runs heapsake with its trace on a tmpfs of that size, in a mount namespace that goes with it."""
    disk, kept = tmp_path / "disk", tmp_path / "kept.hsk"
    disk.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    if not shutil.which("unshare") or running.run([*unshare, "mount", "-t", "tmpfs", "none", disk]).status:
        pytest.skip("no tmpfs can be mounted here: neither root nor user namespaces")
    script = f'mount -t tmpfs -o size={kib}k none "$1" || exit 77; kept=$2; disk=$1; shift 2; "$@"; status=$?; ' \
             'cat "$disk/t.hsk" >"$kept"; exit $status'
    done = running.run([*unshare, "sh", "-c", script, "sh", disk, kept, *traces.command(disk / "t.hsk"), *argv],
                       timeout=120)
    assert done.status != 77, f"{done}"
    return done, traces.Trace(kept)


@pytest.mark.parametrize("kib", [64, 512])
def test_full_disk(target, tmp_path, kib):
    """The program does not notice, it is said once, and the file opens with what had found room."""
    argv = [target("noise.c"), 1_500_000]
    plain = running.run(argv).ok()
    done, trace = in_small_filesystem(tmp_path, kib, argv)
    assert done.status == 0 and done.out == plain.out, f"{done}"
    assert sum("space" in line.lower() for line in done.err.splitlines()) == 1, done.err
    summary = trace.summary
    assert summary["trace"]["complete"] is False
    assert 0 < summary["events"]["total"] < 3_000_000
    assert traces.heapsake("verify", trace.path).status in (0, 3)


def test_no_room_at_all(target, tmp_path):
    argv = [target("counts.c"), "malloc_keep", "100"]
    plain = running.run(argv).ok()
    done, _ = in_small_filesystem(tmp_path, 4, argv)
    assert done.status == 0 and done.out == plain.out, f"{done}"


def test_file_size_limit(target, trace_file):
    """ulimit -f, which also bounds the shared memory: the program runs, and what is left of a trace opens."""
    argv = [target("noise.c"), "1500000"]
    plain = running.run(argv).ok()
    done = running.run(["sh", "-c", 'ulimit -f 500; exec "$@"', "sh", *traces.command(trace_file), *argv], timeout=120)
    assert done.status == 0 and done.out == plain.out, f"{done}"
    assert "ulimit -f" in done.err
    running.until(lambda: not trace_file.exists() or traces.heapsake("summary", trace_file).status == 0,
                  what="the file's end")


def test_recorders_file_size_limit(target, trace_file, started):
    """The same for the trace alone, in the middle of it: the recorder takes it as a full disk."""
    argv = [target("noise.c"), "6000000"]
    plain = running.run(argv).ok()
    process = started([*traces.command(trace_file), *argv])
    recorder = the_recorder(process, trace_file)
    running.until(lambda: trace_file.stat().st_size > 1000, what="the first chunk")  # the shared memory is there
    resource.prlimit(recorder, resource.RLIMIT_FSIZE, (200_000, 200_000))
    done = running.finish(process, timeout=120)
    assert done.status == 0 and done.out == plain.out, f"{done}"
    assert sum("too large" in line for line in done.err.splitlines()) == 1, done.err
    summary = traces.Trace(trace_file).summary
    assert summary["trace"]["complete"] is False
    assert trace_file.stat().st_size < 2_000_000


def held(started, trace_file, program, batches, *options):
    """progress.c behind its gate, before a recorder that stands still since the first batch."""
    gate = AtGate(started, trace_file, program, batches, *options)
    gate.open_before_a_recorder_that_stands_still()
    return gate


def go_on(gate):
    os.kill(gate.recorder, signal.SIGCONT)


def test_ring_full_drop(target, trace_file, started):
    """--on-full=drop: the program never waits, and what was dropped is counted exactly."""
    batches = 3000
    gate = held(started, trace_file, target("progress.c"), batches, "--on-full=drop")
    while not gate.out.endswith("done\n"):
        assert gate.read_on(), gate.out[-100:]
    go_on(gate)
    done = gate.finish()
    assert done.status == 0
    trace = traces.Trace(trace_file)
    summary = trace.summary
    assert summary["trace"]["complete"] is True
    lost = summary["events"]["lost"]
    recorded = trace.allocations_near(SIZE)
    total = 2 * batches * BATCH - BATCH
    assert 0 < recorded < batches * BATCH
    assert lost > 0
    assert 0 <= summary["events"]["total"] + lost - total < 200
    text = traces.heapsake("summary", trace_file).ok().out
    assert "lost" in text.lower()


def test_ring_full_wait(target, trace_file, started):
    """By default the program waits for the recorder, and nothing is lost."""
    batches = 3000
    gate = held(started, trace_file, target("progress.c"), batches)
    gate.until_it_waits_for_the_recorder()
    assert gate.read_on()
    assert 1 < last_number(gate.out) < batches  # in the middle
    go_on(gate)
    done = gate.finish()
    assert done.status == 0 and done.out.endswith("done\n")
    trace = traces.Trace(trace_file).whole()
    assert trace.allocations_near(SIZE) == batches * BATCH


def test_recorder_stands_still(target, trace_file, started):
    """A recorder that never comes back holds the program up for a bounded time only."""
    gate = held(started, trace_file, target("progress.c"), 3000)
    began = time.monotonic()
    try:
        while not gate.out.endswith("done\n"):
            assert gate.read_on(), gate.out[-100:]
        assert 5 < time.monotonic() - began < 30
    finally:
        go_on(gate)
    done = gate.finish()
    assert done.status == 0
    summary = traces.Trace(trace_file).summary
    assert summary["events"]["lost"] > 0 or summary["trace"]["complete"] is False or summary["blind_spots"], \
        json.dumps(summary)
