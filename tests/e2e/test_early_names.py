"""Names of native frames in a trace that has no end yet: found by the reports, in the files that are there."""

import os
import shutil
import subprocess
import sys

import pytest

from e2e.test_symbolize import NAMED, SIZE, SOURCE, symbolize
from support import building, running, traces
from support.interpreters import all_interpreters
from support.pytest_runs import Suites, environment
from support.traces import Trace, the_recorder

INCLUDE = f"-I{building.ROOT / 'include'}"


@pytest.fixture
def program(target, tmp_path):
    """A copy that may be replaced."""
    return shutil.copy(target(SOURCE.name, "-DWAITS", INCLUDE), tmp_path / "app")


@pytest.fixture
def waiting(program, trace_file, started):
    """The program, which has lost its blocks and waits."""
    process = started([*traces.command(trace_file), program], stdin=subprocess.PIPE)
    assert running.first_line(process) == "ready\n"
    return process


def let_end(process):
    process.stdin.close()
    assert process.wait(timeout=running.TIMEOUT) == 0


def sites(report):
    """The frames of the program's own blocks, and how many blocks there are; of one site, if names are right."""
    return [([(frame["function"], os.path.basename(frame["file"] or ""), frame["line"]) for frame in site["stack"]][:len(NAMED)],
             site["count"]) for site in report if site["bytes"] == site["count"] * SIZE]


def of_peak(path):
    return sites(Trace(path).json("peak")["sites"])


def of_export(path):
    """The lines of the program's own blocks in the folded stacks of all that was allocated."""
    folded = traces.heapsake("export", "--format=folded", "--what=allocated", "-o", "-", path).ok().out
    return [line for line in folded.splitlines() if line.endswith(f" {100 * SIZE}")]


def test_growing(waiting, trace_file):
    """While it grows the reports show what they show of the finished trace, and leave the file as it is."""
    growing, exported = of_peak(trace_file), of_export(trace_file)
    assert growing == [(NAMED, 100)]
    assert len(exported) == 1 and f"lose_one ({SOURCE.name}" in exported[0].replace(str(SOURCE), SOURCE.name), exported
    text = traces.heapsake("leaks", "--all", trace_file).ok().out
    assert all(f"{SOURCE.name}:{line}" in text for _, _, line in NAMED), text
    let_end(waiting)
    assert of_peak(trace_file) == growing and of_export(trace_file) == exported


def test_leaks(waiting, trace_file, tmp_path):
    """A verdict is that of the finished trace, also when it goes by names."""
    def leaks(*options):
        return Trace(trace_file).json("leaks", "--snapshot", 1, *options)["leaks"]

    known = tmp_path / "known"
    known.write_text("[known]\ncause = lost\nfunction = lose_one\nfile = *native_names.c\n")
    growing, others = leaks(), leaks("--suppressions", known)
    assert [leak["cause"] for leak in growing if leak["bytes"] == leak["count"] * SIZE] == ["lost"]
    assert not [leak for leak in others if leak["bytes"] == leak["count"] * SIZE]
    let_end(waiting)
    assert leaks() == growing and leaks("--suppressions", known) == others


def test_recorder_killed(waiting, trace_file):
    """What it left has names when somebody looks, and gets those by symbolize."""
    os.kill(the_recorder(waiting, trace_file), 9)
    waiting.stdin.close()
    waiting.wait(timeout=running.TIMEOUT)
    before = trace_file.read_bytes()
    early = of_peak(trace_file)
    assert early == [(NAMED, 100)] and trace_file.read_bytes() == before
    assert symbolize(trace_file)["totals"]["improved"] > 0
    assert of_peak(trace_file) == early


def test_replaced(waiting, program, target, trace_file):
    """A file of another build that lies where the program's was: its names would be wrong."""
    other = shutil.copy(target(SOURCE.name, "-DWAITS", "-DBLOCKS=101", INCLUDE), f"{program}.other")
    os.replace(other, program)
    found = of_peak(trace_file)
    assert sum(count for _, count in found) == 100
    for frames, _ in found:
        assert all(name.startswith("0x") and not line for name, _, line in frames[:2]), frames
    let_end(waiting)
    assert of_peak(trace_file) == [(NAMED, 100)]  # the recorder has had the right one open all the time


def test_gone(waiting, program, trace_file):
    os.unlink(program)
    assert sum(count for _, count in of_peak(trace_file)) == 100


# ---- pytest ----

SUITE = """
    import leaky

    def test_lost():
        leaky.ForgetfulBuffer(5003)

    def test_lost_again():
        leaky.ForgetfulBuffer(7003)
"""


def test_pytest_names_the_function(tmp_path):
    """A failure names the function of the extension, its file and its line; also of the second leak from one place."""
    python = next((one for one in all_interpreters() if one.path == os.path.realpath(sys.executable)), None)
    try:
        extension = building.extension("leaks/leaky.c", python)
    except building.CannotBuild as trouble:
        pytest.skip(str(trouble))
    source = building.TARGETS / "leaks" / "leaky.c"
    line = next(number for number, text in enumerate(source.read_text().splitlines(), 1) if "malloc((size_t)size)" in text)
    surroundings = environment()
    surroundings["PYTHONPATH"] += f":{extension.parent}"
    done = Suites(tmp_path / "suite").write(test_it=SUITE).run("--heapsake-no-leaks", "--heapsake-native", env=surroundings)
    for name in ("test_lost", "test_lost_again"):
        assert f"buffer_new  {source}:{line}\n" in done.texts[name], done.result
        assert "lost" in done.texts[name], done.result
