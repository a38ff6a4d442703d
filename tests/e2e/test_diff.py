"""`heapsake diff` over real programs: what was planted is named first, and what only moved is no change."""

import json
import re
import shutil
import subprocess
import time

import pytest

from support import running, traces

C_PROGRAM = """
#include <stdlib.h>
static void *kept[20000];
static int count;
__attribute__((noinline)) static void keep(void *block) { kept[count++] = block; }
@top@
__attribute__((noinline)) static void load(int sessions, int names)
{
    for (int i = 0; i < sessions; i++)
        keep(malloc(100));
    @middle@
    for (int i = 0; i < names; i++)
        keep(malloc(30));
}
__attribute__((noinline)) static void save(void)
{
    for (int i = 0; i < 5; i++)
        keep(malloc(1000));
}
int main(int argc, char **argv)
{
    (void)argv;
    load(@sessions@, @names@);
    @main@
    load(3 * argc, 4);
    if (@saves@)
        save();
    return count == 0;
}
"""

PYTHON_PROGRAM = """
import sys
@top@
class Session:
    def __init__(self, number):
        self.number = number
def load(count):
    return [Session(number) for number in range(count)]
@middle@
def names(count):
    @body@
    return [str(number) * 40 for number in range(1000, 1000 + count)]
kept = []
kept += load(@sessions@)
@main@
kept += load(20)
kept += names(@names@)
@end@
"""

NOTHING = {"body": "", "top": "", "middle": "", "main": "", "end": "", "sessions": 30, "names": 7, "saves": 1}


def filled(program, **more):
    for key, value in {**NOTHING, **more}.items():
        program = program.replace(f"@{key}@", str(value))
    assert "@" not in program
    return program


def line_of(program, text, nth=0):
    return [number for number, line in enumerate(program.splitlines(), 1) if text in line][nth]


@pytest.fixture
def traced_c(tmp_path, record):
    """traced_c("old", sessions=5): that program, compiled and recorded; its trace and its source."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")

    def go(name, executable="app", **more):
        folder = tmp_path / name
        folder.mkdir()
        source = filled(C_PROGRAM, **more)
        (folder / "app.c").write_text(source)
        executable = folder / executable
        subprocess.run(["gcc", "-g", "-O1", "-fno-builtin", "-o", executable, folder / "app.c"], check=True)
        return record([executable], path=tmp_path / f"{name}.hsk").trace.whole(), source
    return go


@pytest.fixture
def traced_python(tmp_path, record):
    def go(python, name, *options, **more):
        folder = tmp_path / name
        folder.mkdir()
        source = filled(PYTHON_PROGRAM, **more)
        (folder / "app.py").write_text(source)
        return record([python.path, folder / "app.py"], *options, path=tmp_path / f"{name}.hsk").trace.whole(), source
    return go


def diff(old, new, *options):
    """The JSON document, and nothing on standard error."""
    done = traces.heapsake("diff", "--json", *options, getattr(old, "path", old), getattr(new, "path", new)).ok()
    assert done.err == "", done.err
    return json.loads(done.out)


def text(old, new, *options):
    return traces.heapsake("diff", *options, getattr(old, "path", old), getattr(new, "path", new)).ok().out


def place(site):
    frame = site["stack"][0]
    return frame["function"], frame["line"]


def own(sites, name="app.py"):
    """Sites whose innermost frame lies in the program's own file."""
    return [site for site in sites if site["stack"] and (site["stack"][0]["file"] or "").endswith(f"/{name}")]


COMMENT = "/* a\n   comment\n   of some\n   lines */"


