"""Extensions that are compiled with heapsake's Python.h: they do what they did, and each change of a count is told."""

import collections
import hashlib
import json
import re
import subprocess

import pytest

from support import building, told_counts as counts, running, traces
from support.building import ROOT, TARGETS

HEADER = ROOT / "include/heapsake/python/Python.h"
REFS = TARGETS / "refs"
STEADY = (3, 12)  # None and its like are immortal from here on


def told_include():
    return f"-I{running.run([traces.heapsake_binary(), '--python-include']).ok().out.strip()}"


def sources_key():
    """In the flags, so that a target is compiled again when a file that it includes has changed."""
    key = hashlib.sha256(HEADER.read_bytes())
    for path in sorted(REFS.glob("*.c*")):
        key.update(path.read_bytes())
    return f"-DKEY_{key.hexdigest()[:16]}"


def extension(python, source, *flags, told=True, name=None):
    """The folder with the module that is made of tests/targets/refs/<source>."""
    if not python.include_folder:
        pytest.skip(f"Python.h of {python.name} is not installed")
    own = [told_include()] if told else []
    name = name or source.split(".")[0]
    try:
        return building.compiled(f"refs/{source}", "-shared", sources_key(), *own, f"-I{python.include_folder}", *flags,
                                 "-Wno-cast-function-type", name=f"{name}.so").parent
    except building.CannotBuild as trouble:
        if "is not installed" in str(trouble):
            pytest.skip(str(trouble))
        raise


def run_told(python, folder, record=None, *options, module="told"):
    argv = [python.path, REFS / "run_told.py", module]
    environment = running.clean_environment(PYTHONPATH=folder)
    if record is None:
        return json.loads(running.run(argv, env=environment).ok().out)
    traced = record(argv, *options, env=environment)
    assert traced.status == 0, f"{traced.result}"
    return traced


