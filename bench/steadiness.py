#!/usr/bin/env python3
"""
The same program checked again and again: is the verdict the same, and are the counts of allocations by site?

    bench/steadiness.py [--build build] [--python PYTHON] [--runs 50] [--native] [PROGRAM [ARG...]]

Without PROGRAM, two programs in Python run: one that keeps more and more, and one that keeps nothing. PYTHONHASHSEED is 0. A line for
each program; exit status 1 when a verdict differs, or when the runs' counts of a site are more than 0.1 % apart.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APART = 0.001

PROGRAM = """
import json, sys

class Page:
    def __init__(self, number):
        self.number = number
        self.links = {f"page {number + n}": number + n for n in range(5)}

pages = {}

def render(number):
    page = Page(number)
    return json.loads(json.dumps({"number": page.number, "links": page.links}))

def keep(number):
    pages[number] = Page(number)

for number in range(1500):
    render(number)
    if len(sys.argv) > 1:
        keep(number)
"""


def environment():
    """Nothing in it that makes one run different from the next."""
    dropped = ("PYTHON", "HEAPSAKE_", "MALLOC_", "LD_", "GLIBC_TUNABLES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}


def allocations(heapsake, trace):
    """{stack: how many allocations}"""
    done = subprocess.run([heapsake, "export", "--format", "jsonl", "--what", "allocated", "-o", "-", trace], check=True,
                          capture_output=True)
    counts = collections.Counter()
    for line in done.stdout.splitlines():
        site = json.loads(line)
        counts[tuple((frame["function"], frame["file"], frame["line"]) for frame in site["stack"])] += site["count"]
    return counts


def verdict(heapsake, trace):
    """What `check` says that must not change: all but bytes and counts."""
    done = subprocess.run([heapsake, "check", "--json", "--no-leaks", "--max-peak", "1 TB", trace], capture_output=True)
    if done.returncode not in (0, 1):
        return done.returncode, done.stderr.decode(errors="replace")
    found = [(one["rule"], one["where"]["cause"], one["where"]["type"], one["where"]["function"], one["where"]["line"])
             for one in json.loads(done.stdout)["violations"]]
    return done.returncode, tuple(sorted(found, key=repr))


def compare(heapsake, argv, options):
    """True when all runs of argv agree. Prints a line, and one for each thing that differs."""
    verdicts, counts = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "t.hsk"
        for _ in range(options.runs):
            words = [heapsake, "run", "--force", "--children=none", *(["--native"] if options.native else []),
                     "-o", trace, "--", *argv]
            done = subprocess.run(words, env=environment(), stdin=subprocess.DEVNULL, capture_output=True)
            if done.returncode != 0:
                sys.exit(f"{argv} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
            verdicts[verdict(heapsake, trace)] += 1
            counts.append(allocations(heapsake, trace))
    sites = set().union(*counts)
    differ = {site: (low, high) for site in sites
              for low, high in [(min(one[site] for one in counts), max(one[site] for one in counts))]
              if high - low > APART * high}
    (status, found), times = verdicts.most_common(1)[0]
    print(f"{' '.join(map(str, argv))}: {options.runs} runs, {len(verdicts)} verdict{'s'[len(verdicts) == 1:]} (status "
          f"{status}, {len(found)} violations, {times} times), {len(sites)} sites, {len(differ)} of them apart", flush=True)
    for (status, found), times in verdicts.items() if len(verdicts) > 1 else ():
        print(f"    {times} times status {status}: {found}")
    for site, (low, high) in sorted(differ.items(), key=lambda one: one[1][0] - one[1][1])[:10]:
        print(f"    {low} to {high} allocations at {site[:4]}")
    return len(verdicts) == 1 and not differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--native", action="store_true", help="with native stacks")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    heapsake = ROOT / options.build / "analyzer/heapsake"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "pages.py"
        script.write_text(PROGRAM)
        programs = [options.program] if options.program else [[options.python, script], [options.python, script, "keep"]]
        agree = [compare(heapsake, argv, options) for argv in programs]
    sys.exit(0 if all(agree) else 1)


if __name__ == "__main__":
    main()
