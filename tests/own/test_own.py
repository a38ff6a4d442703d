"""
heapsake, checked by itself: what the analyzer needs for a trace that is always the same, and that it loses none of it.

    tests/own/test_own.py --rewrite     accepts what it needs now, as NAME.baseline
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # as a script, for support
from support import traces  # noqa: E402
from support.made_traces import made  # noqa: E402

LIMITS, SUPPRESSIONS = HERE / "own.limits", HERE / "own.suppressions"

COMMANDS = {  # TRACE is the trace
    "summary": "summary TRACE", "peak": "peak TRACE", "leaks": "leaks --all TRACE", "cycles": "cycles TRACE",
    "diff": "diff TRACE@1s TRACE", "check": "check --no-leaks=growing --max-peak 1TB TRACE",
    "pprof": "export --format pprof --what allocated -o - TRACE",
}


def description(pages=40_000):
    """
    A program with 2,000 functions that keeps most of its pages, each with a buffer: some lose their buffer, some hold each
    other in cycles that nothing holds, some have a reference too many. For tests/unit/make_graph.h.
    """
    lines = ["type app.Page gc heap", "type app.Pages gc heap", "root main interpreter modules"]
    for module in range(40):
        lines.append(f"stack m{module} <module> mod{module}.py 1")
        lines += [f"stack s{module}.{number} f{number} mod{module}.py {10 * number + 5} m{module}" for number in range(50)]
    stacks = [f"s{number % 40}.{number * 7 % 50}" for number in range(2000)]
    lines += [line for number, stack in enumerate(stacks)
              for line in (f"block t{number} {5000 + number} stack={stack}", f"free t{number}")]
    lines += ["object pages app.Pages size=64 tracked", "edge main pages key pages"]
    for number in range(pages):
        stack = stacks[number % len(stacks)]
        if number % 200 == 0:
            lines.append(f"time {100 + number // 20}")
        lines.append(f"object p{number} app.Page size={48 + number % 5 * 16} stack={stack} tracked"
                     + (" refs=+1" if number % 9 == 0 else ""))
        lines.append(f"block b{number} {100 + number % 13 * 8} stack={stack}")
        if number % 4:
            lines.append(f"edge p{number} b{number} owns 16")
        if number % 3:
            lines.append(f"edge pages p{number} value k{number % 100}")
        elif number > 3:
            lines += [f"edge p{number} p{number - 3} attribute before", f"edge p{number - 3} p{number} attribute after"]
    return "\n".join([*lines, f"time {200 + pages // 20}", "snapshot exit", ""])


def fixed_trace(folder):
    return made(folder / "fixed.hsk", description())


def recorded(name, trace):
    """The trace of heapsake while it reads the other one."""
    words = [trace.name + word[5:] if word.startswith("TRACE") else word for word in COMMANDS[name].split()]
    own = trace.with_name(f"own-{name}.hsk")
    traced = traces.record(own, [traces.heapsake_binary(), *words], "--native", "--force", cwd=trace.parent)
    assert traced.status in (0, 1), traced.result
    return own


def sanitized():
    """A sanitizer's allocator is not ours to judge."""
    binary = traces.heapsake_binary().read_bytes()
    return any(word in binary for word in (b"__asan_init", b"__tsan_init", b"__msan_init", b"__ubsan_handle"))


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    if sanitized():
        pytest.skip("heapsake is built with a sanitizer")
    return fixed_trace(tmp_path_factory.mktemp("own"))


@pytest.mark.parametrize("name", COMMANDS)
def test_own(trace, name):
    own = recorded(name, trace)
    done = traces.heapsake("check", "--limits", LIMITS, "--baseline", HERE / f"{name}.baseline", "--suppressions",
                           SUPPRESSIONS, own)
    assert done.status == 0, done


def test_own_limits_bite(trace):
    """The gate is no formality: a byte less than what is needed, and it says who needs it."""
    own = recorded("leaks", trace)
    measured = json.loads(traces.heapsake("check", "--json", "--max-peak", "1 GB", own).ok().out)["measured"]
    assert measured["peak_bytes"] > 5_000_000, "the trace is too small to tell anything"
    done = traces.heapsake("check", "--json", "--max-peak", measured["peak_bytes"] - 1, own)
    where = json.loads(done.out)["violations"][0]["where"]
    assert done.status == 1 and os.path.basename(where["module"]) == "heapsake", where


def rewrite():
    with tempfile.TemporaryDirectory() as name:
        trace = fixed_trace(Path(name))
        for command in COMMANDS:
            traces.heapsake("check", "--write-baseline", HERE / f"{command}.baseline", "--suppressions", SUPPRESSIONS,
                            recorded(command, trace)).ok()


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit(f"usage: {os.path.basename(sys.argv[0])} --rewrite   (or run it with pytest)")
    rewrite()
