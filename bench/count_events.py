#!/usr/bin/env python3
"""
What telling a change of a count costs: processor time of the program for each Py_INCREF and Py_DECREF of an instrumented
extension, and for each call of Py_IncRef and Py_DecRef, at two depths of the Python stack.

    bench/count_events.py [BUILD [PYTHON]]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNT, ROUNDS = 500_000, 5
CODE = """
import importlib, sys
module, depth = importlib.import_module(sys.argv[1]), int(sys.argv[2])
class Item: pass
item = Item()
def go(left):
    return go(left - 1) if left else min(module.spin(item, %d) for _ in range(%d)) / %d
print("%%.1f" %% go(depth))
""" % (COUNT, ROUNDS, 2 * COUNT)


def build(folder, source, include, *flags):
    folder.mkdir(exist_ok=True)
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", *flags, f"-I{include}", "-o", folder / f"{source}.so",
                    ROOT / f"tests/targets/refs/{source}.c"], check=True)
    return folder


def main():
    heapsake = ROOT / (sys.argv[1] if len(sys.argv) > 1 else "build") / "analyzer/heapsake"
    python = sys.argv[2] if len(sys.argv) > 2 else sys.executable
    ask = "import sysconfig; print(sysconfig.get_path('include'))"
    include = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    told = subprocess.run([heapsake, "--python-include"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        plain = build(folder / "plain", "told", include)
        instrumented = build(folder / "instrumented", "told", include, f"-I{told}")
        entry = build(folder / "entry", "entry", include)
        run = [heapsake, "run", "--force", "--on-full=drop", "--no-snapshot", "-o", folder / "t.hsk"]
        rows = (("inlined, as it was", [], plain, "told"), ("instrumented, not traced", [], instrumented, "told"),
                ("instrumented, traced", [*run, "--"], instrumented, "told"), ("called", [], entry, "entry"),
                ("called, traced with --refs", [*run, "--refs", "--"], entry, "entry"))
        print(f"ns for each change{'':10} {'depth 5':>10} {'depth 50':>10}")
        for name, words, path, module in rows:
            figures = []
            for depth in (5, 50):
                done = subprocess.run([*words, python, "-c", CODE, module, str(depth)], capture_output=True, text=True,
                                      check=True, env={"PYTHONPATH": str(path), "PATH": "/usr/bin:/bin"})
                figures.append(float(done.stdout))
            print(f"{name:28} {figures[0]:>10} {figures[1]:>10}")


if __name__ == "__main__":
    main()