def test_moved_lines_are_no_change(traced_c):
    """In another folder, with lines above, between and below; and in an executable of another name, which is said."""
    old, _ = traced_c("old")
    new, _ = traced_c("new", top=COMMENT, middle=COMMENT * 2, main=COMMENT)
    renamed, _ = traced_c("renamed", executable="other", middle=COMMENT)
    done = traces.heapsake("diff", "--json", old.path, renamed.path).ok()
    assert json.loads(done.out)["sites"] == [] and "is of app, " in done.err and " of other: different" in done.err
    found = diff(old, new)
    assert found["sites"] == [] and found["types"] == [], found
    assert found["totals"]["bytes_delta"] == found["totals"]["count_delta"] == 0
    assert "No site has changed" in text(old, new)


@pytest.mark.parametrize("moved", ["", COMMENT])
def test_planted_growth_is_first(traced_c, moved):
    old, before = traced_c("old")
    new, after = traced_c("new", top=moved, sessions=3430, names=8)
    found = diff(old, new)
    first, second = found["sites"]
    line = line_of(after, "keep(malloc(100))")
    assert place(first) == ("load", line) and first["stack"][1]["line"] == line_of(after, "load(3430")
    assert (first["bytes_delta"], first["count_delta"], first["change"]) == (340000, 3400, "grown")
    assert (first["old_bytes"], first["old_count"]) == (3000, 30)
    assert place(second) == ("load", line_of(after, "keep(malloc(30))"))
    assert (second["bytes_delta"], second["count_delta"]) == (30, 1)
    assert found["totals"]["bytes_delta"] == 340030 and found["totals"]["count_delta"] == 3401
    assert found["totals"]["allocations"]["delta"] == 3401
    shown = text(old, new)
    was = f", then in line {line_of(before, 'keep(malloc(100))')}" if moved else ""
    assert re.search(rf"^\+332 KiB in 3,400 more blocks at load  .*/app\.c:{line} \(was 2\.93 KiB in 30{was}\)$", shown,
                     re.M), shown
    assert shown.index("3,400 more") < shown.index("1 more block at")
    back = diff(new, old)["sites"][0]
    assert (back["bytes_delta"], back["count_delta"], back["change"]) == (-340000, -3400, "shrunk")
    assert "-332 KiB in 3,400 fewer blocks" in text(new, old)


def test_new_and_vanished_sites(traced_c):
    """A call between two others of the same function is the new one; those around it have only moved."""
    old, before = traced_c("old", names=0)
    new, after = traced_c("new", main=COMMENT + "\n    load(40, 0);", names=0, saves=0)
    vanished, added = diff(old, new)["sites"]
    assert place(vanished) == ("save", line_of(before, "malloc(1000)")) and vanished["change"] == "vanished"
    assert (vanished["bytes_delta"], vanished["count_delta"], vanished["new_count"]) == (-5000, -5, 0)
    assert place(added) == ("load", line_of(after, "malloc(100)")) and added["change"] == "new"
    assert added["stack"][1]["line"] == line_of(after, "load(40, 0)") and added["old_count"] == 0
    shown = text(old, new)
    assert re.search(r"^\+3\.91 KiB in 40 blocks at load .* \(a new site\)$", shown, re.M), shown
    assert re.search(r"^-4\.88 KiB in 5 blocks at save .* \(vanished\)$", shown, re.M), shown


def test_allocated(traced_c):
    """What is freed at once is seen by what was allocated, and by nothing else."""
    old, _ = traced_c("old")
    new, after = traced_c("new", main="for (int i = 0; i < 500; i++)\n        free(malloc(64));")
    assert diff(old, new)["sites"] == []
    found = diff(old, new, "--by", "allocated")
    (site,) = found["sites"]
    assert place(site) == ("main", line_of(after, "free(malloc"))
    assert (site["bytes_delta"], site["count_delta"]) == (32000, 500)
    assert (found["totals"]["bytes_delta"], found["totals"]["count_delta"]) == (32000, 500)
    assert "+31.2 KiB in 500 allocations at main" in text(old, new, "--by", "allocated")


