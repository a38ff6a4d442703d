"""
Leaks and their causes: every program of tests/targets/leaks under every interpreter. The report names the cause, the type,
the place and the holder that the program names itself, and accuses nothing else.
"""

import json
import re
import shutil
import xml.etree.ElementTree

import pytest

from support import building, interpreters, leak_programs, running, traces

CASES = leak_programs.cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cause(case, same):
    traced = same(case.argv, env=leak_programs.environment_of(case))
    traced.result.ok()
    leak_programs.agrees(traced.truth, traced.trace.leaks, case.python)


@pytest.mark.parametrize("case", [case for case in CASES if case.variant in ("temporary", "forgotten")],
                         ids=lambda case: case.name)
def test_c_function_is_named(case, same):
    """With native frames, the place is the extension's own function."""
    traced = same(case.argv, "--native", env=leak_programs.environment_of(case))
    leak_programs.agrees(traced.truth, traced.trace.leaks, case.python, native=True)


def flask_cases():
    found = [(python, how) for python in interpreters.traced_interpreters() for how in ("leaking", "clean")
             if python.has("flask")]
    return found or [pytest.param(None, "leaking", marks=pytest.mark.skip("no interpreter here has Flask"))]


@pytest.mark.parametrize("interpreter, how", flask_cases(), ids=lambda part: getattr(part, "name", part) or "none")
def test_flask(interpreter, how, same):
    traced = same([interpreter.path, leak_programs.FOLDER / "flask_app.py", how], timeout=120)
    traced.result.ok()
    leak_programs.agrees(traced.truth, traced.trace.leaks, interpreter)


CLASSES = ("definitely", "indirectly", "possibly", "reachable")
MEMCHECK = {"definitely": "Leak_DefinitelyLost", "indirectly": "Leak_IndirectlyLost", "possibly": "Leak_PossiblyLost",
            "reachable": "Leak_StillReachable"}


def memcheck(argv, tmp_path):
    """{class: {"blocks", "bytes"}} as valgrind's memcheck tells it."""
    file = tmp_path / "memcheck.xml"
    running.run(["valgrind", "--leak-check=full", "--show-leak-kinds=all", "--run-libc-freeres=no", "--xml=yes",
                 "--child-silent-after-fork=yes", f"--xml-file={file}", *argv], timeout=120).ok()
    found = {name: {"blocks": 0, "bytes": 0} for name in CLASSES}
    for error in xml.etree.ElementTree.parse(file).getroot().iter("error"):
        what = error.find("xwhat")
        for name in CLASSES:
            if error.findtext("kind") == MEMCHECK[name]:
                # Its leakedbytes are with those that hang on it, which have a record of their own.
                direct = re.search(r"\(([\d,]+) direct", what.findtext("text"))
                found[name]["blocks"] += int(what.findtext("leakedblocks"))
                found[name]["bytes"] += int(direct[1].replace(",", "") if direct else what.findtext("leakedbytes"))
    return found


@pytest.mark.parametrize("what", ["all", "list", "ring", "interior", "global", "none"])
def test_classes_as_memcheck(what, target, same, tmp_path):
    argv = [target("leaks/lost_blocks.c"), what]
    traced = same(argv)
    traced.result.ok()
    truth, leaks = traced.truth, traced.trace.leaks
    found = leaks["native"]
    assert found == {name: truth[name] for name in CLASSES}, leaks["leaks"]

    sure = leak_programs.reported(leaks)
    assert all(leak["cause"] == "lost" for leak in sure), sure
    assert bool(sure) == (truth["cause"] == "lost"), sure
    for leak in sure:
        assert {"lose_lists", "make_list", "make_node"} <= {frame["function"] for frame in leak["stack"]}, leak
    if shutil.which("valgrind"):
        assert found == memcheck(argv, tmp_path)


def test_suppressed(one_python, record, tmp_path):
    """What a file of suppressions names is not reported."""
    case = leak_programs.Case(one_python, leak_programs.PROGRAMS[1], "module_dict")
    assert case.program.name == "registry"
    traced = record(case.argv)
    assert leak_programs.reported(traced.trace.leaks)
    file = tmp_path / "known.supp"
    file.write_text("# sessions are known\n[sessions]\nfunction = open_session\n")
    assert not leak_programs.reported(traced.trace.json("leaks", f"--suppressions={file}"))


