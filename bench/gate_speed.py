#!/usr/bin/env python3
"""
What a gate and the exports cost: `check`, `diff` and every `export` format on traces of ten million events.

    bench/gate_speed.py [--build build] [--python PYTHON] [--runs 5] [--events 10] [--json FILE]

Four programs are recorded twice each (bench/workloads: json, a parser, C++ with native stacks, objects that all stay), --events
million events a trace. Then
each command runs --runs times. A line a command: processor time and wall time, medians, and whether its bar is kept: 3 s for check and
diff, 5 million events per second for an export, of processor time, which other work on the machine changes least, or of wall time
where that is less: `check` measures two traces at once. Exit status 1 when a bar is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import run

ROOT = Path(__file__).resolve().parent.parent
WORKLOADS = ROOT / "bench" / "workloads"
SECONDS, EVENTS_A_SECOND = 3.0, 5_000_000

# An argument with which the workload makes about a million events, as CPython 3.11 and Debian bookworm have it.
A_MILLION = {"jsonw": 24.2, "parse": 11.5, "churn": 245_000, "kept": 62_400}


def program(name, millions, folder, python):
    count = str(round(A_MILLION[name] * millions))
    if name != "churn":
        return [python, WORKLOADS / f"{name}.py", count, *(["100"] if name == "kept" else [])]
    binary = folder / "churn"
    if not binary.exists():
        subprocess.run(["g++", "-g", "-O2", "-pthread", "-o", binary, WORKLOADS / "churn.cpp"], check=True)
    return [binary, count, "1"]


def commands(old, new):
    """(what, arguments, is it an export?)"""
    # which site is blamed for fragmentation is another one in the longer run
    fragmentation = old.with_name("suppressions")
    fragmentation.write_text("[fragmentation]\ncause = fragmentation\n")
    asked = ["--suppressions", fragmentation, "--max-leaked", "1 TB", "--no-new-leaks", "--tolerance", "1000", "--baseline"]
    yield "check, one limit", ["check", "--max-peak", "1 TB", new], False
    yield "check, all leaks against a baseline", ["check", *asked, old.with_suffix(".baseline"), new], False
    yield "check, leaks against a trace", ["check", *asked, old, new], False
    yield "diff", ["diff", old, new], False
    yield "diff --json", ["diff", "--json", old, new], False
    for format in ("pprof", "folded", "speedscope", "csv", "jsonl"):
        yield f"export {format}", ["export", "--format", format, "-o", "-", new], True
    for what in ("peak", "leaked", "allocated", "temporary"):
        yield f"export csv, {what}", ["export", "--format", "csv", "--what", what, "-o", "-", new], True


def rows_of(name, options, folder, heapsake):
    old, new = folder / f"{name}-old.hsk", folder / f"{name}-new.hsk"
    for trace, more in ((old, 1.0), (new, 1.02)):
        words = [heapsake, "run", "-o", trace, "--"]
        run([*words, *program(name, options.events * more, folder, options.python)])
    subprocess.run([heapsake, "check", "--write-baseline", old.with_suffix(".baseline"), old], check=True,
                   stdout=subprocess.DEVNULL)
    events = json.loads(run([heapsake, "summary", "--json", new]).out)["events"]["total"]
    for what, arguments, is_export in commands(old, new):
        runs = [run([heapsake, *arguments]) for _ in range(options.runs)]
        cpu, wall = (statistics.median(times) for times in ([one.cpu for one in runs], [one.wall for one in runs]))
        least = min(cpu, wall)
        kept = events / least >= EVENTS_A_SECOND if is_export else least <= SECONDS
        yield {"workload": name, "events": events, "what": what, "cpu": cpu, "wall": wall, "kept": kept}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=float, default=10, help="millions in a trace")
    parser.add_argument("--json", metavar="FILE", help="write the rows there, too")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        for workload in A_MILLION:
            for row in rows_of(workload, options, Path(name), ROOT / options.build / "analyzer/heapsake"):
                rows.append(row)
                print(f"{row['workload']:6} {row['events'] / 1e6:5.1f} M  {row['what']:36} {row['cpu']:6.2f} s cpu "
                      f"{row['wall']:6.2f} s wall {row['events'] / row['cpu'] / 1e6:7.1f} M/s  "
                      f"{'' if row['kept'] else 'BAR MISSED'}".rstrip(), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(0 if all(row["kept"] for row in rows) else 1)


if __name__ == "__main__":
    main()