def test_limits_and_order(traced_c):
    old, _ = traced_c("old")
    new, _ = traced_c("new", sessions=100, names=60, saves=0, main="load(9, 8);")
    whole = diff(old, new)
    sizes = [abs(site["bytes_delta"]) for site in whole["sites"]]
    assert len(sizes) == 5 and sizes == sorted(sizes, reverse=True)
    assert diff(old, new, "--limit", "2")["sites"] == whole["sites"][:2]
    assert diff(old, new, "--limit", "2", "--all")["sites"] == whole["sites"]
    shown = text(old, new, "-n", "2")
    assert "3 more sites: --all shows them" in shown and "5 sites have changed" in shown
    assert all(text(old, new, "--all") == text(old, new, "--limit", "0") for _ in range(5))


def test_python(python, traced_python):
    """Of each interpreter: types from births or from snapshots, sites of what was planted, none of what moved."""
    old, _ = traced_python(python, "old")
    new, after = traced_python(python, "new", top="# a\n# comment\n", middle="# another\n", main="# one\n# more\n",
                               sessions=1030)
    found = diff(old, new)
    changed = own(found["sites"])
    assert changed and place(changed[0])[0].startswith("load"), changed
    # the list of all that is kept grows in <module>
    functions = {"load", "<listcomp>", "load.<locals>.<listcomp>", "Session.__init__", "<module>"}
    assert {place(site)[0] for site in changed} <= functions, changed
    assert all(site["count_delta"] >= 0 and site["old_count"] for site in changed), changed
    assert found["sites"][0] == changed[0] and place(changed[0])[1] == line_of(after, "return [Session")
    assert changed[0]["stack"][-1]["line"] == line_of(after, "load(1030)")
    types = {row["type"]: row for row in found["types"]}
    assert types["__main__.Session"]["count_delta"] == 1000
    assert (types["__main__.Session"]["old_count"], types["__main__.Session"]["new_count"]) == (50, 1050)
    shown = text(old, new)
    assert re.search(r"^\+[\d.]+ KiB in 1,000 more __main__\.Session \(was [\d.]+ KiB in 50\)$", shown, re.M), shown
    assert ("(from snapshots" in shown) == (python.version < (3, 13))


def test_python_edited_function(one_python, traced_python):
    """Lines of a function whose code has changed keep their order."""
    old, _ = traced_python(one_python, "old", body="")
    new, after = traced_python(one_python, "new", body="for number in range(count):\n        pass\n", names=500)
    changed = own(diff(old, new)["sites"])
    assert place(changed[0]) == ("names.<locals>.<listcomp>" if one_python.version < (3, 12) else "names",
                                 line_of(after, "return [str"))
    assert changed[0]["change"] == "grown"
    # nothing is new or gone; what a class takes may differ by some bytes from run to run
    assert all(site["old_count"] and site["new_count"] for site in changed), changed
    assert diff(new, new)["sites"] == []


MOMENTS = """
import sys, time
kept, more = [], []
for step in range(6):
    kept += [bytes(1000 + step) for _ in range(300)]
    more = [bytes(700) for _ in range(500 if step == 3 else 5)]
    time.sleep(0.03)
"""


