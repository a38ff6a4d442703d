#!/usr/bin/env python3
"""
What attaching costs a program while it lasts, and that it costs nothing afterwards.

    bench/attach_cost.py [--build build] [--python PYTHON] [--runs 5]

A program counts how often it does its work in each quarter of a second, before, while it is attached to, and after it was left.
A line per program: the medians, and their ratios to that before. The bar for "after" is 1.00 +- 0.03, over all runs together.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WINDOWS = 12  # of a quarter of a second, before and after

PYTHON = """
import json, sys, time
data = {"items": [{"id": i, "name": "item %d" % i, "tags": ["a", "b", "c"]} for i in range(20)]}
def work():
    json.loads(json.dumps(data))
    return [object() for _ in range(100)]
while True:
    end, count = time.perf_counter() + 0.25, 0
    while time.perf_counter() < end:
        work()
        count += 1
    print(count, flush=True)
"""

C = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(void) {
    for (;;) {
        double end = now() + 0.25; long count = 0;
        while (now() < end) {
            void *volatile blocks[64];
            for (int i = 0; i < 64; i++) blocks[i] = malloc(16 + i * 8);
            for (int i = 0; i < 64; i++) free(blocks[i]);
            count++;
        }
        if (printf("%ld\\n", count) < 0 || fflush(stdout)) return 1;
    }
}
"""


def windows(process, count):
    return [int(process.stdout.readline()) for _ in range(count)]


def one_run(command, heapsake, folder):
    """Counts before, during and after."""
    process = subprocess.Popen([os.fspath(word) for word in command], stdout=subprocess.PIPE)
    try:
        windows(process, 2)
        before = windows(process, WINDOWS)
        attached = subprocess.Popen([heapsake, "attach", "--force", "--duration", "2", "-o", folder / "t.hsk", str(process.pid)],
                                    stderr=subprocess.PIPE, text=True)
        line = attached.stderr.readline()
        assert "attached to" in line, line
        windows(process, 1)
        during = windows(process, 5)
        attached.communicate()
        windows(process, 4)  # the recorder ends, and the last snapshot's memory is given back
        after = windows(process, WINDOWS)
    finally:
        process.kill()
        process.communicate()
    return before, during, after


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    heapsake = ROOT / options.build / "analyzer/heapsake"
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["gcc", "-O2", "-x", "c", "-o", folder / "c", "-"], input=C.encode(), check=True)
        for what, command in (("C, malloc and free", [folder / "c"]), ("Python, json", [options.python, "-c", PYTHON])):
            runs = [one_run(command, heapsake, folder) for _ in range(options.runs)]
            during = [statistics.median(run[0]) / statistics.median(run[1]) for run in runs]
            after = [statistics.median(run[0]) / statistics.median(run[2]) for run in runs]
            median = statistics.median(after)
            good &= 0.97 <= median <= 1.03
            print(f"{what:20} attached: {statistics.median(during):.2f} times the time; left: {median:.3f} "
                  f"({min(after):.3f}-{max(after):.3f})", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
