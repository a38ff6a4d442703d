"""heapsake check: programs in C and Python that keep within their limits, and that do not."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree as xml
from urllib.parse import unquote

import pytest

from support import building, running, schema, traces
from support.made_traces import made

PASSED, VIOLATED = traces.EXIT_DONE, 1

# Keeps one block on purpose; LEAK and OTHER are where leaks are planted.
C_PROGRAM = """
#include <stdlib.h>
#include <string.h>

static char *kept;

__attribute__((noinline)) static void forget(size_t size)
{
    char *block = malloc(size); /* forgotten */
    memset(block, 1, size);
}

__attribute__((noinline)) static void forget_too(void)
{
    char *block = malloc(333); /* forgotten, too */
    memset(block, 1, 333);
}

int main(int argc, char **argv)
{
    (void)argv;
    kept = malloc(100000);
    memset(kept, 1, 100000);
    for (int i = 0; i < LEAKS; i++)
        forget(2000);
    if (argc > 9)
        forget_too();
    OTHER;
    char *block = malloc(1000000);
    memset(block, 1, 1000000);
    free(block);
    return STATUS;
}
"""

PYTHON_PROGRAM = '''
import sys

class Page:
    def __init__(self, number):
        self.number = number
        self.text = "page " * 20

pages = {}

def render(number):
    page = Page(number)
    return page

def keep(number):
    page = Page(number)       # kept
    pages[number] = page      # never taken out

def main(kind):
    for number in range(2000):
        (keep if kind == "leak" else render)(number)
        text = [str(number)] * 10

main(sys.argv[1])
'''


def line_of(text, words):
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """program(leaks=3, other="...", above=2) is the path of a C program and its source's text."""
    def build(name="program", *, leaks=0, other="", status=0, above=0):
        folder = tmp_path_factory.mktemp("c")
        text = "\n" * above + C_PROGRAM
        (folder / f"{name}.c").write_text(text)
        done = subprocess.run(["gcc", "-g", "-O0", f"-DLEAKS={leaks}", f"-DOTHER={other or '(void)0'}",
                               f"-DSTATUS={status}", "-o", folder / name, f"{name}.c"], cwd=folder,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return folder / name, text
    return build


@pytest.fixture(scope="module")
def traced(program, tmp_path_factory):
    """traced(leaks=3) is the trace of such a program, made once, and the program's source text."""
    known = {}

    def go(*options, **more):
        key = (options, *sorted(more.items()))
        if key not in known:
            path, text = program(**more)
            trace = tmp_path_factory.mktemp("traces") / "t.hsk"
            result = traces.record(trace, [path], *options)
            assert result.status == more.get("status", 0), result.result
            known[key] = trace, text
        return known[key]
    return go


def check(trace, *options, status, **more):
    done = traces.heapsake("check", *options, trace, **more)
    assert done.status == status, f"{done}"
    return done


def violations(trace, *options, **more):
    document = json.loads(check(trace, "--json", *options, status=VIOLATED, **more).out)
    assert document["passed"] is False and document["violations"]
    return document["violations"]


# --- limits ---

THREADS = """
#include <pthread.h>
#include <stdlib.h>

static void *work(void *size)
{
    if (size)
        *(volatile char *)malloc((size_t)size) = 1; /* forgotten */
    return NULL;
}

__attribute__((noinline)) static void scrub(void)
{
    volatile char stack[65536] = {0};
    (void)stack[1];
}

int main(int argc, char **argv)
{
    pthread_t thread;
    (void)argv;
    for (int i = 0; i < 8; i++) {
        pthread_create(&thread, NULL, work, (void *)(argc > 1 ? 2000L : 0L));
        pthread_join(thread, NULL);
    }
    scrub();
    return 0;
}
"""


def test_threads(tmp_path, record):
    """What glibc keeps for the next thread, where no scan finds it, is no leak; what a thread forgets is one."""
    (tmp_path / "t.c").write_text(THREADS)
    done = subprocess.run(["gcc", "-g", "-O1", "-fno-builtin", "-pthread", "-o", tmp_path / "t", tmp_path / "t.c"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check(record([tmp_path / "t"]).trace.path, "--no-leaks", status=PASSED)
    leaky = record([tmp_path / "t", "leak"], "--force").trace.path
    found = violations(leaky, "--no-leaks")
    assert {(one["where"]["function"], one["where"]["line"]) for one in found} == {
        ("work", line_of(THREADS, "/* forgotten */"))}


def test_clean(traced):
    trace, _ = traced()
    done = check(trace, "--no-leaks", "--max-peak", "20 MB", "--max-live=1MiB", "--max-leaked", "0",
                 "--max-allocations", "1000", status=PASSED)
    assert done.err == "" and done.out.startswith("Passed: 5 limits\n"), done
    assert "max-peak 20 MB: 1.05 MiB" in done.out
    document = json.loads(check(trace, "--json", "--no-leaks", "--max-peak", "20 MB", status=PASSED).out)
    assert document["passed"] is True and document["violations"] == []
    summary = traces.Trace(trace).summary
    assert document["measured"]["peak_bytes"] == summary["memory"]["peak_bytes"]
    assert document["measured"]["live_bytes"] == summary["memory"]["live_bytes"]
    assert document["measured"]["allocations"] == summary["events"]["allocations"]


def test_planted(traced):
    trace, text = traced(leaks=30)
    done = check(trace, "--no-leaks", status=VIOLATED)
    line = line_of(text, "/* forgotten */")
    assert re.search(rf"forget  \S*program\.c:{line}\b", done.out), done
    (one,) = violations(trace, "--no-leaks")
    assert one["rule"] == "no-leaks" and one["where"]["cause"] == "lost"
    assert (one["where"]["function"], one["where"]["line"]) == ("forget", line)
    assert (one["where"]["count"], one["actual"]) == (30, 60000)
    assert check(trace, "--no-leaks=cycle,growing", status=PASSED).err == ""
    assert violations(trace, "--no-leaks=cycle,lost")[0]["where"]["cause"] == "lost"


@pytest.mark.parametrize("limit, measure, just, place", [
    ("--max-peak", "peak_bytes", "bytes", "malloc(1000000)"), ("--max-live", "live_bytes", "bytes", "malloc(100000)"),
    ("--max-leaked", "leaked_bytes", "bytes", "/* forgotten */"),
    ("--max-allocations", "allocations", "count", "/* forgotten */")])
def test_numbers(traced, limit, measure, just, place):
    """The limit itself is allowed, one less is not, and the line that has most of it is named."""
    trace, text = traced(leaks=30)
    document = json.loads(check(trace, "--json", "--max-leaked", "1 GB", status=PASSED).out)
    actual = document["measured"][measure]
    check(trace, limit, str(actual), status=PASSED)
    (one,) = violations(trace, limit, str(actual - 1))
    assert (one["rule"], one["limit"], one["actual"]) == (limit[2:], actual - 1, actual)
    assert one["where"]["line"] == line_of(text, place), one
    done = check(trace, limit, str(actual - 1), status=VIOLATED)
    assert f"program.c:{line_of(text, place)}" in done.out


@pytest.mark.parametrize("given, bytes", [
    ("1MB", 10**6), ("1 MB", 10**6), ("1MiB", 2**20), ("1 mib", 2**20), ("1M", 2**20), ("1.5 KiB", 1536), ("0", 0),
    ("7", 7), ("7 B", 7), ("2 GB", 2 * 10**9)])
def test_sizes(traced, given, bytes):
    trace, _ = traced()
    done = traces.heapsake("check", "--json", "--max-live", given, trace)
    assert json.loads(done.out)["limits"][0]["limit"] == bytes


WRONG = {
    "nothing": [],
    "no size": ["--max-peak", "much"], "negative": ["--max-peak", "-1"], "hexadecimal": ["--max-peak", "0x10"],
    "unit": ["--max-peak", "20 MBit"], "no number": ["--max-allocations", "many"],
    "fraction": ["--max-allocations", "1.5"], "cause": ["--no-leaks=lots"], "percent": ["--tolerance", "x"],
    "twice": ["--max-peak", "20 MB", "--max-peak", "30 MB"],
    "allowed and forbidden": ["--no-leaks", "--max-leaked", "10"],
    "new without baseline": ["--no-new-leaks"], "tolerance without baseline": ["--tolerance", "5"],
    "region without a name": ["--max-peak", ":20 MB"], "region's size": ["--max-peak", "import:much"],
    "region's causes": ["--no-leaks=load:lots"], "region and baseline": ["--tolerance", "load:5"],
    "no mark": ["--max-growth-per", "1 kB"], "growth of what": ["--max-growth-per", "request:5 things"],
    "two documents": ["--max-peak", "1 MB", "--json", "--sarif", "-"],
    "limits missing": ["--limits", "not/there"], "suppressions missing": ["--no-leaks", "--suppressions", "not/there"],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage(traced, case):
    trace, _ = traced()
    done = check(trace, *WRONG[case], status=traces.EXIT_USAGE)
    assert done.out == "" and done.err.startswith("heapsake: ") and done.err.count("\n") == 1, done


def test_limits_file(traced, tmp_path):
    trace, _ = traced(leaks=30)
    limits = tmp_path / "heapsake.limits"
    limits.write_text("# what this repository allows\n\n  max-peak 20 MB   # the machine has 64\nmax-live = 1 MiB\r\n"
                      "no-leaks cycle, growing\nmax-leaked=1 GB")
    document = json.loads(check(trace, "--json", "--limits", limits, status=PASSED).out)
    assert [(one["rule"], one["limit"]) for one in document["limits"]] == [
        ("max-peak", 20_000_000), ("max-live", 1 << 20), ("max-leaked", 10**9), ("no-leaks", ["cycle", "growing"])]
    # the same again is no contradiction, and causes add up
    assert check(trace, "--limits", limits, "--max-peak", "20 MB", status=PASSED)
    assert violations(trace, "--limits", limits, "--no-leaks=lost")[0]["rule"] == "no-leaks"
    done = check(trace, "--limits", limits, "--max-peak", "21 MB", status=traces.EXIT_USAGE)
    assert f"{limits}:3: max-peak contradicts --max-peak" in done.err
    for number, line in enumerate(("max-peek 1 MB", "max-peak", "no-new-leaks yes", "load:max-peek 1 MB",
                                   "max-peak load:1 MB", "max-growth-per request 1 kB", "max-peak 1 MB 2 MB")):
        limits.write_text(f"# {number}\n{line}\n")
        done = check(trace, "--limits", limits, status=traces.EXIT_USAGE)
        assert done.err.startswith(f"heapsake: {limits}:2: "), done
    limits.write_bytes(b"\xef\xbb\xbfmax-peak 20 MB\n")  # as some editors save a file
    check(trace, "--limits", limits, status=PASSED)
    limits.write_bytes(b"max-peak 1\0MB")
    check(trace, "--limits", limits, status=traces.EXIT_USAGE)


def test_suppressions(traced, tmp_path):
    trace, _ = traced(leaks=30)
    (tmp_path / "known").write_text("[known]\ncause = lost\nfunction = forget\n")
    done = check(trace, "--no-leaks", "--max-leaked", "0", "--suppressions", tmp_path / "known", status=PASSED)
    assert "Suppressed: 1 leak, of together 58.6 KiB" in done.out


# --- what cannot be relied on ---


def test_unusable(traced, tmp_path):
    trace, _ = traced(leaks=30)
    data = trace.read_bytes()
    cut, damaged = tmp_path / "cut.hsk", tmp_path / "damaged.hsk"
    cut.write_bytes(data[:len(data) * 6 // 10])
    damaged.write_bytes(data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:])
    for bad in (cut, damaged, tmp_path / "missing.hsk", building.ROOT / "README.md"):
        done = check(bad, "--max-peak", "1 TB", "--junit", tmp_path / "j.xml", status=traces.EXIT_UNUSABLE)
        assert done.out == "" and str(bad) in done.err, done
        # an earlier report must not be taken for this one's
        suite = xml.parse(tmp_path / "j.xml").getroot()
        assert (suite.get("errors"), suite.get("failures")) == ("1", "0") and suite.find(".//error") is not None
    without, _ = traced("--no-snapshot", leaks=30)
    check(without, "--max-peak", "1 TB", status=PASSED)
    for asked in (["--no-leaks"], ["--max-leaked", "1 TB"], ["--write-baseline", tmp_path / "b"], ["--no-leaks=cycle"]):
        done = check(without, *asked, status=traces.EXIT_UNUSABLE)
        assert "has no snapshot" in done.err and not (tmp_path / "b").exists()


@pytest.mark.parametrize("end", ["__builtin_trap()", "kill(getpid(), 9)"])
def test_killed(program, record, trace_file, end):
    path, _ = program(leaks=3, other=f'{{ {"int kill(int, int), getpid(void);" if "kill" in end else ""} {end}; }}')
    assert record([path]).status > 128
    for limit in (["--max-peak", "1 TB"], ["--no-leaks"], ["--write-baseline", trace_file.with_name("b")]):
        done = check(trace_file, *limit, status=traces.EXIT_UNUSABLE)
        assert "did not come to its end (killed by signal " in done.err
    assert not trace_file.with_name("b").exists()


def test_unfit_snapshots(tmp_path):
    """Only a whole snapshot of the program's end tells that there are no leaks."""
    begin = b"time 10\nroot data data - /usr/lib/x.so 4096\nblock kept 512\nedge data kept pointer 8\ntime 20\n"
    good = made(tmp_path / "good.hsk", begin + b"snapshot exit\ntime 30\nnot-whole\nsnapshot every\n")
    check(good, "--no-leaks", status=PASSED)
    for snapshots, said in ((b"not-whole\nsnapshot exit\n", "is not whole"),
                            (b"snapshot asked\n", "of the program's end"),
                            (b"snapshot every\ntime 30\nnot-whole\nsnapshot exit\n", "is not whole")):
        bad = made(tmp_path / "bad.hsk", begin + snapshots)
        assert said in check(bad, "--no-leaks", status=traces.EXIT_UNUSABLE).err
        check(bad, "--max-peak", "1 kB", status=PASSED)


def test_failed_program(traced):
    trace, _ = traced(status=3)
    done = check(trace, "--max-peak", "1 TB", status=PASSED)
    assert "ended with status 3" in done.err


# --- baselines ---


@pytest.fixture
def baseline(traced, tmp_path):
    """The baseline of the program with one leak."""
    trace, _ = traced(leaks=30)
    path = tmp_path / "heapsake.baseline"
    done = check(trace, "--write-baseline", path, status=PASSED)
    assert done.out == f"1 leak written to {path}\n"
    return path


def test_baseline(traced, baseline):
    text = baseline.read_text()
    trace, source = traced(leaks=30)
    assert text.startswith("heapsake baseline 1\n") and "program\tprogram\n" in text
    lines = f"{line_of(source, '/* forgotten */')},{line_of(source, 'forget(2000)')}"
    assert f"leak\tlost\t-\tforget (program.c) < main (program.c)\t30\t60000\t{lines}\n" in text
    assert "0x" not in text and str(building.ROOT) not in text
    for options in ([], ["--no-new-leaks"], ["--tolerance", "0"], ["--no-new-leaks", "--tolerance", "0.5%"]):
        check(trace, "--baseline", baseline, *options, status=PASSED)
    # written again it is the same, and it keeps its mode
    baseline.chmod(0o640)
    check(trace, "--write-baseline", baseline, status=PASSED)
    assert baseline.read_text() == text and baseline.stat().st_mode & 0o777 == 0o640


def test_new_leak(traced, baseline):
    """A second leak, in the function that leaks already, in another one, and both: each is named, and only it."""
    same, text = traced(leaks=30, other="forget_too()")
    (one,) = violations(same, "--baseline", baseline)
    assert (one["rule"], one["where"]["function"], one["actual"]) == ("no-new-leaks", "forget_too", 333)
    assert one["where"]["line"] == line_of(text, "forgotten, too")
    again, text = traced(leaks=30, other="forget(77)")
    (one,) = violations(again, "--baseline", baseline)
    assert (one["where"]["function"], one["where"]["bytes"]) == ("forget", 77)
    assert one["where"]["stack"][1]["line"] == line_of(text, "    OTHER;")
    done = check(same, "--baseline", baseline, status=VIOLATED)
    assert "forget_too" in done.out and "60,000" not in done.out


def test_moved_lines(traced, baseline):
    moved, _ = traced(leaks=30, above=17)
    check(moved, "--baseline", baseline, "--no-new-leaks", "--tolerance", "0", status=PASSED)
    (one,) = violations(traced(leaks=30, above=17, other="forget_too()")[0], "--baseline", baseline)
    assert one["where"]["function"] == "forget_too"


def test_gone_leak(traced, baseline):
    done = check(traced()[0], "--baseline", baseline, status=PASSED)
    assert "1 leak of the baseline is gone" in done.out


STILL = """
import sys

class Page:
    def __init__(self, number):
        self.text = [number * 1000 + part for part in range(20)]

def page(number, found={}, kept=[]):
    made = Page(number)
    if KEEPS == "growing":
        pages[number] = made
    elif KEEPS == "held":
        kept.append(made)

KEEPS, AFTER = sys.argv[1], int(sys.argv[2])
pages = {}
for number in range(500):
    page(number)
for number in range(AFTER):
    [str(number)] * 10, str(number)
"""


def test_what_still_leaks_is_not_gone(one_python, record, trace_file):
    """In a short run growth may look finished, or to be of another cause."""
    def run(keeps, after):
        path = trace_file.with_name(f"{keeps}.{after}.hsk")
        record([one_python.path, "-c", STILL, keeps, after], path=path).result.ok()
        return path

    growing, baseline = run("growing", 0), trace_file.with_name("baseline")
    check(growing, "--write-baseline", baseline, status=PASSED)
    assert "leak\tgrowing\t__main__.Page\t" in baseline.read_text()
    unlike = {}
    for trace in run("growing", 60000), run("held", 0), run("nothing", 0):
        leaks = [leak["cause"] for leak in traces.Trace(trace).leaks["leaks"] if leak["confidence"] >= 0.5]
        done = check(trace, "--baseline", baseline, status=PASSED)
        found = json.loads(check(trace, "--baseline", baseline, "--json", status=PASSED).out)
        unlike[trace.name] = leaks, found["gone"], found["still_there"]
        assert ("gone" in done.out) == (found["gone"] > 0), done
        assert ("as much is alive" in done.out) == (found["still_there"] > 0), done
    count = baseline.read_text().count("\nleak\t")
    assert unlike["growing.60000.hsk"] == ([], 0, count), unlike
    assert set(unlike["held.0.hsk"][0]) == {"held"} and unlike["held.0.hsk"][1:] == (0, 0), unlike
    assert unlike["nothing.0.hsk"] == ([], count, 0), unlike


def test_tolerance(traced, baseline):
    more, _ = traced(leaks=33)
    check(more, "--baseline", baseline, status=PASSED)
    check(more, "--baseline", baseline, "--tolerance", "10", status=PASSED)
    found = violations(more, "--baseline", baseline, "--tolerance", "9")
    assert {(one["rule"], one["measure"]) for one in found} == {("tolerance", "leak"), ("tolerance", "allocations")}
    leak = next(one for one in found if one["measure"] == "leak")
    assert (leak["limit"], leak["actual"], leak["where"]["function"]) == (65400, 66000, "forget")


def test_trace_as_baseline(traced):
    before, now = traced(leaks=30)[0], traced(leaks=30, other="forget_too()")[0]
    check(before, "--baseline", before, "--tolerance", "0", status=PASSED)
    assert [one["where"]["function"] for one in violations(now, "--baseline", before)] == ["forget_too"]


def test_unfit_trace_as_baseline(traced, tmp_path):
    """Both traces are measured at the same time: what is wrong is said once, and of the one that is checked first."""
    good, _ = traced(leaks=30)
    cut = tmp_path / "cut.hsk"
    cut.write_bytes(good.read_bytes()[:-100])
    for trace, before, named in ((good, cut, cut), (cut, good, cut), (cut, cut, cut)):
        done = check(trace, "--baseline", before, status=traces.EXIT_UNUSABLE)
        assert done.err.count("\n") == 1 and str(named) in done.err, done


def test_unfit_baseline(traced, baseline):
    trace, _ = traced(leaks=30)
    text = baseline.read_text()
    other, _ = traced(name="another", leaks=30)
    done = check(other, "--baseline", baseline, status=traces.EXIT_UNUSABLE)
    assert "is of the program program, and" in done.err and "is of another" in done.err
    unfit = {
        "version": text.replace("baseline 1\n", "baseline 2\n"), "nothing": "", "cut": text[:text.index("allocations")],
        "number": text.replace("peak\t", "peak\tx"), "cause": text.replace("leak\tlost", "leak\tlust"),
        "field": text.replace("\t60000\t", "\t"), "twice": text.replace("live\t", "live\t1\nlive\t"),
        "conflict": text.replace("leak\t", "<<<<<<< ours\nleak\t"), "NUL": text + "\0",
    }
    for name, content in unfit.items():
        baseline.write_text(content)
        done = check(trace, "--baseline", baseline, status=traces.EXIT_UNUSABLE)
        assert str(baseline) in done.err and done.err.count("\n") == 1, (name, done)
    baseline.unlink()
    check(trace, "--baseline", baseline, status=traces.EXIT_UNUSABLE)


# --- Python ---


@pytest.fixture(scope="module")
def python_traces(one_python, tmp_path_factory):
    """python_traces(kind, above) is the trace of the program in Python, its lines moved down by so many."""
    known = {}

    def go(kind, above=0, extra=""):
        key = kind, above, extra
        if key not in known:
            folder = tmp_path_factory.mktemp("python")
            text = "\n" * above + PYTHON_PROGRAM + extra
            (folder / "app.py").write_text(text)
            result = traces.record(folder / "t.hsk", [one_python.path, "app.py", kind], cwd=folder)
            assert result.status == 0, result.result
            known[key] = folder / "t.hsk", text
        return known[key]
    return go


def test_python(python_traces, tmp_path):
    clean, _ = python_traces("clean")
    check(clean, "--no-leaks", "--max-peak", "100 MB", status=PASSED)
    planted, text = python_traces("leak")
    found = violations(planted, "--no-leaks")
    assert all(one["where"]["cause"] == "growing" for one in found)
    page = next(one["where"] for one in found if one["where"]["type"] == "__main__.Page")
    assert (page["function"], page["line"]) == ("keep", line_of(text, "# kept"))
    assert any("pages" in edge for edge in page["why"])
    done = check(planted, "--no-leaks", status=VIOLATED)
    assert "kept by" in done.out and "app.py:" in done.out
    # accepted, then moved: no new leak; a clean one's baseline: all of them are new
    check(planted, "--write-baseline", tmp_path / "b", status=PASSED)
    assert "program\tapp.py\n" in (tmp_path / "b").read_text()
    moved, _ = python_traces("leak", 23)
    check(moved, "--baseline", tmp_path / "b", status=PASSED)
    check(clean, "--write-baseline", tmp_path / "b", status=PASSED)
    assert violations(planted, "--baseline", tmp_path / "b")[0]["rule"] == "no-new-leaks"


def test_site_of_installed_callers(one_python, tmp_path):
    """Who calls the program's own code, and from which line of its, may be another version tomorrow."""
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (tmp_path / "app.py").write_text(PYTHON_PROGRAM.replace("main(sys.argv[1])", ""))
    for version, call in enumerate(("app.main('leak')", "(lambda: app.main('leak'))()")):
        (packages / "runner.py").write_text(f"import app\ndef run():\n    {call}\nrun()\n")
        result = traces.record(tmp_path / f"{version}.hsk", [one_python.path, packages / "runner.py"],
                               env=running.clean_environment(PYTHONPATH=tmp_path))
        assert result.status == 0, result.result
        check(tmp_path / f"{version}.hsk", "--write-baseline", tmp_path / f"{version}", status=PASSED)
    leaks = [re.findall(r"^leak\t.*$", (tmp_path / name).read_text(), re.M) for name in "01"]
    assert leaks[0] == leaks[1] and any("keep (app.py) < main (app.py)\t" in leak for leak in leaks[0]), leaks


# --- formats ---


def workflow(**more):
    return running.clean_environment(GITHUB_ACTIONS="true", **more)


def test_annotations(traced):
    trace, text = traced(leaks=30)
    folder = traced(leaks=30)[0]
    source = next(frame["file"] for one in violations(folder, "--no-leaks") for frame in one["where"]["stack"])
    root = source.rpartition("/")[0]
    done = check(trace, "--no-leaks", status=VIOLATED, env=workflow(GITHUB_WORKSPACE=root))
    commands = [line for line in done.out.splitlines() if line.lstrip().startswith("::")]
    line = line_of(text, "/* forgotten */")
    assert len(commands) == 1 and commands[0].startswith(
        f"::error file=program.c,line={line},title=heapsake no-leaks::leak: lost, 58.6 KiB (60,000 bytes) in 30 blocks"
        "%0A")
    assert not [row for row in check(trace, "--no-leaks", status=VIOLATED).out.splitlines() if row.startswith("::")]
    json.loads(check(trace, "--no-leaks", "--json", status=VIOLATED, env=workflow()).out)


def test_junit(traced, tmp_path):
    trace, text = traced(leaks=30, other="forget_too()")
    check(trace, "--no-leaks", "--max-peak", "20 MB", "--junit", tmp_path / "j.xml", status=VIOLATED)
    root = xml.parse(tmp_path / "j.xml").getroot()
    cases = root.findall("testsuite/testcase")
    assert root.tag == "testsuites" and (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "2", "0")
    assert [case.get("name") for case in cases] == ["max-peak 20 MB", "no-leaks", "no-leaks (2)"]
    failed = [case.find("failure") for case in cases]
    assert failed[0] is None and all(one.get("type") == "no-leaks" for one in failed[1:])
    assert f"program.c:{line_of(text, '/* forgotten */')}" in failed[1].text and "lost" in failed[1].get("message")
    assert check(trace, "--no-leaks", "--junit", "-", status=VIOLATED).out.startswith("<?xml ")


def test_sarif(traced, tmp_path):
    trace, text = traced(leaks=30)
    source = violations(trace, "--no-leaks")[0]["where"]["file"]
    folder = source.rpartition("/")[0]
    options = ["--no-leaks", "--max-peak", "1 kB", "--sarif", tmp_path / "s.json"]
    check(trace, *options, status=VIOLATED, cwd=folder)
    document = json.loads((tmp_path / "s.json").read_text())
    schema.check(document, schema.SARIF)
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [one["ruleId"] for one in run["results"]] == ["max-peak", "no-leaks"]
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in run["results"])
    place = run["results"][1]["locations"][0]["physicalLocation"]
    line = line_of(text, "/* forgotten */")
    assert place == {"artifactLocation": {"uri": "program.c"}, "region": {"startLine": line}}
    # seen from elsewhere it is absolute
    check(trace, *options, status=VIOLATED, cwd=tmp_path)
    document = json.loads((tmp_path / "s.json").read_text())
    uri = document["runs"][0]["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.startswith("file:///") and unquote(uri[7:]) == source
    check(trace, "--max-peak", "1 GB", "--sarif", tmp_path / "s.json", status=PASSED)
    document = json.loads((tmp_path / "s.json").read_text())
    schema.check(document, schema.SARIF)
    assert document["runs"][0]["results"] == []


def test_sarif_always_names_a_file(tmp_path, record):
    """Code hosts refuse a result without one: where no line is known it is the trace."""
    trace = record(["cat", "/dev/null"]).trace.path
    document = json.loads(check(trace, "--max-allocations", "0", "--sarif", "-", status=VIOLATED, cwd=trace.parent).out)
    schema.check(document, schema.SARIF)
    (result,) = document["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": trace.name}}, result


def test_schema_is_strict(traced, tmp_path):
    """The checker itself: a document that is spoiled anywhere is found out."""
    trace, _ = traced(leaks=30)
    document = json.loads(check(trace, "--no-leaks", "--sarif", "-", status=VIOLATED).out)


    def place(run):
        return run["results"][0]["locations"][0]["physicalLocation"]
    for spoil in (lambda run: run.pop("tool"), lambda run: run["results"][0].update(level="bad"),
                  lambda run: place(run)["region"].update(startLine=0),
                  lambda run: place(run)["artifactLocation"].update(uri="a b"),
                  lambda run: run["results"][0].update(unknown=1), lambda run: run["results"][0].pop("message")):
        copy = json.loads(json.dumps(document))
        spoil(copy["runs"][0])
        with pytest.raises(schema.Invalid):
            schema.check(copy, schema.SARIF)


def test_whole_or_not(traced, tmp_path):
    """Reports replace files at once, and nothing but files; a trace is never one of them."""
    trace, _ = traced(leaks=30)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    copy = tmp_path / "copy.hsk"
    copy.write_bytes(trace.read_bytes())
    for option in ("--junit", "--sarif", "--write-baseline"):
        for path in ("/dev/null", tmp_path / "fifo", tmp_path / "link", tmp_path, tmp_path / "no" / "folder", copy):
            check(trace, "--max-peak", "1 GB", option, path, status=traces.EXIT_UNUSABLE)
    assert copy.read_bytes() == trace.read_bytes() and not (tmp_path / "elsewhere").exists()
    report = tmp_path / "report"
    report.write_text("before")
    done = subprocess.run(["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", traces.heapsake_binary(), "check",
                           "--no-leaks", "--sarif", report, trace], capture_output=True)
    assert done.returncode == traces.EXIT_UNUSABLE and report.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.hsk", "fifo", "link", "report"]


def test_never_flickers(traced, python_traces, tmp_path):
    for trace in (traced(leaks=30, other="forget_too()")[0], python_traces("leak")[0]):
        seen = set()
        for number in range(50):
            done = traces.heapsake("check", "--no-leaks", "--max-peak", "1 kB", "--max-allocations", "1", "--json",
                                   "--sarif", tmp_path / "s", "--write-baseline", tmp_path / "b", trace)
            seen.add((done.status, done.out, (tmp_path / "s").read_bytes(), (tmp_path / "b").read_bytes()))
        assert len(seen) == 1


# --- hostile names ---

HOSTILE = [
    b"</failure><script>alert(1)</script>", b'"\'`&amp;<![CDATA[x]]>', b"\x1b[2J\x1b]0;x\x07", b"::error::x",
    b"\xff\xfe\xc3", b"  ::stop-commands::x", b"##[add-mask]x", b"%0A::error::y", b"a\tb\tc (d) < e",
    b"\xef\xbf\xbe\xef\xbf\xbf\xed\xa0\x80", b"\xc2\x85\x7f", b"\\x41\\", b"%s%n%d", b"n" * 100_000,
    b"\xf0\x9f\x92\xa9 \xe2\x80\xae", b"\xe3\x80\x80::debug::x",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A trace in which each name is a function's, a file's and a type's, in a lost block and in a leaked object."""
    folder = tmp_path_factory.mktemp("hostile")
    lines = [b"time 10", b"root data data - /usr/lib/x.so 4096"]
    for number, name in enumerate(HOSTILE):
        word = name.replace(b"'", b"\xe2\x80\x99")
        lines.append(b"stack s%d '%s' '/x/%s.py' %d" % (number, word, word, number + 1))
        lines.append(b"type 'm.%s' gc heap" % word)
        lines.append(b"object o%d 'm.%s' size=48 tracked refs=+1 stack=s%d" % (number, word, number))
        lines.append(b"block b%d 512 stack=s%d" % (number, number))
        lines.append(b"block c%d 512 stack=s%d" % (number, number))
    lines += [b"time 20", b"snapshot exit", b""]
    return made(folder / "t.hsk", b"\n".join(lines))


ALL = ["--no-leaks", "--max-peak", "1", "--max-allocations", "1", "--max-live", "1"]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def test_hostile_names(hostile, tmp_path):
    done = subprocess.run([traces.heapsake_binary(), "check", *ALL, "--sarif", tmp_path / "s", "--junit",
                           tmp_path / "j", "--write-baseline", tmp_path / "b", hostile], capture_output=True,
                          env=workflow())
    assert done.returncode == VIOLATED, done.stderr[-2000:]
    text = done.stdout.decode()  # valid UTF-8
    assert not CONTROL.search(text)
    commands = [line for line in text.splitlines() if line.lstrip().startswith("::") or "##[" in line]
    assert len(commands) >= 2 * len(HOSTILE)
    assert all(line.startswith("::error ") and len(line) < 20_000 for line in commands)
    for line in commands:
        properties = line[len("::error "):].partition("::")[0]
        assert re.fullmatch(r"(file=[^:,]*,(line=\d+,)?)?title=heapsake [a-z-]+", properties), properties[:300]
    plain = traces.heapsake("check", "--json", *ALL, hostile)
    document = json.loads(plain.out)
    assert len(document["violations"]) >= 2 * len(HOSTILE) and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", plain.out)
    schema.check(json.loads((tmp_path / "s").read_bytes()), schema.SARIF)
    root = xml.parse(tmp_path / "j").getroot()
    assert {element.tag for element in root.iter()} == {"testsuites", "testsuite", "properties", "property", "testcase",
                                                         "failure"}
    assert all("\n" not in case.get("name") for case in root.iter("testcase"))
    # a baseline of them is text, and matches itself
    baseline = (tmp_path / "b").read_text("utf-8")
    assert not CONTROL.search(baseline) and max(map(len, baseline.splitlines())) < 2000
    assert len([line for line in baseline.splitlines() if line.startswith("leak\t")]) >= 2 * len(HOSTILE)
    check(hostile, "--baseline", tmp_path / "b", "--tolerance", "0", "--no-new-leaks", status=PASSED)


def test_hostile_code(one_python, tmp_path, trace_file, record):
    """Names that a real program can have: line ends, and what the make-believe trace cannot say."""
    program = tmp_path / "h.py"
    program.write_text('''
store = {}
def body(number):
    value = kind()
    store[number] = value
kind = type("K\\n::error::x,\\u202e</a>", (), {"__module__": "m\\x1b[31m"})
code = body.__code__.replace(co_name="f\\n::error::y", co_qualname="f\\n::error::\\r y", co_filename="a\\n b,%:.py")
function = type(body)(code, globals())
for number in range(3000):
    function(number)
    scrap = [number] * 20
''')
    assert record([one_python.path, program]).status == 0
    done = check(trace_file, "--no-leaks", "--sarif", tmp_path / "s", "--junit", tmp_path / "j", "--write-baseline",
                 tmp_path / "b", status=VIOLATED, env=workflow())
    assert not CONTROL.search(done.out) and "K\\x0a::error::x" in done.out
    assert all(line.startswith("::error ") for line in done.out.splitlines() if line.lstrip().startswith("::"))
    schema.check(json.loads((tmp_path / "s").read_text()), schema.SARIF)
    xml.parse(tmp_path / "j")
    check(trace_file, "--baseline", tmp_path / "b", "--tolerance", "0", status=PASSED)
