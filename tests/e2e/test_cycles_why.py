"""Cycles by pattern with the edge to weaken, and the paths that keep objects alive, as a person reads code."""

import re

import pytest

from support import leak_programs, traces

CYCLES = {  # program and variant: types in the pattern, names in it, the edge to make weak
    ("parents_and_children", "disabled"): (("Parent", "Child"), ("children", "parent"), ("Child", "parent", "Parent")),
    ("parents_and_children", "frozen"): (("Parent", "Child"), ("children", "parent"), ("Child", "parent", "Parent")),
    ("finalizers", "del_disabled"): (("Resource", "Owner"), ("owner", "resource"), ("Resource", "owner", "Owner")),
    ("cycles_through_c", "no_traverse"): (("Node", "Box"), ("link",), None),
    ("cycles_through_c", "partial_traverse"): (("Node", "PartialPair"), ("link",), None),
}
CYCLE_CASES = [case for case in leak_programs.cases("parents_and_children", "finalizers", "cycles_through_c")
               if (case.program.name, case.variant) in CYCLES]


@pytest.mark.parametrize("case", CYCLE_CASES, ids=lambda case: case.name)
def test_cycle(case, record):
    types, names, weaken = CYCLES[case.program.name, case.variant]
    traced = record(case.argv, env=leak_programs.environment_of(case))
    traced.result.ok()
    truth = traced.truth
    cycles = traced.trace.json("cycles")["cycles"]
    garbage = [cycle for cycle in cycles if cycle["status"] == "garbage" and truth["type"].split(".")[-1] in cycle["pattern"]]
    assert len(garbage) == 1, [(cycle["status"], cycle["count"], cycle["pattern"]) for cycle in cycles]
    cycle = garbage[0]
    assert truth["count"] * 0.95 - 1 <= cycle["count"] <= truth["count"] + 2, cycle
    assert cycle["objects"] >= truth["count"] * len(types) * 0.95, cycle
    for name in (*types, *names):
        assert re.search(rf"\b{name}\b", cycle["pattern"]), (name, cycle["pattern"])
    assert any(frame["function"] == truth["function"] and frame["file"] == truth["file"] for frame in cycle["stack"])
    nodes = {end for edge in cycle["edges"] for end in (edge["from"], edge["to"])}
    assert all(any(name in node for node in nodes) for name in types), cycle["edges"]
    if weaken:
        source, name, target = weaken
        found = cycle["weaken"]
        assert found and source in found["from"] and name in found["name"] and target in found["to"], cycle


@pytest.mark.parametrize("case", [case for case in leak_programs.cases("parents_and_children", "cycles_through_c")
                                  if case.variant in ("collected", "complete_traverse")], ids=lambda case: case.name)
def test_collected_cycles_are_few(case, record):
    """What the collector has not come to yet may be there; what it has collected is not."""
    traced = record(case.argv, env=leak_programs.environment_of(case))
    traced.result.ok()
    for cycle in traced.trace.json("cycles")["cycles"]:
        if cycle["status"] == "garbage" and re.search(r"\b(Parent|Node)\b", cycle["pattern"]):
            assert cycle["count"] < 400, cycle


def path_text(path):
    """A path as one line, the names alone."""
    return " ".join([path["root"], *(edge["name"] for edge in path["edges"])])


def in_order(words, text):
    position = 0
    for word in words:
        position = text.find(word, position)
        if position < 0:
            return False
        position += len(word)
    return True


@pytest.fixture(scope="module")
def paths(python, tmp_path_factory):
    """The trace of paths.py, once for each interpreter."""
    file = tmp_path_factory.mktemp(f"paths-{python.name}") / "t.hsk"
    traced = traces.record(file, [python.path, leak_programs.FOLDER / "paths.py"])
    traced.result.ok()
    return traced


KINDS = ("InDict", "InSlot", "InList", "InClosure", "InDefault", "InGenerator", "InClass", "InDeque", "InBound",
         "InTraceback", "InFrame")


@pytest.mark.parametrize("kind", KINDS)
def test_why(paths, kind):
    truth = paths.truth
    assert set(truth["held"]) == set(KINDS)
    by_type = paths.trace.why(f"__main__.{kind}")
    assert by_type["object"]["type"] == f"__main__.{kind}"
    assert by_type["paths"], by_type
    # the shortest is first, and has all names; the interpreter may know further ways
    text = path_text(by_type["paths"][0])
    assert in_order(truth["held"][kind], text), text
    for edge, following in zip(by_type["paths"][0]["edges"], by_type["paths"][0]["edges"][1:]):
        assert edge["to"] == following["from"], by_type["paths"][0]
    assert kind in by_type["paths"][0]["edges"][-1]["to"]

    ordinal, address = by_type["object"]["ordinal"], by_type["object"]["address"]
    for name in (f"#{ordinal}", address):
        again = paths.trace.why(name)
        assert again["object"]["ordinal"] == ordinal and again["object"]["type"] == f"__main__.{kind}"
        assert again["paths"] == by_type["paths"]


def test_why_as_text(paths):
    done = traces.heapsake("why", paths.trace.path, "__main__.InDict").ok()
    assert in_order(["__main__", "cache", "['u42']", "user"], done.out), done.out


def test_module_of_a_package(python, tmp_path, trace_file):
    """A dotted name is told of modules, and of nothing else."""
    package = tmp_path / "shop" / "stock"
    package.mkdir(parents=True)
    for folder in package, package.parent:
        (folder / "__init__.py").write_text("")
    (package / "books.py").write_text("kept = []\n")
    (tmp_path / "main.py").write_text(
        "from shop.stock import books\nclass Book: pass\nclass Box: pass\nbooks.kept.append(Book())\n"
        "boxes = {'.'.join(['alice', 'example']): Box()}\n")
    traced = traces.record(trace_file, [python.path, tmp_path / "main.py"])
    traced.result.ok()
    said = traces.heapsake("why", trace_file, "__main__.Book").ok().out
    assert "module shop.stock.books → kept (list) → [0]" in said, said
    said = traces.heapsake("why", trace_file, "__main__.Box").ok().out
    assert "module __main__ → boxes (dict) → [<str>]" in said, said


def test_module_that_the_interpreter_holds(python, tmp_path, trace_file):
    (tmp_path / "main.py").write_text(
        "import sys, builtins\nclass Book: pass\nclass Box: pass\nsys.kept = [Book()]\nbuiltins.boxes = {'u42': Box()}\n")
    traces.record(trace_file, [python.path, tmp_path / "main.py"]).result.ok()
    assert "    module sys → kept (list) → [0]\n" in traces.heapsake("why", trace_file, "__main__.Book").ok().out
    assert "    module builtins → boxes (dict) → ['u42']\n" in traces.heapsake("why", trace_file, "__main__.Box").ok().out


def test_why_of_what_is_not_there(paths):
    """An object that only a weak reference knew is gone; what never was is not found either."""
    for name in ("__main__.WeaklyHeld", "__main__.Nothing", "#99999999", "0x10"):
        done = traces.heapsake("why", paths.trace.path, name)
        assert done.status in (traces.EXIT_USAGE, traces.EXIT_UNUSABLE), f"{name}: {done}"
        assert done.out == "" and done.err.startswith("heapsake: ") and done.err.count("\n") == 1, f"{done}"
