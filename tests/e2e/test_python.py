"""CPython: every interpreter found, default allocators and the others, the interpreter's own counts against the trace."""

import json
import os
import signal
from pathlib import Path

import pytest

from support import running, traces
from support.building import ROOT, TARGETS
from support.running import clean_environment

WORKLOADS = ROOT / "bench" / "workloads"

PY_DOMAINS = ("py_raw", "py_mem", "py_object")


def counted(python, target, argv, **environment):
    """What the interpreter's own hooks count: a preload that wraps its allocators and prints numbers at the end."""
    counter = target("py_count.c", "-shared", "-ldl", name="libpycount.so")
    path = environment.pop("counts_file")
    done = running.run([python.path, *argv],
                       env=clean_environment(LD_PRELOAD=counter, COUNTS_FILE=path, **environment), timeout=120)
    done.ok()
    counts = json.loads(path.read_text())
    assert counts["installed"] == 1, counts
    return done, counts


@pytest.mark.parametrize("workload, argument, script_functions", [
    ("parse.py", "8", {"<module>"}),
    ("jsonw.py", "10", {"<module>"}),
    ("objs.py", "20000", {"Pair.__init__", "leaf", "descend", "main"}),
    # the sizes that benchmarks use, some seconds each
    pytest.param("parse.py", "60", {"<module>"}, marks=pytest.mark.slow),
    pytest.param("jsonw.py", "300", {"<module>"}, marks=pytest.mark.slow),
    pytest.param("objs.py", "300000", {"Pair.__init__", "leaf", "descend", "main"}, marks=pytest.mark.slow),
])
def test_workload(python, target, record, tmp_path, workload, argument, script_functions):
    argv = [WORKLOADS / workload, argument]
    plain, counts = counted(python, target, argv, counts_file=tmp_path / "counts.json")
    traced = record([python.path, *argv], timeout=120)
    traced.result.ok()
    assert traced.out == plain.out and plain.out.strip().isdigit()
    assert traced.err.startswith(plain.err)

    trace = traced.trace.whole()
    summary = trace.summary
    assert summary["process"]["python_version"].startswith("{}.{}.{}".format(*python.version))
    for domain in PY_DOMAINS:
        seen, known = trace.domain(domain), counts[domain]
        for key in ("allocations", "frees"):
            allowed = known[key] * 0.001 + 50
            assert abs(seen[key] - known[key]) <= allowed, (domain, key, seen[key], known[key])
    known = sum(counts[domain]["allocations"] for domain in PY_DOMAINS)
    seen = sum(trace.domain(domain)["allocations"] for domain in PY_DOMAINS)
    assert known > 100_000
    assert abs(seen - known) <= known * 0.001, (seen, known)

    in_script = [frame for site in trace.peak["sites"] for frame in site["stack"]
                 if frame["file"] == str(WORKLOADS / workload)]
    assert script_functions <= {frame["function"] for frame in in_script}
    lines = (WORKLOADS / workload).read_text().splitlines()
    for frame in in_script:
        assert frame["language"] == "python"
        assert 1 <= frame["line"] <= len(lines), frame


def test_lines(python, record):
    """A block's stack is exactly the calls that made it: functions, files and lines."""
    script = TARGETS / "py_lines.py"
    traced = record([python.path, script])
    truth = json.loads(traced.out)
    trace = traced.trace.whole()
    for case in truth["cases"]:
        stacks = [[(frame["function"], frame["line"]) for frame in leak["stack"] if frame["file"] == str(script)]
                  for leak in trace.peak["sites"] if case["bytes"] <= leak["bytes"] <= case["bytes"] + 2000]  # the list that keeps them grows, too
        assert [tuple(frame) for frame in case["stack"]] in stacks, (case, stacks)


@pytest.mark.parametrize("setting", ["malloc", "debug", "malloc_debug", "pymalloc", "pymalloc_debug", "default"])
def test_pythonmalloc(python, record, setting):
    code = "x = [bytes(1000) for _ in range(3000)]; print(len(x))"
    traced = record([python.path, "-c", code], env=clean_environment(PYTHONMALLOC=setting))
    traced.result.ok()
    assert traced.out == "3000\n"
    trace = traced.trace.whole()
    top = trace.peak["sites"][0]
    assert 3000 <= top["count"] < 3020
    assert 3000 * 1000 < top["bytes"] < 3000 * 1150
    assert top["stack"][0]["language"] == "python" and top["stack"][0]["file"] == "<string>"
    assert trace.domain("py_object")["allocations"] > 3000


def test_developer_mode(python, same):
    traced = same([python.path, "-X", "dev", "-c", "import sys; print(sys.flags.dev_mode, len([[] for _ in range(999)]))"])
    assert traced.trace.domain("py_object")["allocations"] > 1000


