"""Regions and marks: summary, peak, leaks, diff and check of programs that say where they are."""

import json
import re
import subprocess
import xml.etree.ElementTree as xml

import pytest

from support import building, running, schema, traces
from support.made_traces import made

PASSED, VIOLATED = traces.EXIT_DONE, 1

PROGRAM = r"""
#include <heapsake/heapsake.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *kept[1000];
static int kept_count;

__attribute__((noinline)) static char *make(size_t size)
{
    char *block = malloc(size);
    memset(block, 1, size);
    return block;
}

__attribute__((noinline)) static void forget(size_t size)
{
    char *volatile block = make(size); /* forgotten */
    block = NULL;
}

static void *beside(void *size)
{
    kept[kept_count++] = make((size_t)size);
    return NULL;
}

static void in_a_thread(size_t size)
{
    pthread_t thread;
    pthread_create(&thread, NULL, beside, (void *)size);
    pthread_join(thread, NULL);
}

int main(void)
{
    heapsake_mark("started");
    for (int i = 0; i < 3; i++) { /* "parse": 5000 bytes at once, of which 1000 stay */
        int region = heapsake_region_begin("parse", 0);
        char *first = make(2000), *second = make(2000);
        kept[kept_count++] = make(1000);
        free(first);
        in_a_thread(70000); /* another thread's is not born in it */
        heapsake_region_end(region);
        free(second);       /* outlived it, and is gone */
    }
    int all = heapsake_region_begin("all", HEAPSAKE_ALL_THREADS);
    in_a_thread(90000);
    heapsake_region_end(all);

    int leaky = heapsake_region_begin("leaky", 0);
    for (int i = 0; i < 5; i++)
        forget(3000);
    heapsake_region_end(leaky);
    heapsake_snapshot();

    int clean = heapsake_region_begin("clean", 0);
    free(make(500));
    heapsake_region_end(clean);
    for (int i = 0; i < 4; i++)
        forget(3000); /* in no region */

    for (int i = 0; i < 40; i++) {
        kept[kept_count++] = make(100);
        heapsake_mark("grows");
    }
    for (int i = 0; i < 40; i++) {
        char *scratch = make(1 + i % 7 * 1000);
        heapsake_mark("flat");
        free(scratch);
    }
    heapsake_region_begin("open", 0);
    kept[kept_count++] = make(600);
    WAIT;
    return 0;
}
"""


def line_of(text, words):
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