CPP = ("told_cpp.cpp", "-DTOLD_NAME=told")
WAYS = {
    "c": ("told.c",),
    "c-O0": ("told.c", "-O0"),
    "c-O2": ("told.c", "-O2"),
    "c-O3-lto": ("told.c", "-O3", "-flto"),
    "c11-pedantic": ("told.c", "-std=c11", "-pedantic", "-Werror"),
    "symbolic": ("told.c", "-O2", "-Wl,-Bsymbolic", "-Wl,-z,now"),
    "version-script": ("told.c", "-O2", f"-Wl,--version-script={REFS / 'told.map'}"),
    "sections": ("told.c", "-O2", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"),
    "not-pic-debug": ("told.c", "-O0", "-g3", "-fno-inline"),
    "abi3-3.11": ("told.c", "-O2", "-DPy_LIMITED_API=0x030b0000"),
    "abi3-3.12": ("told.c", "-O2", "-DPy_LIMITED_API=0x030c0000"),
    "abi3-own": ("told.c", "-O2", "-DPy_LIMITED_API=PY_VERSION_HEX"),
    "c++17-hidden": (*CPP, "-O2", "-fvisibility=hidden", "-fvisibility-inlines-hidden"),
    "c++11": ("told_plain.cpp", "-DTOLD_NAME=told", "-std=c++11", "-pedantic", "-Werror"),
    "c++20-O0": (*CPP, "-std=c++20", "-O0"),
    "c++-abi3": (*CPP, "-O2", "-DPy_LIMITED_API=0x030c0000"),
}


def check_steps(trace, python, steps, file):
    """Each line's changes in the trace are what the program saw of the count before and after it."""
    recorded = counts.Counts(trace.path)
    told = collections.defaultdict(list)
    for change in recorded.of(counts.INSTRUMENTED):
        place = recorded.place(change)
        if place and place.file.endswith(file):
            told[place.line].append(change)
    expected = collections.defaultdict(list)
    for line, before, after in steps:
        expected[line].append((before, after))
    calls = {line for line in expected if "Py_IncRef" in source_line(file, line) or "Py_DecRef" in source_line(file, line)}
    for line, changes in expected.items():
        if line in calls:
            assert line not in told, "a call of a function is no use of a macro"
            continue
        net = sum(after - before for before, after in changes)
        assert sum(change.delta for change in told[line]) == net, (line, source_line(file, line), changes, told[line])
        if not any(after - before for before, after in changes) and "SETREF" not in source_line(file, line):
            assert not told[line], (line, source_line(file, line), told[line])
        for (before, after), change in zip(changes, told[line]):
            if len(told[line]) == len(changes):
                assert change.count == after, (line, source_line(file, line), change)
    return recorded, told


def source_line(file, line):
    return (REFS / file).read_text().splitlines()[line - 1]


def comparable(truth):
    """How many references None has is another matter in each process."""
    return {key: [[line, after - before] for line, before, after in value] if key in ("first", "again", "more") else value
            for key, value in truth.items()}


@pytest.mark.parametrize("way", WAYS)
def test_every_macro(python, record, way):
    source, *flags = WAYS[way]
    if "abi3-3.12" in way and python.version < (3, 12):
        pytest.skip("the limited API of a later version")
    plain = run_told(python, extension(python, source, *flags, told=False, name="told"))
    folder = extension(python, source, *flags, name="told")
    assert comparable(run_told(python, folder)) == comparable(plain), "untraced it is not the same"
    traced = run_told(python, folder, record)
    truth = json.loads(traced.out)
    assert comparable(truth) == comparable(plain), "traced it is not the same"
    traced.trace.whole()

    steps = truth["first"] + truth["again"]
    recorded, told = check_steps(traced.trace, python, steps, "told.c")
    if truth["more"]:
        check_steps(traced.trace, python, truth["more"], "told_cpp.cpp")
    for line, expected in zip(truth["returns"], ("RETURN_NONE", "RETURN_TRUE", "RETURN_FALSE", "RETURN_NOT", "RICH")):
        assert expected in source_line("told.c", line)
        assert bool(told[line]) == (python.version < STEADY), (line, expected, told[line])
    functions = {recorded.place(change).function for change in recorded.of(counts.INSTRUMENTED)}
    assert {"step_by_step", "end_something"} <= functions
    modules = {recorded.place(change).module for change in recorded.of(counts.INSTRUMENTED)}
    assert modules == {str(folder / "told.so")}
    if truth["more"]:
        functions = {function.split("<")[0] for function in functions}
        assert {"Handle", "~Handle", "with_reference", "operator()"} <= functions
    # of the object that the program made, nothing is left over
    balance = collections.Counter()
    for change in recorded.of(counts.INSTRUMENTED):
        balance[change.ordinal] += change.delta
    ordinal = told[steps[0][0]][0].ordinal
    assert ordinal is not None and balance[ordinal] == 0, balance


@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_stacks(python, record, level):
    """Under the line lies the Python stack; with --native, the frames that led there, each function once."""
    folder = extension(python, "told.c", level)
    for options in ((), ("--native",)):
        traced = run_told(python, folder, record, *options)
        recorded = counts.Counts(traced.trace.path)
        changes = [change for change in recorded.of(counts.INSTRUMENTED)
                   if recorded.place(change).function == "step_by_step"]
        assert {change.delta for change in changes} == {1, -1}
        for change in changes:
            kinds = recorded.kinds(change)
            assert kinds[0] == counts.SOURCE and kinds.count(counts.SOURCE) == 1, kinds
            assert counts.PYTHON in kinds and (counts.NATIVE in kinds) == bool(options), kinds
        item = next(change.ordinal for change in changes if change.ordinal is not None)
        done = traces.heapsake("refs", "--json", traced.trace.path, f"#{item}").ok()
        stacks = [[frame["function"] for frame in event["stack"]] for event in json.loads(done.out)["history"]]
        stacks = [functions for functions in stacks if functions[0] == "step_by_step"]
        assert len(stacks) == sum(change.ordinal == item for change in changes)
        for functions in stacks:
            assert functions.count("step_by_step") == 1 and (functions[1] == "run") == bool(options), functions
        traced.trace.path.unlink()


def test_threads_and_children(python, record):
    """Changes of several threads and of a forked child are in their traces, balanced."""
    folder = extension(python, "told.c", "-O2")
    code = """
import os, sys, threading, told
class Item: pass
item = Item()
def work():
    for _ in range(300): told.spin(item, 10)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
child = os.fork()
if child == 0:
    told.spin(item, 77)
    os._exit(0)
os.waitpid(child, 0)
print(child)
"""
    traced = record([python.path, "-c", code], env=running.clean_environment(PYTHONPATH=folder))
    assert traced.status == 0, f"{traced.result}"
    for trace, expected in ((traced.trace, 4 * 300 * 10), (traced.trace.child_of_pid(int(traced.out)), 77)):
        recorded = counts.Counts(trace.whole().path)
        deltas = collections.Counter(change.delta for change in recorded.of(counts.INSTRUMENTED)
                                     if recorded.place(change).function == "spin")
        assert deltas == {1: expected, -1: expected}


@pytest.mark.parametrize("flags", [("-O2",), ("-O0", "-no-pie", "-fno-pic"), ("-O2", "-flto", "-Wl,--gc-sections")])
def test_in_an_executable(python, record, flags):
    """Linked into the program itself, where the linker has settled that there is no heapsake."""
    if not python.include_folder or not python.library:
        pytest.skip(f"{python.name} has no headers, or no shared library")
    library = traces.Path(python.library)
    program = building.compiled("refs/told_embedded.c", sources_key(), told_include(), f"-I{python.include_folder}", *flags,
                                library, f"-Wl,-rpath,{library.parent}")
    prefix = running.run([python.path, "-c", "import sys; print(sys.base_prefix)"]).ok().out.strip()
    traced = record([program], env=running.clean_environment(PYTHONHOME=prefix))
    assert traced.status == 0 and traced.out == "done\n", f"{traced.result}"
    recorded = counts.Counts(traced.trace.path)
    changes = recorded.of(counts.INSTRUMENTED)
    assert [change.count for change in changes] == [2, 3, 4, 3, 2, 1, 0]
    assert {recorded.place(change) for change in changes} == {
        counts.Place(str(REFS / "told_embedded.c"), line, "main", str(program)) for line in (15, 17)}
    assert [program.name] == [traces.Path(row["module"]).name for row in coverage_of(traced.trace) if row["increments"] == "all"]


def coverage_of(trace):
    return trace.json("refs")["coverage"]


SCENARIOS = {"error_path": 10, "cpp_exception": 10, "balanced": 0, "two_threads": 0, "cpp_right": 0}


@pytest.mark.parametrize("name", SCENARIOS)
def test_planted_bugs(python, record, name):
    """`refs` names the line of C whose reference was never given back, and says what it could see."""
    source = "refbugs_cpp.cpp" if name.startswith("cpp") else "refbugs.c"
    folder = extension(python, source, "-O2")
    traced = record([python.path, REFS / "scenarios.py", name, "20"], env=running.clean_environment(PYTHONPATH=folder))
    truth = traced.truth
    report = traced.trace.json("refs")
    module = next(row for row in report["coverage"] if row["module"] == str(folder / source.split(".")[0]) + ".so")
    assert module["increments"] == "all"
    culprits = [site for site in report["sites"] if site["net"] and site["stack"][0]["file"].endswith(source)
                and "Py_RETURN" not in source_line(source, site["stack"][0]["line"])]  # None is the interpreter's to drop
    if not SCENARIOS[name]:
        assert not culprits, culprits
        return
    culprit, = culprits
    assert culprit["net"] == culprit["objects"] == truth["wrong"] == SCENARIOS[name]
    frame = culprit["stack"][0]
    assert frame["function"] == truth["culprit"] and "Py_INCREF" in source_line(source, frame["line"])


@pytest.mark.parametrize("name", ["set_item_twice", "keep_borrowed"])
def test_early_death(python, record, name):
    """An object that dies too early: its last decrement is told, and what the program does to the dead one harms nobody."""
    folder = extension(python, "refbugs.c", "-O2")
    traced = record([python.path, REFS / "scenarios.py", name], env=running.clean_environment(PYTHONPATH=folder))
    assert traced.status == 0, f"{traced.result}"
    recorded = counts.Counts(traced.trace.whole().path)
    wrong = [change for change in recorded.of(counts.INSTRUMENTED)
             if recorded.place(change).function == traced.truth["culprit"] and change.delta < 0]
    assert len(wrong) == 1, wrong


def test_unused_costs_one_branch(python, tmp_path):
    """Untraced code differs by a comparison and a jump out of the hot path, for each use."""
    if not python.include_folder:
        pytest.skip(f"Python.h of {python.name} is not installed")
    source = tmp_path / "one.c"
    source.write_text("#include <Python.h>\nvoid up(PyObject *o) { Py_INCREF(o); }\nvoid down(PyObject *o) { Py_DECREF(o); }\n")
    hot = {}
    for told in ([], [told_include()]):
        done = subprocess.run(["gcc", "-O2", "-fPIC", "-S", "-o", "-", *told, f"-I{python.include_folder}", source],
                              capture_output=True, text=True, check=True)
        for name in ("up", "down"):
            body = re.search(rf"^{name}:\n(.*?)\n\t\.cfi_endproc", done.stdout, re.M | re.S)[1]
            body = body.split("\t.section\t.text.unlikely")[0]
            words = [line.split()[0] for line in body.splitlines() if re.match(r"\t[a-z]", line)]
            words = [word for word in words if word not in ("endbr64", "nop")]
            hot[name, bool(told)] = words
    for name in ("up", "down"):
        plain, told = hot[name, False], hot[name, True]
        jumps = [sum(word.startswith("j") and word != "jmp" for word in words) for words in (plain, told)]
        assert jumps[1] == jumps[0] + 1, (plain, told)
        assert len(told) <= len(plain) + 4, (plain, told)


def test_include_folder(tmp_path):
    folder = running.run([traces.heapsake_binary(), "--python-include"], cwd=tmp_path).ok().out
    assert folder.endswith("/heapsake/python\n") and (traces.Path(folder.strip()) / "Python.h").exists()


# ---- functions that count ----

ENTRY_WAYS = {"plain": (), "no-plt": ("-fno-plt",), "lazy": ("-Wl,-z,lazy",), "abi3": ("-DPy_LIMITED_API=0x030c0000", "-O2")}
ENTRY_CODE = """
import json, entry
class Item: pass
item = Item()
calls = entry.calls(item)
entry.ends()
print(json.dumps({"calls": calls, "loads": entry.loads()}))
"""


@pytest.mark.parametrize("way", ENTRY_WAYS)
def test_entry_points(python, record, way):
    if way == "abi3" and python.version < (3, 12):
        pytest.skip("the limited API of a later version")
    folder = extension(python, "entry.c", *ENTRY_WAYS[way], told=False)
    environment = running.clean_environment(PYTHONPATH=folder)
    argv = [python.path, "-c", ENTRY_CODE]
    plain = running.run(argv, env=environment).ok().out
    silent = record(argv, env=environment)
    assert silent.out == plain and not counts.Counts(silent.trace.path).changes
    silent.trace.path.unlink()
    traced = record(argv, "--refs", env=environment)
    assert traced.status == 0 and traced.out == plain, f"{traced.result}"
    recorded, truth = counts.Counts(traced.trace.whole().path), json.loads(plain)
    changes = recorded.of(counts.ENTRY_POINT)
    assert changes == recorded.changes
    mine = [change for change in changes if recorded.kinds(change)[0] == counts.NATIVE]
    assert mine == changes
    by_object = collections.defaultdict(list)
    for change in changes:
        by_object[change.ordinal, change.address].append(change)
    histories = [[change.count for change in history] for history in by_object.values()]
    assert truth["calls"] in histories, histories
    assert [0] in histories, "the list that died"
    assert sum(len(history) == truth["loads"] for history in histories) >= 1
    assert all(counts.PYTHON in recorded.kinds(change) for change in changes)
    functions = {frame["function"] for leak in traced.trace.leaks["leaks"] for frame in leak["stack"]}
    assert functions is not None


def test_instrumented_and_entry_points(python, record):
    """With both, each change is told once."""
    if python.version < (3, 12):
        pytest.skip("the limited API of a later version")
    folder = extension(python, "told.c", "-O2", "-DPy_LIMITED_API=0x030c0000")
    traced = run_told(python, folder, record, "--refs")
    truth = json.loads(traced.out)
    recorded, _ = check_steps(traced.trace, python, truth["first"] + truth["again"], "told.c")
    ours = [change for change in recorded.of(counts.ENTRY_POINT)]
    assert sum(change.delta for change in ours) == 0
    assert len(ours) == 4  # Py_IncRef and Py_DecRef, twice each


def test_gobject(target, same):
    program = target("refs/gobject.c", "-l:libgobject-2.0.so.0", "-l:libglib-2.0.so.0")
    traced = same([program], "--refs")
    truth = traced.truth
    recorded = counts.Counts(traced.trace.path)
    changes = recorded.of(counts.GOBJECT)
    deltas = collections.Counter(change.delta for change in changes)
    assert deltas == {1: truth["increments"], -1: truth["decrements"]}, deltas
    assert {recorded.types[change.type] for change in changes if change.address} <= {"GObject", "GInitiallyUnowned"}
    assert [change.count for change in changes[:6]] == [2, 3, 4, 3, 2, 1]
    assert all(recorded.kinds(change)[0] == counts.NATIVE for change in changes)


@pytest.fixture
def pairs_program(target):
    library = target("refs/pairs.c", "-shared", "-DLIBRARY", name="libthings.so")
    return target("refs/pairs.c", library, f"-Wl,-rpath,{library.parent}")


def test_pairs(pairs_program, same):
    traced = same([pairs_program], "--ref-functions", "ref=thing_ref,unref=thing_unref", "--ref-functions",
                  "unref=other_unref,ref=other_ref,arg=2")
    assert traced.truth == {"right": True, "count": 7}
    recorded = counts.Counts(traced.trace.path)
    deltas = collections.Counter((change.delta, change.ordinal is None) for change in recorded.of(counts.PAIR))
    assert deltas == {(1, False): 25 + 7, (-1, False): 20 + 6}, deltas
    assert all(recorded.kinds(change)[0] == counts.NATIVE for change in recorded.changes)
    assert len(recorded.changes) == 58


@pytest.mark.parametrize("text, complaint", [
    ("thing_ref", "must be ref=NAME,unref=NAME[,arg=N]"),
    ("ref=a", "must be ref=NAME"),
    ("ref=a,unref=b,ref=c", "must be ref=NAME"),
    ("ref=a,unref=b,", "must be ref=NAME"),
    ("ref=a,unref=b,arg=7", "arg must be from 1 to 6"),
    ("ref=a,unref=b,arg=", "arg must be from 1 to 6"),
    ("ref=a b,unref=c", "must be the symbol of a function"),
    ("ref=,unref=c", "must be the symbol of a function"),
    ("ref=a,unref=a", "names a function twice"),
])
def test_wrong_pairs(text, complaint, record):
    traced = record(["/bin/true"], "--ref-functions", text)
    assert traced.status == traces.EXIT_USAGE and not traced.trace.path.exists()
    assert complaint in traced.err and len(traced.err.splitlines()) == 1