def test_closing_screen(one_python, record, trace_file):
    """The first leaks stand on it, when telling them takes no time; else the command that tells them, alone."""
    case = leak_programs.Case(one_python, leak_programs.PROGRAMS[1], "module_dict")
    *_, causes, command = record(case.argv).err.splitlines()
    assert re.match(r"  #\d+ growing  .* __main__\.Session\b.*  open_session  ", causes), causes
    assert command.split()[:2] == ["heapsake", "leaks"]

    lines = record([one_python.path, "-c", "pass"], path=trace_file.with_name("pass.hsk")).err.splitlines()
    assert lines[-2:] == ["  no leaks found", f"  heapsake leaks {trace_file.with_name('pass.hsk')}"]

    many = [one_python.path, building.ROOT / "bench" / "workloads" / "jsonw.py", "150"]
    for name, words, options in (("many", many, ()), ("none", case.argv, ("--no-snapshot",))):
        path = trace_file.with_name(f"{name}.hsk")
        lines = record(words, *options, path=path).err.splitlines()
        assert lines[-1] == f"  heapsake leaks {path}" and not lines[-2].startswith(("  #", "  no leaks")), lines


CACHES = """
import functools, sys

class Report:
    def __init__(self, number):
        self.rows = [number * 1000 + row for row in range(100)]

    @functools.lru_cache(maxsize=eval(sys.argv[1]))
    def total(self):
        return sum(self.rows)

for number in range(int(sys.argv[2])):
    Report(number).total()
"""


@pytest.mark.parametrize("maxsize, count, advice", [
    ("None", 500, "It is reached through functools.lru_cache: give it a maxsize; "),
    ("10**6", 500, "It is reached through functools.lru_cache with a maxsize: it grows until it is full; "),
    ("10**6", 100, None),
])
def test_advice_about_an_lru_cache(python, record, maxsize, count, advice):
    """One that has a maxsize is not to get one; as long as it is small it is none of the sure leaks."""
    program = ["-c", CACHES, maxsize, count]
    traced = record([python.path, *map(str, program)])
    traced.result.ok()
    leaks = [leak for leak in traced.trace.leaks["leaks"] if leak["cause"]]
    said = "\n".join(map(leak_programs.short, leaks))
    sure = leak_programs.reported(traced.trace.leaks)
    assert not any("_lru_list_elem" in (leak["type"] or "") for leak in leaks), said
    assert any(leak["type"] == "__main__.Report" for leak in sure) == bool(advice), said
    assert all(advice in leak["explanation"] for leak in sure), said


def test_without_a_snapshot(one_python, record):
    """Then a report says so, and guesses nothing."""
    case = leak_programs.Case(one_python, leak_programs.PROGRAMS[1], "module_dict")
    traced = record(case.argv, "--no-snapshot")
    assert not leak_programs.reported(traced.trace.leaks)
    text = traces.heapsake("leaks", traced.trace.path).ok().out
    assert "snapshot" in text


@pytest.mark.parametrize("workload, size", [("parse.py", 10), ("jsonw.py", 20), ("objs.py", 20000)])
def test_silence(python, record, workload, size):
    """Programs that leak nothing, of much work in little time: no false report."""
    traced = record([python.path, building.ROOT / "bench" / "workloads" / workload, size])
    traced.result.ok()
    leaks = traced.trace.leaks
    assert leaks["snapshot"]["whole"], leaks["snapshot"]
    sure = leak_programs.reported(leaks)
    assert not sure, "\n".join(map(leak_programs.short, sure))


def diff_of_the_walkthrough():
    text = (building.ROOT / "docs" / "WALKTHROUGH.md").read_text()
    return re.search(r"^```diff\n(.*?)^```", text, re.M | re.S)[1]


def test_walkthrough(python, record, tmp_path, trace_file):
    """What docs/WALKTHROUGH.md tells: its leak is found, and its change mends it."""
    example = tmp_path / "examples" / "web_app.py"
    example.parent.mkdir()
    shutil.copy(building.ROOT / "examples" / "web_app.py", example)
    traced = record([python.path, example, "600"])
    assert traced.result.ok().out == "served 600 requests\n"
    leak_programs.agrees({"cause": "growing", "or_cause": "held", "type": "__main__.Page", "count": 500, "holder": "pages",
                          "file": str(example), "function": "page_for"}, traced.trace.leaks, python)

    if not shutil.which("git"):
        pytest.skip("git is not installed: the change of the walk-through cannot be applied")
    running.run(["git", "apply", "-"], cwd=tmp_path, input=diff_of_the_walkthrough().encode()).ok()
    mended = record([python.path, example, "600"], path=trace_file.with_name("mended.hsk"))
    assert mended.result.ok().out == "served 600 requests\n"
    assert leak_programs.reported(mended.trace.leaks) == [], json.dumps(mended.trace.leaks["leaks"][:3])
