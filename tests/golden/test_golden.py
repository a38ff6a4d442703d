"""Golden traces of every released format, and what the commands print of them, to the byte.

Each line of CASES is a command line; its output lies beside the traces, in expected/. After a wanted change of the
output, `python3 tests/golden/test_golden.py --rewrite` writes them anew: look at the difference before committing it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support import running, traces  # noqa: E402

HERE = Path(__file__).resolve().parent
EXPECTED = HERE / "expected"

CASES = {
    "summary": "summary format-1.hsk",
    "summary-color": "summary --color=always format-1.hsk",
    "summary-json": "summary --json format-1.hsk",
    "leaks": "leaks format-1.hsk",
    "leaks-2": "leaks --limit 2 format-1.hsk",
    "leaks-json": "leaks --json format-1.hsk",
    "leaks-causes": "leaks format-1-graph.hsk",
    "leaks-causes-weak": "leaks --min-confidence 0 --limit 0 format-1-graph.hsk",
    "leaks-causes-brief": "leaks --brief --limit 2 format-1-graph.hsk",
    "leaks-causes-json": "leaks --json format-1-graph.hsk",
    "leaks-causes-sure-json": "leaks --json --min-confidence=0.8 format-1-graph.hsk",
    "peak": "peak format-1.hsk",
    "peak-json": "peak --json format-1.hsk",
    "peak-at": "peak --at 0.2 -n1 format-1.hsk",
    "peak-at-json": "peak --at=0.2 --json format-1.hsk",
    "diff": "diff format-1.hsk@0.2s format-1.hsk",
    "diff-all": "diff --all format-1.hsk@250ms format-1-objects.hsk@peak",
    "diff-json": "diff --json format-1.hsk@peak format-1.hsk",
    "diff-same": "diff format-1.hsk format-1.hsk@end",
    "diff-peaks": "diff --by peak -n 1 format-1-objects.hsk format-1.hsk",
    "diff-allocated": "diff --by allocated --limit 3 format-1-objects.hsk@0.3 format-1-objects.hsk",
    "diff-objects": "diff -n 4 format-1-objects.hsk@0.3 format-1-objects.hsk",
    "diff-objects-json": "diff --json --limit 1 format-1-objects.hsk@0.3 format-1-objects.hsk",
    "diff-snapshots": "diff format-1-graph.hsk@snapshot:1 format-1-graph.hsk@snapshot:2",
    "diff-snapshots-json": "diff --json format-1-graph.hsk@snapshot:2 format-1-graph.hsk@snapshot:1",
    "diff-damaged": "diff -n 1 format-1-damaged.hsk format-1-cut.hsk",
    "diff-one": "diff format-1.hsk",
    "diff-bad-moment": "diff format-1.hsk@noon format-1.hsk",
    "diff-mark": "diff -n 3 format-1-marks.hsk@mark:loaded#1 format-1-marks.hsk@mark:loaded",
    "diff-mark-json": "diff --json -n 1 format-1-marks.hsk@mark:request#2 format-1-marks.hsk@mark:request",
    "diff-no-mark": "diff format-1.hsk format-1.hsk@mark:loaded",
    "diff-no-such-mark": "diff format-1-marks.hsk@mark:loaded#7 format-1-marks.hsk",
    "diff-not-there": "diff format-1-graph.hsk@snapshot:9 format-1.hsk",
    "export-folded": "export --format=folded -o - format-1.hsk",
    "export-folded-blocks": "export -f folded --weight=blocks --what=temporary -o - format-1.hsk",
    "export-native": "export -f folded --stacks=native -o - format-1.hsk",
    "export-python": "export -f folded --stacks=python --what=peak -o - format-1.hsk",
    "export-speedscope": "export --format=speedscope --what=peak -o - format-1.hsk",
    "export-csv": "export --format=csv --what=allocated -o - format-1.hsk",
    "export-csv-leaked": "export --format=csv --what=leaked -o - format-1-graph.hsk",
    "export-jsonl": "export --format=jsonl -o - format-1.hsk",
    "export-jsonl-leaked": "export --format=jsonl --what=leaked --min-confidence=0.8 -o - format-1-graph.hsk",
    "export-damaged": "export --format=csv -o - format-1-damaged.hsk",
    "export-no-snapshot": "export --format=csv --what=leaked -o - format-1.hsk",
    "export-no-format": "export -o - format-1.hsk",
    "export-no-output": "export --format=csv format-1.hsk",
    "export-taken": "export --format=csv -o README.md format-1.hsk",
    "dump": "dump --from 0.05 --to 0.1 format-1.hsk",
    "dump-stacks": "dump --to 0.01 --stacks format-1.hsk",
    "dump-json": "dump --json format-1.hsk",
    "dump-json-stacks": "dump --json --stacks --from 0.58 format-1.hsk",
    "objects": "objects format-1-objects.hsk",
    "objects-json": "objects --json format-1-objects.hsk",
    "objects-created": "objects --sort created -n 2 format-1-objects.hsk",
    "objects-none": "objects format-1.hsk",
    "dump-objects": "dump --from 0.02 --to 0.05 format-1-objects.hsk",
    "dump-objects-json": "dump --json --from 0.02 --to 0.03 format-1-objects.hsk",
    "dump-marks": "dump --from 0.02 --to 0.15 format-1-marks.hsk",
    "dump-marks-json": "dump --json --from 0.02 --to 0.15 format-1-marks.hsk",
    "verify-marks": "verify format-1-marks.hsk",
    "summary-marks": "summary format-1-marks.hsk",
    "summary-marks-json": "summary --json format-1-marks.hsk",
    "peak-mark": "peak --at mark:loaded -n 2 format-1-marks.hsk",
    "peak-region": "peak --region parse -n 2 format-1-marks.hsk",
    "peak-region-json": "peak --region loaded -n 1 --json format-1-marks.hsk",
    "peak-no-region": "peak --region nothing format-1-marks.hsk",
    "leaks-region": "leaks --region load format-1-regions.hsk",
    "leaks-region-json": "leaks --json --region handle format-1-regions.hsk",
    "leaks-no-region": "leaks --region load format-1-graph.hsk",
    "leaks-region-no-snapshot": "leaks --region late format-1-regions.hsk",
    "verify-objects": "verify format-1-objects.hsk",
    "verify": "verify format-1.hsk",
    "verify-json": "verify --json format-1.hsk",
    "cut-summary": "summary format-1-cut.hsk",
    "cut-verify": "verify format-1-cut.hsk",
    "cut-verify-json": "verify --json format-1-cut.hsk",
    "damaged-leaks-json": "leaks --json --limit 1 format-1-damaged.hsk",
    "damaged-peak": "peak --limit 1 format-1-damaged.hsk",
    "damaged-verify": "verify format-1-damaged.hsk",
    "summary-snapshots": "summary format-1-graph.hsk",
    "summary-snapshots-json": "summary --json format-1-graph.hsk",
    "objects-snapshot": "objects --sort live format-1-graph.hsk",
    "objects-snapshot-json": "objects --json --limit 2 format-1-graph.hsk",
    "verify-snapshots": "verify format-1-graph.hsk",
    "cycles": "cycles format-1-graph.hsk",
    "cycles-1": "cycles --snapshot 1 --limit 1 format-1-graph.hsk",
    "cycles-json": "cycles --json format-1-graph.hsk",
    "cycles-none": "cycles format-1.hsk",
    "cycles-not-there": "cycles --snapshot 9 format-1-graph.hsk",
    "why-type": "why format-1-graph.hsk app.User",
    "why-ordinal": "why format-1-graph.hsk #7",
    "why-address": "why format-1-graph.hsk 0x7f00000017c0 --snapshot 1",
    "why-unexplained": "why format-1-graph.hsk #30",
    "why-lost": "why format-1-graph.hsk #31",
    "why-possible": "why format-1-graph.hsk #33",
    "why-json": "why --json --limit 2 format-1-graph.hsk tree.Parent",
    "why-path-json": "why --json format-1-graph.hsk #6",
    "why-nothing": "why format-1-graph.hsk app.Nothing",
    "why-no-object": "why format-1-graph.hsk #x",
    "why-no-operand": "why format-1-graph.hsk",
    "dump-snapshot": "dump --snapshot 2 format-1-graph.hsk",
    "dump-snapshot-json": "dump --snapshot 1 --json format-1-graph.hsk",
    "check": "check --no-leaks=lost,over-referenced --max-peak 1kB --max-live 1TB format-1-graph.hsk",
    "check-json": "check --json --no-leaks=held --max-leaked 1kB --max-allocations 30 format-1-graph.hsk",
    "check-passed": "check --no-leaks=growing --max-peak 20MB --max-allocations 1000 format-1-graph.hsk",
    "check-baseline": "check --baseline format-1-graph.baseline --no-new-leaks --tolerance 5 format-1-graph.hsk",
    "check-write-baseline": "check --write-baseline - format-1-graph.hsk",
    "check-junit": "check --no-leaks=over-referenced --max-peak 1MB --junit - format-1-graph.hsk",
    "check-sarif": "check --no-leaks=over-referenced --sarif - format-1-graph.hsk",
    "check-no-snapshot": "check --no-leaks format-1.hsk",
    "check-cut": "check --max-peak 1TB format-1-cut.hsk",
    "check-nothing": "check format-1-graph.hsk",
    "check-no-region": "check --max-peak load:20MB format-1-graph.hsk",
    "check-regions": "check --limits format-1-regions.limits format-1-regions.hsk",
    "check-regions-json": "check --json --limits format-1-regions.limits format-1-regions.hsk",
    "check-regions-junit": "check --junit - --limits format-1-regions.limits format-1-regions.hsk",
    "check-growth-few": "check --max-growth-per load:1 format-1-regions.hsk",
    "missing": "summary no-such.hsk",
    "not-a-trace": "summary test_golden.py",
    "no-trace": "peak",
    "two-traces": "peak format-1.hsk format-1-cut.hsk",
    "bad-option": "summary --jsn format-1.hsk",
    "bad-time": "peak --at yesterday format-1.hsk",
    "bad-command": "sumary format-1.hsk",
    "no-command": "",
}


def output(words):
    """Standard output, standard error and exit status of a command in this folder, as one text."""
    environment = {**running.clean_environment(), "TERM": "xterm", "LC_ALL": "C"}
    environment.pop("NO_COLOR", None)
    done = subprocess.run([traces.heapsake_binary(), *words.split()], cwd=HERE, env=environment, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    out, err = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
    return f"{out}--- standard error\n{err}--- exit status {done.returncode}\n"


@pytest.mark.parametrize("name", CASES)
def test_output(name):
    expected = (EXPECTED / f"{name}.txt").read_text("utf-8", "surrogateescape")
    assert output(CASES[name]) == expected


def test_nothing_left_over():
    """An expected output that no case has would never be compared."""
    assert {path.stem for path in EXPECTED.iterdir()} == set(CASES)


def rewrite():
    outputs = {name: output(words) for name, words in CASES.items()}
    EXPECTED.mkdir(exist_ok=True)
    for path in EXPECTED.iterdir():
        path.unlink()
    for name, text in outputs.items():
        (EXPECTED / f"{name}.txt").write_text(text, "utf-8", "surrogateescape")


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit(f"usage: {os.path.basename(sys.argv[0])} --rewrite   (or run it with pytest)")
    rewrite()
