"""
The programs of tests/targets/leaks: which there are, how one is run, and whether a report of leaks says what the
program said of itself.
"""

import re
from dataclasses import dataclass

import pytest

from . import building, interpreters
from .running import clean_environment

FOLDER = building.TARGETS / "leaks"
SURE = 0.5  # a report says that something is a leak when its confidence is above this


@dataclass(frozen=True)
class Program:
    scenario: int
    name: str
    variants: tuple
    extension: bool = False  # imports leaky

    @property
    def path(self):
        return FOLDER / f"{self.name}.py"


# The first variant of each leaks, where there is one that does.
PROGRAMS = (
    Program(1, "parents_and_children", ("disabled", "frozen", "collected")),
    Program(2, "registry", ("module_dict", "class_attribute", "weak_values")),
    Program(3, "event_emitter", ("strong", "weak_set", "weak_method")),
    Program(4, "cached_method", ("unbounded", "bounded")),
    Program(5, "closure", ("kept", "run")),
    Program(5, "default_argument", ("shared", "new")),
    Program(5, "unfinished_generator", ("begun", "closed")),
    Program(5, "kept_exception", ("kept", "single", "without_traceback")),
    Program(6, "object_pool", ("unbounded", "bounded")),
    Program(7, "finalizers", ("del_disabled", "legacy", "del_collected"), extension=True),
    Program(7, "cycles_through_c", ("no_traverse", "partial_traverse", "complete_traverse"), extension=True),
    Program(8, "over_referenced", ("error_path", "instance", "dict", "list", "type", "text", "record", "temporary", "balanced",
                                  "held"),
            extension=True),
    Program(9, "extension_buffers", ("forgotten", "freed"), extension=True),
    Program(10, "thread_locals", ("workers", "thread_per_request")),
    Program(10, "asyncio_tasks", ("never_awaited", "answered")),
    Program(10, "logging_handlers", ("added", "removed")),
    Program(11, "fragmentation", ("heap", "arenas", "mapped")),
    Program(12, "plain_start", ("",)),
)


# Of these the first variant runs under a further build of a version, too: how it was built changes where static objects
# and an extension's calls lie, not how the interpreter lays out objects.
OTHER_BUILDS = ("parents_and_children", "registry", "cycles_through_c", "over_referenced", "plain_start")


@dataclass(frozen=True)
class Case:
    """One variant of a program under one interpreter."""

    python: interpreters.Interpreter
    program: Program
    variant: str

    @property
    def name(self):
        return "-".join(part for part in (self.python.name, self.program.name, self.variant) if part)

    @property
    def argv(self):
        return [self.python.path, self.program.path, *([self.variant] if self.variant else [])]

    def environment(self):
        """Raises building.CannotBuild where the extension cannot be built."""
        if not self.program.extension:
            return clean_environment()
        return clean_environment(PYTHONPATH=building.extension("leaks/leaky.c", self.python).parent)


def environment_of(case):
    """The case's environment; the test is skipped where what its extension is built with is not installed."""
    try:
        return case.environment()
    except building.CannotBuild as trouble:
        if "not installed" in str(trouble):
            pytest.skip(str(trouble))
        raise


def cases(*names):
    """
    Every variant (of the named programs) under one interpreter of each minor version; under a further one of the
    same version, which differs in how it was built, the first variant of a handful.
    """
    found, versions = [], set()
    for python in interpreters.traced_interpreters():
        first = python.version[:2] not in versions
        versions.add(python.version[:2])
        for program in PROGRAMS:
            if (not names or program.name in names) and (first or program.name in OTHER_BUILDS):
                found += [Case(python, program, variant) for variant in program.variants[:None if first else 1]]
    return found


def reported(leaks, above=SURE):
    return [leak for leak in leaks["leaks"] if leak["confidence"] > above]


def short(leak):
    """A leak in one line, for a failing test's message."""
    stack = " < ".join(f"{frame['function']}:{frame['line']}" for frame in (leak["stack"] or [])[:5])
    return (f"{leak['cause']} {leak['type']} x{leak['count']} {leak['bytes']} B ({leak['confidence']}) at {stack}; "
            f"why {leak['why']}; {leak['evidence']}; {leak['explanation']}")


def _is_at(leak, file, function):
    frames = [*(leak["stack"] or []), *([leak["culprit"]] if leak["culprit"] else [])]
    return any(frame["function"] == function and (file is None or (frame["file"] or "").endswith(file))
               for frame in frames)


def _numbers(leak):
    def inside(value):
        if isinstance(value, dict):
            for part in value.values():
                yield from inside(part)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield value
    return [leak["bytes"], leak["retained_bytes"] or 0, *inside(leak["evidence"])]


def agrees(truth, leaks, python, native=False):
    """
    Asserts that `leaks` (what `leaks --json` prints) reports the truth of a program and nothing else: the cause, the
    type or one that hangs on it, how many, who made them, and what holds them. `native`: native frames were recorded.
    """
    # Before 3.13 an interpreter does not tell of births: a recycled block has the stack of the object that had it first.
    place_is_known = python.version >= (3, 13) or not truth.get("recycled")
    sure = reported(leaks)
    listing = "\n".join(map(short, sure)) or "nothing, but suspects:\n" + "\n".join(map(short, leaks["leaks"][:5]))
    said = f"\ntruth: {truth}\nreported: {listing}"
    if truth["cause"] is None:
        assert not sure, said
        return
    causes = {truth["cause"], truth.get("or_cause", truth["cause"])}
    types = [truth["type"], *truth.get("parts", ())]
    for leak in sure:
        assert leak["cause"] in causes, f"a wrong cause{said}"
        assert leak["type"] in types, f"a wrong type{said}"
    named = next((name for name in types if any(leak["type"] == name for leak in sure)), "nothing")
    assert named != "nothing", f"not reported{said}"
    main = [leak for leak in sure if leak["type"] == named]
    if named == truth["type"] and place_is_known:
        assert all(_is_at(leak, truth["file"], truth["function"]) for leak in main), f"a wrong place{said}"
    if truth.get("recycled") and named == truth["type"]:
        assert all((leak["evidence"].get("stack_of") == "block") != place_is_known for leak in main), said
    if named != truth["type"]:  # what holds it was made elsewhere in the program
        assert any(frame["file"] == truth["file"] for leak in main for frame in leak["stack"]), f"a wrong place{said}"
    count = sum(leak["count"] for leak in main)
    if named == truth["type"]:
        assert truth["count"] * 0.95 - 1 <= count <= truth["count"] * 1.02 + 2, f"a wrong count: {count}{said}"
    if "bytes" in truth:
        bytes = sum(leak["bytes"] for leak in main)
        assert truth["bytes"] * 0.95 <= bytes <= truth["bytes"] * 1.05, f"wrong bytes: {bytes}{said}"
    if "holder" in truth:
        word = re.compile(rf"\b{re.escape(truth['holder'])}\b")
        assert any(word.search(edge) for leak in main for edge in leak["why"]), f"the holder is not named{said}"
    if "kept_bytes" in truth:
        assert max(number for leak in main for number in _numbers(leak)) >= truth["kept_bytes"] * 0.9, said
    if native and "native" in truth and place_is_known:
        assert any(_is_at(leak, None, truth["native"]) for leak in main), f"the C function is not named{said}"
