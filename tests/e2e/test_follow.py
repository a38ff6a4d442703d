"""heapsake follow: numbers of regions while a trace is written; and the program's own question where that is."""

import json
import subprocess
import sys

import pytest

from support import running
from support.building import ROOT
from support.running import clean_environment
from support.traces import Trace, heapsake_binary

GOLDEN = ROOT / "tests" / "golden" / "format-1-marks.hsk"


@pytest.fixture
def follow():
    started = []

    def go(trace):
        process = running.start([heapsake_binary(), "follow", trace], stdin=subprocess.PIPE)
        started.append(process)

        def ask(question):
            process.stdin.write(question.encode() + b"\n")
            return json.loads(process.stdout.readline())

        return ask

    yield go
    for process in started:
        running.end(process)


def test_sums_are_those_of_the_summary(follow):
    ask = follow(GOLDEN)
    regions = {one["name"]: one for one in Trace(GOLDEN).json("summary")["regions"]}
    for name in ("parse", "request", "loaded"):
        answers = [ask(f"{back} sums {name}") for back in range(regions[name]["occurrences"])]
        assert sum(one["allocations"] for one in answers) == regions[name]["allocations"]
        assert sum(one["allocated_bytes"] for one in answers) == regions[name]["allocated_bytes"]
        assert max(one["peak_bytes"] for one in answers) == regions[name]["peak_bytes"]
        assert sum(not one["ended"] for one in answers) == regions[name]["open"]
        assert "error" in ask(f"{len(answers)} sums {name}")


def test_what_is_no_question(follow):
    ask = follow(GOLDEN)
    for question in ("", "0", "sums parse", "0 more parse", "-", "0 sums", "0 sums no%0Asuch"):
        assert "error" in ask(question), question
    assert "error" not in ask("0 sums parse")


def test_sites(follow):
    ask = follow(GOLDEN)
    answer = ask("0 sites parse")
    assert sum(site["count"] for site in answer["sites"]) == answer["live_blocks"] > 1
    assert sum(site["bytes"] for site in answer["sites"]) == answer["live_bytes"]
    assert all(site["stack"] and site["ordinals"] for site in answer["sites"])
    sizes = [site["bytes"] for site in answer["sites"]]
    assert sizes == sorted(sizes, reverse=True)


def test_a_file_that_grows_byte_by_byte(follow, tmp_path):
    """However much of it is there, an answer is that of the whole chunks; and in the end that of the whole file."""
    whole, growing = GOLDEN.read_bytes(), tmp_path / "t.hsk"
    first = whole.index(b"CHNK", whole.index(b"CHNK") + 1)
    growing.write_bytes(whole[:first])
    ask = follow(growing)
    seen = []
    with open(growing, "ab", buffering=0) as file:
        for at in range(first, len(whole), 97):
            file.write(whole[at : at + 97])
            answer = ask("0 sums parse")
            if "error" not in answer and answer not in seen:
                seen.append(answer)
    assert seen and seen[-1] == follow(GOLDEN)("0 sums parse")


def test_an_unusable_file(tmp_path):
    (tmp_path / "t.hsk").write_text("nothing of that kind")
    done = running.run([heapsake_binary(), "follow", tmp_path / "t.hsk"])
    assert done.status == 3 and len(done.err.splitlines()) == 1 and "is not a heapsake trace" in done.err


ASKS = """
import heapsake, _heapsake.trace_file, json, os, sys
heapsake.flush()
own = _heapsake.trace_file.trace_file()
pid = os.fork()
if pid == 0:
    heapsake.flush()
    print(json.dumps(_heapsake.trace_file.trace_file()), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(json.dumps(own))
"""


def test_a_program_knows_where_its_trace_is(one_python, record, trace_file):
    environment = clean_environment(PYTHONPATH=ROOT / "python")
    done = record([one_python.path, "-c", ASKS], env=environment, path=trace_file)
    child, own = [json.loads(line) for line in done.result.out.splitlines()]
    assert own == str(trace_file)
    assert child != own and child in {str(path) for path in trace_file.parent.glob("*.hsk")}
    assert running.run([one_python.path, "-c", ASKS], env=environment).ok().out == "null\nnull\n"


def test_heapsake_does_not_trace_itself(record, trace_file):
    done = record(["sh", "-c", f"{heapsake_binary()} --version; true"], path=trace_file)
    assert "heapsake " in done.result.out
    assert list(trace_file.parent.glob("*.hsk")) == [trace_file]
