"""What a program keeps to itself is not in its trace (README.md, docs/GRAPH.md); names are."""

from support import running, traces
from support.building import TARGETS
from support.chunks import chunks

NAMES = [b"fine_name", b"u42", b"user_name", b"a_long_name_of_a_function_that_somebody_wrote"]


def contents(path):
    return b"\0".join(bytes(raw) for _, raw in chunks(path, *range(32)))


def run(python, trace_file, *options):
    environment = traces.clean_environment(HEAPSAKE_TEST_SECRET="hush quexzy environment")
    done = running.run([*traces.command(trace_file, *options), python.path, TARGETS / "py_secrets.py"], env=environment)
    assert done.status == 0 and done.out.split()[:2] == ["quexzy", "2055761671"], f"{done}"
    return contents(trace_file)


def test_nothing_told(python, trace_file):
    told = run(python, trace_file)
    assert b"HEAPSAKE_TEST_SECRET" in told
    for name in NAMES:
        assert name in told, name
    for secret in b"quexzy", b"2055761671", b"14404736433419028697":
        at = told.find(secret)
        assert at < 0, told[max(0, at - 60):at + 60]