def build(folder, wait="(void)0"):
    (folder / "p.c").write_text(PROGRAM)
    done = subprocess.run(["gcc", "-g", "-O0", "-pthread", "-I", building.ROOT / "include", f"-DWAIT={wait}", "-o",
                           folder / "p", "p.c", "-ldl"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "p"


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions")
    result = traces.record(folder / "t.hsk", [build(folder)])
    assert result.status == 0, result.result
    return folder / "t.hsk"


def check(trace, *options, status, **more):
    done = traces.heapsake("check", *options, trace, **more)
    assert done.status == status, f"{done}"
    return done


def violations(trace, *options):
    return json.loads(check(trace, "--json", *options, status=VIOLATED).out)["violations"]


# --- what is told of them ---


def test_summary(trace):
    summary = traces.Trace(trace).summary
    regions = {region.pop("name"): region for region in summary["regions"]}
    assert list(regions) == ["parse", "all", "leaky", "clean", "open"]  # as they began
    parse = regions["parse"]
    assert (parse["occurrences"], parse["open"]) == (3, 0)
    # the library may allocate for a thread: what the program's own lines do is the least
    assert parse["allocations"] >= 9 and parse["peak_bytes"] >= 5000 and parse["most_outlived_bytes"] >= 3000
    assert parse["peak_bytes"] < 70000 and parse["outlived_blocks"] >= 6
    assert (regions["leaky"]["allocations"], regions["leaky"]["allocated_bytes"]) == (5, 15000)
    assert (regions["leaky"]["outlived_bytes"], regions["leaky"]["peak_bytes"]) == (15000, 15000)
    assert (regions["clean"]["peak_bytes"], regions["clean"]["outlived_bytes"]) == (500, 0)
    assert regions["open"]["open"] == 1 and regions["open"]["outlived_bytes"] >= 600
    marks = {mark["name"]: mark["occurrences"] for mark in summary["marks"]}
    assert marks == {"started": 1, "grows": 40, "flat": 40}
    text = traces.heapsake("summary", trace).out
    assert re.search(r"^ +1 +14\.6 KiB +14\.6 KiB +5 +5  leaky$", text, re.M), text
    assert re.search(r"open \(1 never ended\)$", text, re.M) and re.search(r"^ +40  grows$", text, re.M)


def test_all_threads(trace):
    peak = traces.Trace(trace).json("peak", "--region", "all")
    assert peak["sites"][0]["bytes"] == 90000 and peak["sites"][0]["stack"][1]["function"] == "beside"


def test_peak(trace):
    peak = traces.Trace(trace).json("peak", "--region", "parse")
    assert peak["region"] == "parse" and peak["bytes"] >= 5000
    ours = [site for site in peak["sites"] if site["stack"][0]["function"] == "make"]
    assert [site["bytes"] for site in ours] == [4000, 1000]
    assert all(site["stack"][1]["function"] == "main" for site in ours)
    assert sum(site["bytes"] for site in peak["sites"]) == peak["bytes"]
    for words, said in ((["--region", "no"], 'has no region "no": '), (["--region", ""], 'has no region "": '),
                        (["--region", "grows"], '"grows" is a mark, not a region')):
        done = traces.heapsake("peak", *words, trace)
        assert done.status == traces.EXIT_UNUSABLE and said in done.err and done.out == ""
    assert traces.heapsake("peak", "--region", "all", "--at", "1", trace).status == traces.EXIT_USAGE


def test_leaks(trace):
    """Judged at the snapshot behind it, and by what was born in it alone."""
    leaks = traces.Trace(trace).json("leaks", "--region", "leaky", "--min-confidence", "0.5")
    assert leaks["region"] == "leaky" and leaks["snapshot"]["reason"] == "asked"
    (leak,) = leaks["leaks"]
    assert (leak["cause"], leak["count"], leak["bytes"]) == ("lost", 5, 15000)
    assert leak["stack"][1]["function"] == "forget"
    assert leaks["totals"] == {"lost": {"count": 5, "bytes": 15000}}
    clean = traces.Trace(trace).json("leaks", "--region", "clean", "--min-confidence", "0.5")
    assert clean["leaks"] == [] and clean["snapshot"]["reason"] == "exit"
    everything = traces.Trace(trace).json("leaks", "--min-confidence", "0.5")
    assert sum(leak["count"] for leak in everything["leaks"] if leak["bytes"] % 3000 == 0) == 9


def test_moments(trace):
    def live(moment):
        done = traces.heapsake("diff", "--json", f"{trace}@mark:started", f"{trace}@{moment}")
        assert done.status == 0, done
        return json.loads(done.out)["totals"]["live_bytes"]["new"]

    first, second, last = live("mark:grows#1"), live("mark:grows#2"), live("mark:grows")
    assert second - first == 100 and last - second == 38 * 100
    assert live("mark:grows#40") == last and live("mark:flat#2") == last + 1001
    assert traces.Trace(trace).json("peak", "--at", "mark:grows#2")["bytes"] == second
    done = traces.heapsake("diff", f"{trace}@mark:grows#41", trace)
    assert done.status == traces.EXIT_UNUSABLE and "there are 40 of that name" in done.err
    done = traces.heapsake("diff", f"{trace}@mark:parse", trace)
    assert done.status == traces.EXIT_UNUSABLE and "it is a region" in done.err


# --- check ---


@pytest.mark.parametrize("limit, key, region, place", [
    ("max-peak", "peak_bytes", "clean", "free(make(500))"), ("max-live", "most_outlived_bytes", "leaky", "forget(3000)"),
    ("max-allocations", "most_allocations", "leaky", "forget(3000)"),
    ("max-peak", "peak_bytes", "parse", "*second = make(2000)")])
def test_numbers(trace, limit, key, region, place):
    """The limit itself is allowed, one less is not; the line is that of the program."""
    actual = next(one for one in traces.Trace(trace).summary["regions"] if one["name"] == region)[key]
    check(trace, f"--{limit}", f"{region}:{actual}", status=PASSED)
    (one,) = violations(trace, f"--{limit}", f"{region}:{actual - 1}")
    assert (one["rule"], one["region"], one["limit"], one["actual"]) == (limit, region, actual - 1, actual)
    assert line_of(PROGRAM, place) in [frame["line"] for frame in one["where"]["stack"]]


def test_leak_limits(trace):
    check(trace, "--no-leaks=clean:", "--no-leaks=leaky:cycle", "--max-leaked", "leaky:15000", status=PASSED)
    (one,) = violations(trace, "--no-leaks=leaky:")
    assert (one["region"], one["where"]["cause"], one["where"]["count"]) == ("leaky", "lost", 5)
    (one,) = violations(trace, "--max-leaked", "leaky:14999")
    assert (one["measure"], one["actual"]) == ("leaked", 15000)
    # the whole run and its regions, side by side
    both = violations(trace, "--no-leaks=lost", "--no-leaks=leaky:lost", "--no-leaks=clean:lost")
    assert {one["region"] for one in both} == {None, "leaky"}
    # suppressed here, too
    supp = trace.with_name("known.supp")
    supp.write_text("[known]\ncause = lost\nfunction = forget\n")
    check(trace, "--no-leaks=leaky:", "--suppressions", supp, status=PASSED)


def test_growth(trace):
    check(trace, "--max-growth-per", "grows:100", "--max-growth-per", "grows:1 block", status=PASSED)
    (one,) = violations(trace, "--max-growth-per", "grows:99")
    assert (one["rule"], one["mark"], one["region"], one["actual"]) == ("max-growth-per", "grows", None, 100)
    assert (one["where"]["function"], one["where"]["bytes"]) == ("make", 29 * 100)
    (one,) = violations(trace, "--max-growth-per", "grows:0 blocks")
    assert one["actual"] == 1
    check(trace, "--max-growth-per", "grows:0 objects", status=PASSED)  # no Python, no objects
    check(trace, "--max-growth-per", "flat:0", "--max-growth-per", "flat:0 blocks", status=PASSED)
    for name, said in (("started", "occurs 1 time:"), ("parse", 'the region "parse" occurs 3 times:'),
                       ("nothing", 'has no mark "nothing"')):
        done = check(trace, "--max-growth-per", f"{name}:1 GB", status=traces.EXIT_UNUSABLE)
        assert said in done.err and done.out == ""


def test_not_there(trace, tmp_path):
    """A limit for what the trace does not have is no pass."""
    for options, said in ((["--max-peak", "no:1 TB"], 'the trace has no region "no": '),
                          (["--no-leaks=no:"], 'the trace has no region "no": '),
                          (["--max-peak", "::1 TB"], 'the trace has no region ":": '),
                          (["--max-peak", "grows:1 TB"], '"grows" is a mark, not a region')):
        done = check(trace, *options, "--junit", tmp_path / "j", status=traces.EXIT_UNUSABLE)
        assert said in done.err and done.out == "" and "errors=\"1\"" in (tmp_path / "j").read_text()
    without = made(tmp_path / "none.hsk", b"block a 10\nsnapshot exit\n")
    done = check(without, "--max-peak", "no:1 TB", status=traces.EXIT_UNUSABLE)
    assert "nor any other" in done.err
    late = made(tmp_path / "late.hsk", b"time 1\nsnapshot exit\nbegin 1 r\nblock a 10\nend 1\n")
    check(late, "--max-peak", "r:10", status=PASSED)
    done = check(late, "--no-leaks=r:", status=traces.EXIT_UNUSABLE)
    assert 'no snapshot after the end of the region "r"' in done.err
    unfit = made(tmp_path / "unfit.hsk", b"begin 1 r\nblock a 10\nend 1\nnot-whole\nsnapshot exit\n")
    done = check(unfit, "--max-leaked", "r:1 TB", status=traces.EXIT_UNUSABLE)
    assert "has no whole snapshot after" in done.err


def test_never_flickers(trace, tmp_path):
    options = ["--max-peak", "parse:1", "--max-live", "leaky:1", "--no-leaks=leaky:", "--max-allocations", "clean:0",
               "--max-growth-per", "grows:1"]
    seen = set()
    for _ in range(50):
        done = traces.heapsake("check", *options, "--json", "--sarif", tmp_path / "s", trace)
        seen.add((done.status, done.out, (tmp_path / "s").read_bytes()))
    assert len(seen) == 1 and done.status == VIOLATED


# --- Python ---

PYTHON_PROGRAM = """
import functools, gc
import heapsake

class Page:
    def __init__(self, number):
        self.text = "page %d " % number * 20

kept, log, cache = [], [], {}
last = None

@functools.lru_cache(maxsize=None)
def cached(number):
    return Page(number)

def leaves(number):
    kept.append(Page(number))               # one each time

def leaves_dict(number):
    log.append({"number": number})          # its block may have been another dict's

def warms_up(number):
    cache[number % 2] = Page(number)

def is_cached(number):
    return cached(number % 3)

def replaces(number):
    global last
    last = Page(number)

def drops(number):
    return [Page(number) for _ in range(50)]

def loops(number):
    page = Page(number)
    page.self = page

for number in range(12):
    for function in (leaves, leaves_dict, warms_up, is_cached, replaces, drops):
        with heapsake.region(function.__name__):
            function(number)
        scrap = [{"scrap": number} for _ in range(30)]  # recycled blocks for the next ones
        del scrap
    heapsake.mark("round")
gc.disable()
with heapsake.region("loops"):
    for number in range(100):
        loops(number)
"""


@pytest.fixture(scope="module")
def python_trace(python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    (folder / "app.py").write_text(PYTHON_PROGRAM)
    result = traces.record(folder / "t.hsk", [python.path, "app.py"], cwd=folder,
                           env=running.clean_environment(PYTHONPATH=str(building.ROOT / "python"), PYTHONHASHSEED="0"))
    assert result.status == 0, result.result
    return folder / "t.hsk"


def test_python(python_trace):
    """What each occurrence leaves is a leak; what one of them, or the first ones, or the last one leaves, is none."""
    for name in ("warms_up", "is_cached", "replaces", "drops"):
        check(python_trace, f"--no-leaks={name}:", status=PASSED)
    (one,) = violations(python_trace, "--no-leaks=leaves:")
    where = one["where"]
    assert (where["cause"], where["type"], where["count"]) == ("growing", "__main__.Page", 9)
    assert where["line"] == line_of(PYTHON_PROGRAM, "# one each time") and any("kept" in edge for edge in where["why"])
    # before 3.13 births are not told: the block of a recycled dict is older than the region
    version = traces.Trace(python_trace).summary["process"]["python_version"]
    births = tuple(map(int, version.split(".")[:2])) >= (3, 13)
    found = violations(python_trace, "--no-leaks=leaves_dict:") if births else []
    assert [(one["where"]["type"], one["where"]["count"]) for one in found] == [("dict", 9)] * births
    (one,) = violations(python_trace, "--no-leaks=loops:")
    assert (one["where"]["cause"], one["where"]["count"]) == ("cycle", 100)
    # what is found of a region does not depend on what else is asked, and the whole run's leaks are their own
    everything = violations(python_trace, "--no-leaks=loops:", "--no-leaks=leaves:", "--no-leaks")
    assert [one["region"] for one in everything if one["region"]] == ["loops", "leaves"]
    assert any(one["region"] is None for one in everything)
    check(python_trace, "--max-growth-per", "round:4 objects", status=PASSED)
    assert violations(python_trace, "--max-growth-per", "round:1 objects")[0]["actual"] in (2, 3, 4)


# --- while it is being written ---


def test_growing(tmp_path):
    """Regions that have ended are checked while the program runs, and nothing else is; cut off, nothing is."""
    program = build(tmp_path, "heapsake_flush(); puts(\"now\"); fflush(stdout); getchar()")
    trace = tmp_path / "t.hsk"
    with subprocess.Popen([*traces.command(trace), program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=running.clean_environment()) as run:
        assert run.stdout.readline() == b"now\n"
        check(trace, "--max-peak", "clean:500", "--no-leaks=leaky:cycle", "--max-growth-per", "grows:100",
              status=PASSED)
        assert violations(trace, "--max-peak", "clean:499")[0]["actual"] == 500
        assert violations(trace, "--no-leaks=leaky:")[0]["where"]["count"] == 5
        done = check(trace, "--max-peak", "open:1 GB", status=traces.EXIT_UNUSABLE)
        assert "has not ended yet" in done.err
        for whole in (["--max-peak", "1 TB"], ["--max-peak", "clean:500", "--max-live", "1 TB"],
                      ["--max-peak", "clean:500", "--write-baseline", tmp_path / "b"]):
            check(trace, *whole, status=traces.EXIT_UNUSABLE)
        cut = tmp_path / "cut.hsk"
        cut.write_bytes(trace.read_bytes())
        done = check(cut, "--max-peak", "clean:500", status=traces.EXIT_UNUSABLE)
        assert "truncated" in done.err
        regions = {region["name"]: region for region in traces.Trace(trace).summary["regions"]}
        assert regions["leaky"]["outlived_bytes"] == 15000 and regions["open"]["open"] == 1
        run.stdin.close()
        assert run.wait() == 0
    check(trace, "--max-peak", "1 TB", "--max-peak", "open:1 MB", status=PASSED)
    assert not (tmp_path / "b").exists()


def test_killed(tmp_path):
    program = build(tmp_path, "__builtin_trap()")
    assert traces.record(tmp_path / "t.hsk", [program]).status > 128
    done = check(tmp_path / "t.hsk", "--max-peak", "clean:1 TB", status=traces.EXIT_UNUSABLE)
    assert "did not come to its end" in done.err


# --- many of them ---


def test_many(tmp_path):
    """500 limits, all violated: each names its own line, in one go."""
    lines = [b"time 10"]
    for n in range(500):
        lines += [b"stack s%d test_%d t.py %d" % (n, n, n + 1), b"begin %d 't.py::test_%d[a:b]'" % (n + 1, n),
                  b"block a%d %d stack=s%d" % (n, 1000 + n, n), b"block b%d 50 stack=s%d" % (n, n), b"free a%d" % n,
                  b"end %d" % (n + 1)]
    trace = made(tmp_path / "t.hsk", b"\n".join(lines) + b"\ntime 20\nsnapshot exit\n")
    limits = tmp_path / "limits"
    rules = ("max-peak 100", "max-live 49", "max-allocations 1", "no-leaks")
    limits.write_text("".join(f"t.py::test_{n}[a:b]:{rule}\n" for n in range(500) for rule in rules))
    done = traces.heapsake("check", "--json", "--limits", limits, trace)
    assert done.status == VIOLATED and done.seconds < 20, done.err
    found = json.loads(done.out)["violations"]
    assert len(found) == 2000
    for one in found:
        number = int(re.fullmatch(r"t\.py::test_(\d+)\[a:b\]", one["region"]).group(1))
        assert (one["where"]["function"], one["where"]["line"]) == (f"test_{number}", number + 1)
        assert one["actual"] == {"max-peak": 1050 + number, "max-live": 50, "max-allocations": 2,
                                 "no-leaks": 50}[one["rule"]]


# --- hostile names ---

HOSTILE = [
    b"</failure><script>alert(1)</script>", b'"\'`&amp;<![CDATA[x]]>', b"\x1b[2J\x1b]0;x\x07", b"::error::x",
    b"\xff\xfe\xc3", b"  ::stop-commands::x", b"##[add-mask]x", b"%0A::error::y", b"a\tb\tc (d) < e",
    b"\xef\xbf\xbe\xef\xbf\xbf\xed\xa0\x80", b"\xc2\x85\x7f", b"\\x41\\", b"%s%n%d", b"n" * 100_000,
    b"\xf0\x9f\x92\xa9 \xe2\x80\xae", b"\xe3\x80\x80::debug::x", b"a\n::error::z\r\nb", b" ", b"max-peak", b"=", b"#2",
]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    lines = [b"time 10", b"stack s work w.py 1"]
    for number, name in enumerate(HOSTILE, 1):
        word = name.replace(b"'", b"\xe2\x80\x99").replace(b"\\", b"\\x5c").replace(b"\n", b"\\x0a")
        lines += [b"begin %d '%s'" % (number, word), b"block b%d 512 stack=s" % number, b"end %d" % number]
        lines += [b"mark '%s'\nblock m%d%s 64" % (word, number, suffix) for suffix in (b"a", b"b", b"c", b"d", b"e")]
    lines += [b"time 20", b"snapshot exit", b""]
    return made(tmp_path_factory.mktemp("hostile") / "t.hsk", b"\n".join(lines))


def test_hostile_names(hostile, tmp_path):
    names = [name.replace(b"'", b"\xe2\x80\x99") for name in HOSTILE]
    words = [b"check"]
    for name in names:
        words += [b"--max-peak", name + b":1", b"--no-leaks=" + name + b":", b"--max-growth-per", name + b":1"]
    done = subprocess.run([traces.heapsake_binary(), *words, "--sarif", tmp_path / "s", "--junit", tmp_path / "j",
                           hostile], capture_output=True, env=running.clean_environment(GITHUB_ACTIONS="true"))
    assert done.returncode == VIOLATED, done.stderr[-2000:]
    text = done.stdout.decode()  # valid UTF-8
    assert not CONTROL.search(text)
    commands = [line for line in text.splitlines() if line.lstrip().startswith("::") or "##[" in line]
    assert sum(line.startswith("::error ") for line in commands) == 3 * len(HOSTILE)
    assert all(line.startswith(("::error ", "no-leaks  ", "max-peak  ", "max-growth-per  ")) and len(line) < 20_000
               for line in commands), [line[:100] for line in commands]
    plain = subprocess.run([traces.heapsake_binary(), *words, "--json", hostile], capture_output=True)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", plain.stdout)
    found = json.loads(plain.stdout.decode())["violations"]
    shown = {one["region"] or one["mark"] for one in found}
    assert len(found) == 3 * len(HOSTILE) and len(shown) == len(HOSTILE)
    assert {name.decode() for name in names if name.decode(errors="ignore").encode() == name} <= shown
    schema.check(json.loads((tmp_path / "s").read_bytes()), schema.SARIF)
    root = xml.parse(tmp_path / "j").getroot()
    assert {element.tag for element in root.iter()} == {"testsuites", "testsuite", "properties", "property", "testcase",
                                                         "failure"}
    assert all("\n" not in case.get("name") for case in root.iter("testcase"))


def test_hostile_reports(hostile):
    for words in (["summary"], ["summary", "--json"], ["peak", "--region"], ["leaks", "--region"],
                  ["leaks", "--json", "--region"], ["peak", "--json", "--at"]):
        for name in HOSTILE if len(words) > 1 and words[-1] != "--json" else [b""]:
            name = name.replace(b"'", b"\xe2\x80\x99")
            more = [b"mark:" + name] if words[-1] == "--at" else [name] if name else []
            done = subprocess.run([traces.heapsake_binary(), *words, *more, hostile], capture_output=True)
            assert done.returncode == 0, (words, name[:50], done.stderr[-500:])
            text = done.stdout.decode()
            if "--json" in words:
                json.loads(text)
            else:
                assert not CONTROL.search(text), (words, name[:50])


def test_hostile_file(hostile, tmp_path):
    """What a line of a file can hold works there, too."""
    limits = tmp_path / "limits"
    names = [name.replace(b"'", b"\xe2\x80\x99") for name in HOSTILE if not re.search(rb"[\n\r]|^ | #|^#|^=", name)]
    limits.write_bytes(b"".join(name + b":max-peak 1\n" for name in names))
    done = subprocess.run([traces.heapsake_binary(), "check", "--json", "--limits", limits, hostile],
                          capture_output=True)
    assert done.returncode == VIOLATED, done.stderr
    assert len(json.loads(done.stdout)["violations"]) == len(names)
