"""On a terminal: colors, the pager, and who may switch them off."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from support import running, traces

HERE = Path(__file__).resolve().parent
ESCAPE = "\x1b["


def on_terminal(*words, **variables):
    """What a terminal shows of a command."""
    outside, inside = pty.openpty()
    environment = {**running.clean_environment(), "TERM": "xterm", "PAGER": "cat"}
    environment.pop("NO_COLOR", None)
    environment.update(variables)
    process = subprocess.Popen([traces.heapsake_binary(), *words], cwd=HERE, env=environment, stdin=inside,
                               stdout=inside, stderr=inside)
    os.close(inside)
    shown = b""
    while True:
        try:
            part = os.read(outside, 65536)
        except OSError:  # EIO: the last one has closed it
            break
        if not part:
            break
        shown += part
    os.close(outside)
    assert process.wait(timeout=30) == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("command", ["summary", "leaks", "peak"])
def test_colors(command):
    assert ESCAPE in on_terminal(command, "format-1.hsk")
    assert ESCAPE in on_terminal(command, "format-1.hsk", NO_COLOR="")
    for plain in (on_terminal(command, "format-1.hsk", NO_COLOR="1"), on_terminal(command, "format-1.hsk", TERM="dumb"),
                  on_terminal(command, "--color=never", "format-1.hsk"),
                  traces.heapsake(command, HERE / "format-1.hsk").ok().out):
        assert ESCAPE not in plain
    assert ESCAPE in on_terminal(command, "--color=always", "format-1.hsk", NO_COLOR="1")
    assert ESCAPE not in on_terminal(command, "--json", "format-1.hsk")


def test_pager():
    lines = on_terminal("summary", "format-1.hsk", PAGER="sed 's/^/paged: /'").splitlines()
    assert lines and all(line.startswith("paged: ") for line in lines)
    assert "paged" not in on_terminal("summary", "--json", "format-1.hsk", PAGER="sed 's/^/paged: /'")
    assert "FRX" in on_terminal("summary", "format-1.hsk", PAGER="cat >/dev/null; echo $LESS")
    assert "mine" in on_terminal("summary", "format-1.hsk", PAGER="cat >/dev/null; echo $LESS", LESS="mine")
    for pager in ("", "cat", "no-such-pager-anywhere || cat"):
        assert "Process" in on_terminal("summary", "format-1.hsk", PAGER=pager)
