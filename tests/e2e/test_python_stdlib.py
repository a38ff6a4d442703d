"""The standard library's own tests pass traced exactly as untraced."""

import re

import pytest

SHORT = [
    ("test.test_json", 90),
    ("test.test_ast", 120),
    ("test.test_generators", 60),
    ("test.test_weakref", 60),
]
LONG = [
    ("test.test_threading", 400),
    ("test.test_subprocess", 400),
    ("test.test_multiprocessing_spawn", 900),
    ("test.test_os", 400),
    ("test.test_signal", 400),
    ("test.test_gc", 200),
    ("test.test_capi", 600),
    ("test.test_io", 600),
]
# Of the long ones, what is quick and goes through processes and threads.
PICKED = [
    ("test.test_threading.ThreadTests", 120),
    ("test.test_subprocess.ProcessTestCase.test_call_seq test.test_subprocess.ProcessTestCase.test_communicate "
     "test.test_subprocess.ProcessTestCase.test_close_fd_0 test.test_subprocess.ProcessTestCase.test_empty_env "
     "test.test_subprocess.POSIXProcessTestCase.test_pass_fds test.test_subprocess.POSIXProcessTestCase.test_close_fds "
     "test.test_subprocess.POSIXProcessTestCase.test_restore_signals test.test_subprocess.POSIXProcessTestCase.test_preexec",
     120),
]


def outcome(text):
    """How each test ended, and how many there were: without durations, addresses and pids."""
    ends = re.findall(r"^(\w+) \((.*?)\).* \.\.\. (.*)$", text, re.M)
    total = re.search(r"^Ran (\d+) tests?", text, re.M)
    last = re.search(r"^(OK|FAILED)\b.*$", text, re.M)
    assert total and last, text[-3000:]
    return sorted((name, where, re.sub(r"skipped .*", "skipped", end)) for name, where, end in ends), total.group(1), \
        last.group(0)


def compare(python, record, names, timeout, tmp_path):
    from support import running
    modules = {".".join(name.split(".")[:2]) for name in names.split()}
    for module in modules:
        if not python.has("test") or not python.has(module):
            pytest.skip(f"{module} is not installed for this interpreter")
    argv = [python.path, "-m", "unittest", "-v", *names.split()]
    plain = running.run(argv, timeout=timeout, cwd=tmp_path)
    # One attempt more when they differ: a few of these tests depend on the machine's load, traced or not.
    for _ in range(2):
        traced = record(argv, "--force", timeout=timeout * 3, cwd=tmp_path)
        if outcome(traced.err) == outcome(plain.err):
            break
        plain = running.run(argv, timeout=timeout, cwd=tmp_path)
    assert outcome(traced.err) == outcome(plain.err)
    assert traced.status == plain.status
    traced.trace.whole()


@pytest.mark.parametrize("names, timeout", SHORT + PICKED, ids=lambda value: str(value).split(" ", maxsplit=1)[0])
def test_short(python, record, names, timeout, tmp_path):
    compare(python, record, names, timeout, tmp_path)


@pytest.mark.slow  # each takes minutes, times the number of interpreters
@pytest.mark.parametrize("names, timeout", LONG, ids=lambda value: str(value))
def test_long(python, record, names, timeout, tmp_path):
    compare(python, record, names, timeout, tmp_path)
