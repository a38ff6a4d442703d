"""SIGKILL of the program, and of the recorder, at any moment."""

import os
import random
import signal
import time

import pytest

from support import running, traces
from support.progress import BATCH, SIZE, AtGate, last_number
from support.traces import is_heapsake, the_program, the_recorder


def kill_once(started, trace_file, program, seed):
    process = started([*traces.command(trace_file), program])
    inside = the_program(process, program)
    first = process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.15))
    os.kill(inside, signal.SIGKILL)
    done = running.finish(process)
    assert done.status == 128 + signal.SIGKILL
    said = last_number(first.decode() + done.out)
    assert said >= 1
    trace = traces.Trace(trace_file).whole()
    assert trace.exit == (None, signal.SIGKILL)
    recorded = trace.allocations_near(SIZE)
    # Everything up to the last batch that was told, and not more than the one that was under way.
    assert said * BATCH <= recorded <= (said + 1) * BATCH + 1, (said, recorded)


@pytest.mark.parametrize("seed", range(10))
def test_kill_program(target, trace_file, started, seed):
    kill_once(started, trace_file, target("progress.c"), seed)


@pytest.mark.slow  # forty times more of the same
@pytest.mark.parametrize("seed", range(10, 50))
def test_kill_program_often(target, trace_file, started, seed):
    kill_once(started, trace_file, target("progress.c"), seed)


@pytest.mark.parametrize("seed", range(3))
def test_kill_python(one_python, trace_file, started, seed):
    code = ("import sys\nkept=[]\n"
            "for n in range(10**9):\n  kept=[bytes(4210) for _ in range(200)]\n  print(n+1, flush=True)\n")
    process = started([*traces.command(trace_file), one_python.path, "-c", code])
    inside = the_program(process, one_python.path)
    first = process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.1))
    os.kill(inside, signal.SIGKILL)
    done = running.finish(process)
    assert done.status == 128 + signal.SIGKILL
    said = last_number(first.decode() + done.out)
    trace = traces.Trace(trace_file).whole()
    recorded = trace.allocations_near(SIZE)  # a bytes object adds 33 bytes; a few others are as large
    assert said * BATCH <= recorded <= (said + 1) * BATCH + 300
    assert trace.summary["process"]["python_version"]


def test_kill_heapsake_itself(target, trace_file, started):
    """SIGKILL of `heapsake run`: whatever becomes of the program, the file opens and holds what had been told."""
    process = started([*traces.command(trace_file), target("progress.c"), "3000"])
    first = process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    out = first + process.stdout.read()
    process.wait(timeout=60)
    said = last_number(out.decode())
    trace = traces.settled(traces.Trace(trace_file))
    recorded = trace.allocations_near(SIZE)
    assert recorded >= said * BATCH


class TestKillRecorder:
    """The program ends normally, with the right output and status; the file opens and says that it is not whole."""

    BATCHES = 20_000  # more than a pipe that nobody reads has room for

    @pytest.fixture
    def gate(self, target, trace_file, started):
        return AtGate(started, trace_file, target("progress.c"), self.BATCHES)

    def kill(self, gate):
        os.kill(gate.recorder, signal.SIGKILL)

    def finish(self, gate):
        """How many of the program's blocks are recorded."""
        done = gate.finish()
        assert done.status == 0, f"{done}"
        assert done.out.splitlines() == [str(n + 1) for n in range(self.BATCHES)] + ["done"]
        said = [line for line in done.err.splitlines() if "recorder" in line]
        assert len(said) == 1, done.err
        verify = traces.heapsake("verify", "--json", gate.trace_file)
        assert verify.status in (0, 3) and '"complete": false' in verify.out.lower(), f"{verify}"
        trace = traces.Trace(gate.trace_file)
        assert trace.summary["trace"]["complete"] is False
        return trace.allocations_near(SIZE)

    def test_at_rest(self, gate):
        """All is recorded that there is: no more, and no less."""
        gate.until_recorded()
        self.kill(gate)
        gate.open()
        assert BATCH <= self.finish(gate) <= BATCH + 1

    def test_at_work(self, gate):
        gate.open()
        while last_number(gate.out) < 1000:
            assert gate.read_on()
        self.kill(gate)
        assert self.finish(gate) < self.BATCHES * BATCH

    def test_awaited(self, gate):
        """The program waits for it to make room in a ring."""
        gate.open_before_a_recorder_that_stands_still()
        gate.until_it_waits_for_the_recorder()
        self.kill(gate)
        self.finish(gate)


def test_kill_recorder_of_python(one_python, trace_file, started):
    code = "print('on', flush=True)\nx=[[str(n)] for n in range(400000)]\nprint(len(x))"
    process = started([*traces.command(trace_file), one_python.path, "-c", code])
    recorder = the_recorder(process, trace_file)
    assert process.stdout.readline() == b"on\n"
    os.kill(recorder, signal.SIGKILL)
    done = running.finish(process)
    assert done.status == 0 and done.out == "400000\n"


def test_kill_recorder_of_threads(target, trace_file, started):
    process = started([*traces.command(trace_file), target("threads.c"), "exchange", "2000000"])
    recorder = the_recorder(process, trace_file)
    running.until(lambda: trace_file.stat().st_size > 1000, what="the first chunk")
    os.kill(recorder, signal.SIGKILL)
    done = running.finish(process)
    assert done.status == 0 and '"malloc"' in done.out


def test_forks_after_the_recorder_died(target, trace_file, started):
    process = started([*traces.command(trace_file), target("processes.c"), "fork_threaded", "400"])
    recorder = the_recorder(process, trace_file)
    os.kill(recorder, signal.SIGKILL)
    done = running.finish(process)
    assert done.status == 0 and done.out == '{"children": 400}\n'


def test_preloaded_recorder_dies(target, trace_file, started):
    environment = running.clean_environment(LD_PRELOAD=traces.preload_library(), HEAPSAKE_OUTPUT=trace_file)
    process = started([target("progress.c"), 20_000], env=environment)
    recorder = the_recorder(process, trace_file)
    process.stdout.readline()
    os.kill(recorder, signal.SIGKILL)
    done = running.finish(process)
    assert done.status == 0
    assert done.out.endswith("20000\ndone\n")


def test_recorder_is_told_to_stop(target, trace_file):
    """SIGTERM to the recorder: the trace is whole up to there, every report says where it ends, the program goes on."""
    program = target("progress.c")
    process = running.start([*traces.command(trace_file), program])
    try:
        recorder = the_recorder(process, trace_file)
        while not last_number(os.read(process.stdout.fileno(), 65536).decode()):
            pass
        os.kill(recorder, signal.SIGTERM)
        running.until(lambda: not is_heapsake(recorder), what="the recorder's end")
        assert process.poll() is None
        trace = traces.Trace(trace_file)
        assert trace.verify["complete"] is True, trace.verify
        assert any("ends before the program did" in text for text in trace.summary["blind_spots"])
        assert trace.exit == (None, None)
    finally:
        running.end(process)
