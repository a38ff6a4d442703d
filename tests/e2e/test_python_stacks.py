"""Python stacks, frame by frame: what the trace says of a block against what sys._getframe said when it was made."""

import pytest

from support.building import TARGETS


def frames_of(event):
    return [[frame["file"], frame["function"], frame["line"]] for frame in event["stack"]
            if frame["language"] == "python"]


@pytest.mark.parametrize("options", [(), ("--native",)], ids=["python", "native"])
def test_every_kind_of_frame(python, record, options):
    traced = record([python.path, TARGETS / "py_stacks.py"], *options, timeout=120)
    traced.result.ok()
    truth = {case["size"]: case["stack"] for case in traced.truth["cases"]}
    assert len(truth) > 200
    seen = {event["size"]: event for event in traced.trace.whole().allocations(*truth, stacks=True)}
    assert seen.keys() == truth.keys()
    for size, stack in truth.items():
        assert frames_of(seen[size]) == stack, (size, seen[size])
    if options:
        native = [sum(frame["language"] == "native" for frame in event["stack"]) for event in seen.values()]
        assert min(native) > 3


def test_native_frames_lie_between_their_python_frames(python, record):
    """A call from Python through C to Python: the C function's frames are between the two."""
    code = """
def inner(_):
    return bytes(123_457)
def outer():
    return list(map(inner, [1]))
outer()
"""
    traced = record([python.path, "-c", code], "--native")
    traced.result.ok()
    blocks = traced.trace.whole().allocations(*range(123_457, 123_600), stacks=True)
    assert len(blocks) == 1
    stack = blocks[0]["stack"]
    languages = [frame["language"] for frame in stack]
    functions = [frame["function"] for frame in stack]
    assert languages[0] == "native" and languages[-1] == "native"
    assert functions.index("inner") < functions.index("outer") < functions.index("<module>")
    if python.version >= (3, 11):  # before, every Python frame is outermost: which eval loop ran it is not known
        between = languages[functions.index("inner") + 1:functions.index("outer")]
        assert between and set(between) == {"native"}
        assert functions.index("outer") + 1 == functions.index("<module>")
