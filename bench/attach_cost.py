#!/usr/bin/env python3
"""
What attaching costs a program while it lasts, and that it costs nothing afterwards.

    bench/attach_cost.py [--build build] [--python PYTHON] [--runs 5] [--only WORDS]

Two processes of a program do the same work in turn, a piece at a time: one is attached to and left, the other is not. Each
tells the processor time of each piece; what is compared is the ratio of the two, before, while the one is attached to, and
after it was left. So whatever else changes meanwhile, the processor's clock or its other half's load, changes both. A line
per program: both ratios over that before, medians and extremes of all runs. The bar for "left" is 1.00 +- 0.03.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIECES = 40  # before and after

PYTHON = """
import json, sys, time
data = {"items": [{"id": i, "name": "item %d" % i, "tags": ["a", "b", "c"]} for i in range(20)]}
def work():
    json.loads(json.dumps(data))
    return [object() for _ in range(100)]
for line in sys.stdin:
    begin = time.process_time()
    for _ in range(300):
        work()
    print(time.process_time() - begin, flush=True)
"""

# usage: c SIZE [thread]: blocks of SIZE bytes and some more; with a thread before anything else. Up to 1,032 bytes they come from
# malloc's caches of each thread.
C = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static void *nothing(void *unused) { return unused; }
int main(int argc, char **argv) {
    int size = atoi(argv[1]);
    pthread_t thread;
    if (argc > 2 && (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL))) return 1;
    for (int c; (c = getchar()) != EOF;) {
        double begin = now();
        for (int n = 0; c == '\\n' && n < 5000; n++) {
            void *volatile blocks[64];
            for (int i = 0; i < 64; i++) blocks[i] = malloc(size + i * 8);
            for (int i = 0; i < 64; i++) free(blocks[i]);
        }
        if (c == '\\n' && (printf("%.9f\\n", now() - begin) < 0 || fflush(stdout))) return 1;
    }
    return 0;
}
"""


class Worker:
    def __init__(self, command):
        self.process = subprocess.Popen([os.fspath(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def piece(self):
        """Seconds of processor time."""
        self.process.stdin.write(b"\n")
        return float(self.process.stdout.readline())

    def end(self):
        self.process.kill()
        self.process.communicate()


def ratio(one, other, pieces):
    return statistics.median(one.piece() / other.piece() for _ in range(pieces))


def one_run(command, heapsake, folder):
    """Ratios to that before: while it is attached to, and afterwards."""
    one, other = Worker(command), Worker(command)
    try:
        ratio(one, other, 5)
        before = ratio(one, other, PIECES)
        attached = subprocess.Popen([heapsake, "attach", "--force", "-o", folder / "t.hsk", str(one.process.pid)],
                                    stderr=subprocess.PIPE, text=True)
        line = attached.stderr.readline()
        assert "attached to" in line, line
        during = ratio(one, other, 9)
        attached.terminate()
        attached.communicate()
        ratio(one, other, 5)
        after = ratio(one, other, PIECES)
    finally:
        one.end()
        other.end()
    return during / before, after / before


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    heapsake = ROOT / options.build / "analyzer/heapsake"
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["gcc", "-O2", "-x", "c", "-pthread", "-o", folder / "c", "-"], input=C.encode(), check=True)
        for what, command in (("C, small blocks", [folder / "c", "16"]), ("C, large blocks", [folder / "c", "1100"]),
                              ("C, small blocks, had a thread", [folder / "c", "16", "thread"]),
                              ("C, large blocks, had a thread", [folder / "c", "1100", "thread"]),
                              ("Python, json", [options.python, "-c", PYTHON])):
            if options.only not in what:
                continue
            runs = [one_run(command, heapsake, folder) for _ in range(options.runs)]
            during, after = [[run[i] for run in runs] for i in (0, 1)]
            median = statistics.median(after)
            good &= 0.97 <= median <= 1.03
            print(f"{what:32} attached: {statistics.median(during):.2f} times the time; left: {median:.3f} "
                  f"({min(after):.3f}-{max(after):.3f})", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