def test_one_allocation_is_one_event(python, record, target, trace_file):
    """A large bytes object passes through PyObject_Malloc, PyMem_RawMalloc and malloc, and counts once."""
    runs = {}
    for count in (0, 500):
        code = f"x = [bytes(10000) for _ in range({count})]; x = None"
        traced = record([python.path, "-c", code], path=trace_file.with_name(f"{count}.hsk"))
        runs[count] = traced.trace.whole()
    large = range(10_000, 10_100)
    assert len(runs[500].allocations(*large)) - len(runs[0].allocations(*large)) == 500
    for domain in ("malloc", "py_raw"):
        assert abs(runs[500].domain(domain)["allocations"] - runs[0].domain(domain)["allocations"]) < 50


def test_tracemalloc_inside(python, record):
    code = """
import tracemalloc
tracemalloc.start(5)
kept = [bytes(2000) for _ in range(1000)]
size, peak = tracemalloc.get_traced_memory()
tracemalloc.stop()
more = [bytes(2001) for _ in range(1000)]
print(size > 2000 * 1000)
"""
    traced = record([python.path, "-c", code])
    traced.result.ok()
    assert traced.out == "True\n"
    trace = traced.trace.whole()
    assert len(trace.allocations(2033)) == 1000
    # What tracemalloc.stop() puts back may be the hooks of before: then nothing is missed.
    assert len(trace.allocations(2034)) == 1000


@pytest.mark.parametrize("script", ["py_threads.py", "py_generators.py", "py_churn.py", "py_deep.py", "py_errors.py",
                                    "py_subprocess.py", "py_fork.py"])
def test_same_as_untraced(python, same, script):
    traced = same([python.path, TARGETS / script], timeout=120)
    assert traced.out.strip()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(python, same, method):
    if not python.has("_multiprocessing"):
        pytest.skip("this interpreter has no multiprocessing")
    traced = same([python.path, TARGETS / "py_multiprocessing.py", method], timeout=120)
    if traced.status:  # untraced too: `same` has compared
        pytest.skip(f"multiprocessing itself does not work here: {traced.err.splitlines()[:1]}")
    children = traced.trace.children()
    assert len(children) >= 2
    marked = 0
    for child in children:
        traces.settled(child).whole()
        marked += bool(child.allocations(*range(7770, 7850)))
    assert marked >= 1, "no child's own work is in any trace"


@pytest.mark.parametrize("code, status", [
    ("import sys; sys.exit(0)", 0),
    ("import sys; sys.exit(42)", 42),
    ("import sys; sys.exit('words')", 1),
    ("import os; os._exit(43)", 43),
    ("raise ValueError('unhandled')", 1),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 128 + 15),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
    ("import signal, os; os.kill(os.getpid(), signal.SIGINT)", 128 + 2),
    ("import os; os.abort()", 128 + 6),
    ("import ctypes; ctypes.string_at(8)", 128 + 11),
])
def test_ends(python, same, code, status):
    if "ctypes" in code and not python.has("_ctypes"):
        pytest.skip("this interpreter has no ctypes")
    traced = same([python.path, "-c", code])
    assert traced.status == status
    assert traced.trace.exit == ((status, None) if status < 128 else (None, status - 128))


def test_code_that_comes_and_goes(python, record):
    """Code objects are reused addresses: each block is named by the code that made it, not by a former tenant."""
    traced = record([python.path, TARGETS / "py_churn.py"])
    truth = json.loads(traced.out)
    trace = traced.trace.whole()
    found = {}
    for site in trace.leaks["leaks"]:
        names = [frame["function"] for frame in site["stack"] if frame["function"].startswith("made_")]
        if names and site["bytes"] > 5000:
            found[names[0]] = site
    assert set(truth["kept"]) <= set(found), (truth, sorted(found))
    for name in truth["kept"]:
        number = int(name.removeprefix("made_"))
        frame = next(frame for frame in found[name]["stack"] if frame["function"] == name)
        assert frame["file"] == f"<generated {number}>"
        assert frame["line"] == 2 + number % 5


def test_ctrl_c(python, trace_file, started):
    code = "import time; x = [bytes(3000) for _ in range(100)]; print('ready', flush=True); time.sleep(60)"
    process = started([*traces.command(trace_file), python.path, "-c", code])
    assert process.stdout.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGINT)
    done = running.finish(process)
    assert done.status == 128 + signal.SIGINT
    assert "KeyboardInterrupt" in done.err
    trace = traces.Trace(trace_file).whole()
    assert any(100 <= site["count"] < 120 and site["bytes"] > 300_000 for site in trace.peak["sites"])


