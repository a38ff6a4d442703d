"""Fixtures of all tests: the built command, compiled targets, interpreters, a folder for traces."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from support import building, interpreters, running, traces


def pytest_configure(config):
    if not traces.heapsake_binary().exists():
        raise pytest.UsageError(f"{traces.heapsake_binary()} is missing: run ./bootstrap first")
    # nohup and a shell's "&" have these ignored, and the programs under test would inherit that
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc):
    if "python" in metafunc.fixturenames:
        found = interpreters.traced_interpreters()
        metafunc.parametrize("python", found, ids=[one.name for one in found], indirect=True, scope="session")
    if "other_python" in metafunc.fixturenames:
        found = interpreters.other_interpreters()
        metafunc.parametrize("other_python", found, ids=[one.name for one in found])


@pytest.fixture(scope="session")
def python(request):
    """Each interpreter that is fully traced."""
    return request.param


@pytest.fixture(scope="session")
def one_python():
    """One interpreter, where the version does not matter: the system's, else the first."""
    found = interpreters.traced_interpreters()
    if not found:
        pytest.skip("no CPython 3.11 or later on this machine")
    system = os.path.realpath("/usr/bin/python3")
    return next((one for one in found if one.path == system), found[0])


@pytest.fixture(scope="session")
def target():
    """target("counts.c", "-static") is the path of that executable; skips when it cannot be built here."""
    def build(source, *flags, **more):
        try:
            return building.compiled(source, *flags, **more)
        except building.CannotBuild as trouble:
            if "is not installed" in str(trouble) or "cannot find" in str(trouble):
                pytest.skip(f"{source}: {trouble}")
            raise
    return build


@pytest.fixture
def trace_file(tmp_path):
    """Where this test's trace goes. Its folder holds nothing else."""
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder / "t.hsk"


@pytest.fixture
def record(trace_file):
    """record(argv, "--native", ...) runs argv under heapsake."""
    def go(argv, *options, path=trace_file, **more):
        return traces.record(path, argv, *options, **more)
    return go


@pytest.fixture
def same(record):
    """same(argv) runs argv untraced and traced, asserts that nothing differs, and gives the traced run."""
    def go(argv, *options, check=True, **more):
        plain = running.run(argv, **more)
        traced = record(argv, *options, **more)
        assert traced.status == (plain.status if plain.status >= 0 else 128 - plain.status), f"{traced.result}"
        assert traced.out == plain.out
        err, plain_err = (re.sub(r"\b0x[0-9a-f]{6,}\b", "0x...", text) for text in (traced.err, plain.err))
        assert err.startswith(plain_err), f"{traced.err!r} does not begin with {plain.err!r}"
        if check:
            traced.trace.whole()
        return traced
    return go


@pytest.fixture
def started():
    """started(argv) is a Popen that is ended with the test."""
    running_now = []

    def go(argv, **more):
        process = running.start(argv, **more)
        running_now.append(process)
        return process
    yield go
    for process in running_now:
        running.end(process)


@pytest.fixture
def open_folder(target):
    """A folder that every user can reach, with a copy of heapsake and a program in it."""
    folder = Path(tempfile.mkdtemp(prefix="heapsake-test-"))
    folder.chmod(0o755)
    for source in (traces.heapsake_binary(), traces.preload_library()):
        copy = folder / "build" / source.relative_to(building.build_folder())
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    shutil.copy(target("counts.c"), folder / "program")
    yield folder
    shutil.rmtree(folder)


def is_root():
    return os.geteuid() == 0


@pytest.fixture
def needs_root():
    if not is_root():
        pytest.skip("needs root")


@pytest.fixture
def as_nobody():
    """as_nobody(argv): the words that run argv without root's rights."""
    if not is_root():
        return lambda argv: list(argv)
    if subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "true"], capture_output=True).returncode:
        pytest.skip("setpriv cannot drop root's rights here")
    return lambda argv: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]
