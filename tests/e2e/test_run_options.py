"""Options of heapsake run that leave something out: --quiet, --no-exit-snapshot."""

import pytest

from support import running
from support.pytest_runs import environment
from support.traces import Trace, command


def test_quiet_leaves_the_screen_out_and_nothing_else(tmp_path):
    done = running.run([*command(tmp_path / "t.hsk", "--quiet"), "sh", "-c", "echo said; echo told >&2; exit 7"])
    assert (done.status, done.out, done.err) == (7, "said\n", "told\n")
    assert Trace(tmp_path / "t.hsk").json("verify")["complete"]
    missing = running.run([*command(tmp_path / "u.hsk", "-q"), "no-such-program"])
    assert missing.status == 2 and missing.err.startswith("heapsake: ") and len(missing.err.splitlines()) == 1
    taken = running.run([*command(tmp_path / "t.hsk", "--quiet"), "true"])
    assert taken.status == 2 and "t.hsk" in taken.err and "--force" in taken.err


ASKS = "import heapsake\nheapsake.snapshot()\n"


@pytest.mark.parametrize("program, reasons", [("pass", []), (ASKS, ["asked"])])
def test_no_exit_snapshot(one_python, record, program, reasons):
    traced = record([one_python.path, "-c", program], "--no-exit-snapshot", env=environment())
    traced.result.ok()
    assert [one["reason"] for one in traced.trace.json("summary")["snapshots"]] == reasons