@pytest.fixture(scope="module")
def moments(one_python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("moments")
    (folder / "app.py").write_text(MOMENTS)
    return traces.record(folder / "t.hsk", [one_python.path, folder / "app.py"]).trace.whole()


def by_stack(sites, bytes, count):
    return {json.dumps(site["stack"]): (site[bytes], site[count]) for site in sites}


def test_moments(moments):
    """FILE@MOMENT is what `peak` says of it, site by site; moments of one trace are compared to the line."""
    times = sorted(moments.json("peak", "--at", "1000")["time"] * part for part in (0.3, 0.5, 0.7, 0.9))
    known = {f"{at:.6f}s": moments.json("peak", "--at", f"{at:.6f}") for at in times}
    known["peak"] = moments.peak
    for old, new in zip(list(known) + ["peak"], list(known)[1:] + [list(known)[0], "peak"]):
        done = traces.heapsake("diff", "--json", f"{moments.path}@{old}", f"{moments.path}@{new}").ok()
        found = json.loads(done.out)
        for side, moment in (("old", old), ("new", new)):
            assert found["totals"]["live_bytes"][side] == known[moment]["bytes"]
            assert found["totals"]["live_blocks"][side] == known[moment]["count"]
            assert found[side]["time"] == known[moment]["time"]
        before, after = (by_stack(known[moment]["sites"], "bytes", "count") for moment in (old, new))
        expected = {stack: (before.get(stack, (0, 0)), after.get(stack, (0, 0))) for stack in {**before, **after}
                    if before.get(stack) != after.get(stack)}
        was = by_stack(found["sites"], "old_bytes", "old_count")
        now = by_stack(found["sites"], "new_bytes", "new_count")
        assert {stack: (was[stack], now[stack]) for stack in was} == expected
        assert len(found["sites"]) == len(expected)
        assert sum(site["bytes_delta"] for site in found["sites"]) == found["totals"]["bytes_delta"]
        assert sum(site["count_delta"] for site in found["sites"]) == found["totals"]["count_delta"]


def test_end_is_what_leaks_says(moments):
    found = json.loads(traces.heapsake("diff", "--json", f"{moments.path}@0s", moments.path).ok().out)
    memory = moments.summary["memory"]
    assert found["totals"]["live_bytes"]["new"] == memory["live_bytes"]
    assert found["totals"]["live_blocks"]["new"] == memory["live_blocks"]
    assert found["totals"]["peak_bytes"]["new"] == memory["peak_bytes"]
    assert found["totals"]["allocated_bytes"]["new"] == memory["allocated_bytes"]
    assert text(moments, moments) == text(f"{moments.path}@end", moments)
    assert "No site has changed" in text(moments, moments)
    peaks = [f"{moments.path}@0.000000s", f"{moments.path}@peak"]
    assert json.loads(traces.heapsake("diff", "--json", "--by", "peak", moments.path, moments.path).ok().out)["sites"] == []
    assert "at its peak" in text(*peaks)


def test_names_that_hold_the_sign(moments, tmp_path):
    """An existing file of the whole name wins, and can itself be given a moment."""
    plain, odd = tmp_path / "t.hsk", tmp_path / "t.hsk@peak"
    shutil.copy(moments.path, plain)
    peak = moments.peak["bytes"]
    assert json.loads(traces.heapsake("diff", "--json", plain, f"{plain}@peak").ok().out)["new"]["moment"] == "peak"
    shutil.copy(moments.path, odd)
    whole = json.loads(traces.heapsake("diff", "--json", plain, odd).ok().out)
    assert whole["new"] == {**whole["new"], "file": str(odd), "moment": "end"} and whole["sites"] == []
    again = json.loads(traces.heapsake("diff", "--json", f"{plain}@end", f"{odd}@peak").ok().out)
    assert again["new"]["file"] == str(odd) and again["totals"]["live_bytes"]["new"] == peak


@pytest.mark.parametrize("words, status, says", [
    (["{}"], traces.EXIT_USAGE, "one trace given"),
    (["{}", "{}", "{}"], traces.EXIT_USAGE, "two traces at a time"),
    (["{}@mark:load", "{}"], traces.EXIT_UNUSABLE, "has no mark \"load\", nor any other"),
    (["{}@mark:", "{}"], traces.EXIT_USAGE, "@mark:: not a moment of a trace"),
    (["{}", "{}@noon"], traces.EXIT_USAGE, "@noon: not a moment of a trace"),
    (["{}@-1s", "{}"], traces.EXIT_USAGE, "not a moment"),
    (["{}@snapshot:77", "{}"], traces.EXIT_UNUSABLE, "has no snapshot 77: there "),
    (["--by", "peak", "{}@1s", "{}"], traces.EXIT_USAGE, "--by peak"),
    (["--by", "size", "{}", "{}"], traces.EXIT_USAGE, "size is not one of"),
    (["{}.not@peak", "{}"], traces.EXIT_UNUSABLE, "hsk.not: cannot open"),
])
def test_refusals(moments, words, status, says):
    done = traces.heapsake("diff", *(word.replace("{}", str(moments.path)) for word in words))
    assert done.status == status and done.out == "", f"{done}"
    assert len(done.err.splitlines()) == 1 and says in done.err, done.err


def test_incomplete_and_different(moments, traced_c, tmp_path):
    """Both are said on standard error, and compared all the same."""
    other, _ = traced_c("other")
    done = traces.heapsake("diff", moments.path, other.path).ok()
    assert "is of app.py, " in done.err and "different programs" in done.err and "sites have changed" in done.out
    cut = tmp_path / "cut.hsk"
    cut.write_bytes(moments.path.read_bytes()[:-2000])
    done = traces.heapsake("diff", cut, moments.path).ok()
    assert "chunks recovered" in done.err and "alive" in done.out
    done = traces.heapsake("diff", cut, cut).ok()
    assert done.err.count("chunks recovered") == 1 and "No site has changed" in done.out


HOSTILE = r"""
import sys
names = ["\x1b[31mred\x1b]0;title\x07", "a\nb\r\tc", "<script>&\"'`$(id)", "\u202e\u0085\u009b", "x" * 100000, "\udcff\ud800"]
kept = []
for number, name in enumerate(names):
    try:
        code = compile("def f():\n    return [bytes(3000 + %d) for _ in range(COUNT)]" % number, name + ".py", "exec")
    except (ValueError, UnicodeError):
        code = compile("def f():\n    return [bytes(3000 + %d) for _ in range(COUNT)]" % number, "bytes", "exec")
    space = {"COUNT": COUNT}
    exec(code, space)
    f = space["f"]
    try:
        f.__code__ = f.__code__.replace(co_name=name, co_qualname=name)
        kept.append([type(name, (), {"__module__": name})() for _ in range(COUNT)])
    except (ValueError, UnicodeError):
        pass
    kept.append(f())
"""


def test_hostile_names(python, record, tmp_path):
    """Whatever a program calls its functions, files and types: harmless as text, valid as JSON."""
    both = []
    for name, count in (("old", 3), ("new", 40)):
        (tmp_path / f"{name}.py").write_text(HOSTILE.replace("COUNT)", f"{count})").replace('"COUNT": COUNT', '"n": 0'))
        both.append(record([python.path, tmp_path / f"{name}.py"], path=tmp_path / f"{name}.hsk").trace.whole())
    found = json.loads(traces.heapsake("diff", "--json", *(trace.path for trace in both)).ok().out)
    functions = {frame["function"] for site in found["sites"] for frame in site["stack"]}
    assert "\x1b[31mred\x1b]0;title\x07" in functions and any(name and len(name) > 1000 for name in functions)
    grown = [site for site in found["sites"] if site["change"] == "grown" and site["count_delta"] >= 37]
    assert len(grown) >= 5, found["sites"][:20]
    assert any("\x1b" in row["type"] and row["count_delta"] == 37 for row in found["types"])
    done = traces.heapsake("diff", "--all", *(trace.path for trace in both)).ok()
    assert "\\x1b[31mred" in done.out
    for shown in (done.out, done.err):
        assert not [char for char in shown if char != "\n" and (ord(char) < 32 or 127 <= ord(char) < 160)]


def test_two_large_traces_are_quick(traced_c):
    """Not a measurement: that nothing grows with the square of the sites."""
    old, _ = traced_c("old", main="load(1, 1);\n" * 1500)
    new, _ = traced_c("new", main="load(1, 1);\n" * 1501 + "load(9, 9);", top=COMMENT)
    begun = time.monotonic()
    found = diff(old, new)
    assert time.monotonic() - begun < 20
    assert len(found["sites"]) == 4 and {site["change"] for site in found["sites"]} == {"new"}