def test_embedded(python, target, record):
    """A program that opens libpython late, runs it, finalizes it, and does all that again."""
    if not python.library:
        pytest.skip("this interpreter has no shared library")
    argv = [target("embed.c", "-ldl"), python.library, "3"]
    traced = record(argv)
    traced.result.ok()
    assert traced.out == "".join(f"round {number}: 2000\n" for number in range(3))
    trace = traced.trace.whole()
    assert trace.domain("py_object")["allocations"] > 3 * 2000
    assert trace.summary["process"]["python_version"].startswith("{}.{}.".format(*python.version))
    # It began as a native program, so its stacks have the C functions around Python's, too.
    top = trace.peak["sites"][0]
    assert 1990 <= top["count"] < 2020  # the first calls may go another way than those of a line that is warm
    assert {"embedded_work", "main"} <= {frame["function"] for frame in top["stack"]}


def test_native_frames(python, record):
    """--native: Python frames stand where the interpreter's own were, with C frames around them."""
    code = "import json\ndef outer():\n    return json.loads('[' + ','.join(['1.5'] * 50000) + ']')\nx = outer()\n"
    traced = record([python.path, "-c", code], "--native")
    traced.result.ok()
    trace = traced.trace.whole()
    best = max((site for site in trace.peak["sites"]
                if "outer" in [frame["function"] for frame in site["stack"]]), key=lambda site: site["count"])
    languages = [frame["language"] for frame in best["stack"]]
    assert "native" in languages and "python" in languages
    functions = [frame["function"] for frame in best["stack"]]
    assert functions.index("loads") < functions.index("outer") < functions.index("<module>")
    assert "_PyEval_EvalFrameDefault" not in functions


def test_shims(python, record, tmp_path):
    """env, sh -c 'exec ...' and scripts: FILE holds the interpreter's trace."""
    script = tmp_path / "tool"
    script.write_text(f"#!{python.path}\nimport sys\nprint(sys.argv[1:])\n")
    script.chmod(0o755)
    for number, argv in enumerate((["env", python.path, "-c", "print(1)"],
                                   ["sh", "-c", 'exec "$0" -c "print(1)"', python.path],
                                   [script, "a", "b"])):
        traced = record(argv, path=tmp_path / f"{number}.hsk")
        traced.result.ok()
        assert traced.trace.whole().summary["process"]["python_version"], argv


def test_pyenv_shim(python, record):
    """pyenv's python3 execs several images in one pid and starts dozens of programs; FILE is the interpreter."""
    shim = Path.home() / ".pyenv" / "shims" / "python3"
    versions = Path.home() / ".pyenv" / "versions"
    if not shim.exists() or not Path(python.path).is_relative_to(versions):
        pytest.skip("not an interpreter of pyenv's")
    version = Path(python.path).relative_to(versions).parts[0]
    traced = record([shim, "-c", "x = [bytes(4000) for _ in range(300)]; print(len(x))"],
                    env=clean_environment(PYENV_VERSION=version))
    traced.result.ok()
    assert traced.out == "300\n"
    trace = traced.trace.whole()
    assert trace.summary["process"]["python_version"].startswith("{}.{}.{}".format(*python.version))
    assert any(300 <= site["count"] < 320 and site["bytes"] > 1_200_000 for site in trace.peak["sites"])
    earlier = [image for image in trace.children() if image.path.name.startswith(f"t.{trace.summary['process']['pid']}.")]
    assert earlier


def test_preloaded(python, trace_file):
    """Bare LD_PRELOAD, with the interpreter unaware of it."""
    code = "import os; x = [bytes(5000) for _ in range(200)]; print(sorted(n for n in os.environ if 'HEAPSAKE' in n or 'PRELOAD' in n))"
    traced = traces.preloaded(trace_file, [python.path, "-c", code])
    traced.result.ok()
    assert traced.out == "[]\n"
    assert traced.err == ""
    trace = traces.settled(traced.trace).whole()
    assert any(200 <= site["count"] < 220 and site["bytes"] > 1_000_000 for site in trace.peak["sites"])


def test_other_interpreters_still_run(other_python, record):
    """Versions whose insides are not known: the program is unharmed, and its memory is seen where it can be."""
    code = "x = [str(i) * 300 for i in range(2000)]; print(len(x))"
    plain = running.run([other_python.path, "-c", code])
    traced = record([other_python.path, "-c", code])
    assert traced.status == plain.status == 0, f"{traced.result}"
    assert traced.out == plain.out == "2000\n"
    trace = traced.trace.whole()
    assert trace.summary["memory"]["allocated_bytes"] > 2000 * 300
