#!/usr/bin/python3
"""
What pytest --heapsake costs: a generated suite of small tests, plain, traced, and with --heapsake-no-leaks.

    bench/pytest_cost.py [--tests 500] [--runs 5] [--python PATH] [--realtime]

Prints for each way the least wall time of its runs and how many times that of the plain run it is. The ways take turns, so that a
machine that slows down does so for all; --realtime gives the runs precedence over other work (as root).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

ROOT = Path(__file__).resolve().parent.parent
PER_FILE = 50

HEAD = '''
import collections, json, re

import pytest


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def moved(self, by):
        return Point(self.x + by, self.y + by)


@pytest.fixture
def points():
    return [Point(i, -i) for i in range(40)]


@pytest.fixture(scope="module")
def words():
    return [f"word{i % 7}" for i in range(200)]
'''

TESTS = [
    '''
def test_{n}():
    assert sorted(range(20, 0, -1))[0] == 1
''',
    '''
def test_{n}(points):
    moved = [point.moved({n}) for point in points]
    assert moved[3].x == 3 + {n}
''',
    '''
def test_{n}(words):
    counts = collections.Counter(words)
    assert len(counts) == 7
''',
    '''
def test_{n}(tmp_path):
    file = tmp_path / "data.json"
    file.write_text(json.dumps({{"key": list(range(30))}}))
    assert json.loads(file.read_text())["key"][-1] == 29
''',
    '''
@pytest.mark.parametrize("value", [{n}, {n} + 1])
def test_{n}(value):
    with pytest.raises(ZeroDivisionError):
        value / 0
''',
    '''
def test_{n}():
    assert re.sub("[aeiou]", "", "generated test {n}") == "gnrtd tst {n}"
''',
]


def write_suite(folder, tests):
    for first in range(0, tests, PER_FILE):
        texts = []
        left = min(PER_FILE, tests - first)
        n = first
        while left > 0:
            text = TESTS[n % len(TESTS)]
            takes = 2 if "parametrize" in text else 1
            if takes > left:
                text, takes = TESTS[0], 1
            texts.append(text.format(n=n))
            left -= takes
            n += 1
        (folder / f"test_part{first // PER_FILE}.py").write_text(HEAD + "".join(texts))


def run(python, folder, options, environment):
    with measure.precedence():
        start = time.monotonic()
        result = subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_heapsake.plugin", *options],
                                cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        seconds = time.monotonic() - start
    if result.returncode != 0:
        sys.exit(f"pytest {' '.join(options)} ended with {result.returncode}:\n{result.stdout.decode(errors='replace')[-4000:]}")
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--tests", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--realtime", action="store_true")
    arguments = parser.parse_args()
    measure.realtime = arguments.realtime
    build = Path(os.environ.get("HEAPSAKE_BUILD") or ROOT / "build")
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "python"), PYTHONHASHSEED="0",
                       HEAPSAKE=str((build / "analyzer" / "heapsake").resolve()))
    ways = {"plain": [], "--heapsake": ["--heapsake"], "--heapsake-no-leaks": ["--heapsake-no-leaks"]}
    folder = Path(tempfile.mkdtemp(prefix="pytest-cost-"))
    try:
        write_suite(folder, arguments.tests)
        seconds = {way: [] for way in ways}
        run(arguments.python, folder, [], environment)  # bytecode
        for _ in range(arguments.runs):
            for way, options in ways.items():
                seconds[way].append(run(arguments.python, folder, options, environment))
        plain = min(seconds["plain"])
        print(f"{arguments.tests} tests, least of {arguments.runs} runs")
        for way in ways:
            least = min(seconds[way])
            print(f"  {way:<22} {least:7.2f} s  {least / plain:5.2f} times the plain run")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
