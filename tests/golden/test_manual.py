"""--help, man pages and completion say the same, because they are made from one table; here that is held."""

import os
import re
import shutil
import subprocess

import pytest

from support import running, traces
from support.building import ROOT


def commands():
    if not traces.heapsake_binary().exists():
        return []
    return traces.heapsake("manual", "--list").ok().out.split()


def long_options(text):
    return set(re.findall(r"--[a-z][a-z-]*", text))


def help_options(command):
    """The options that --help lists, in the lines that begin with one."""
    out = traces.heapsake(command, "--help").ok().out
    return long_options("\n".join(re.findall(r"^ +(?:-\w, )?--[a-z-]+", out, re.M)))


def rendered(page):
    """The page as text, after roff had nothing to complain about."""
    roff = traces.heapsake("manual", page).ok().out
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    done = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-P-cbou"], input=roff, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


@pytest.mark.parametrize("command", commands())
def test_page_and_help_agree(command):
    page = rendered(command)
    options = help_options(command)
    assert {"--help", "--color"} <= options
    listed = page[page.index("\nOPTIONS"):page.index("\nEXAMPLES")]
    assert options == long_options("\n".join(re.findall(r"^ +(?:-\w, )?--[a-z-]+", listed, re.M)))
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "EXIT STATUS", "SEE ALSO"):
        assert f"\n{heading}\n" in page, page


@pytest.mark.parametrize("command", commands())
def test_help_is_for_terminals(command):
    done = traces.heapsake(command, "--help").ok()
    assert done.err == "" and done.out.startswith(f"Usage: heapsake {command} ")
    assert max(map(len, done.out.splitlines())) <= 80, [line for line in done.out.splitlines() if len(line) > 80]
    assert re.search(r"^Examples:\n  \$ .*heapsake", done.out, re.M)
    assert traces.heapsake("help", command).out == done.out


def test_overview():
    page, overview = rendered("heapsake"), traces.heapsake("--help").ok().out
    for command in commands():
        assert f"heapsake-{command}(1)" in page
        assert re.search(rf"^  {command} +\w", overview, re.M)
    assert not re.search(r"^  (record|manual) ", overview, re.M)


def test_build_makes_every_page():
    listed = re.search(r"foreach name : \[(.*?)\]", (ROOT / "docs" / "meson.build").read_text(), re.S)[1]
    assert sorted(re.findall(r"'(\w+)'", listed)) == sorted(commands())


def complete(*words):
    """What bash offers for these words, the last of them being typed."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (f". '{ROOT}/docs/completion/heapsake.bash'; COMP_WORDS=('{traces.heapsake_binary()}' {quoted}); "
              f"COMP_CWORD={len(words)}; _heapsake; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=running.clean_environment(),
                          cwd=ROOT / "tests" / "golden")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_completion():
    assert set(commands()) <= set(complete(""))
    assert complete("sum") == ["summary"]
    assert complete("help", "pe") == ["peak"]
    assert complete("peak", "--a") == ["--at="]
    assert "--json" in complete("summary", "--")
    assert str(os.getpid()) in complete("doctor", "")
    assert "format-1.hsk" in complete("summary", "form")
    assert "test_manual.py" not in complete("summary", "")
