"""pytest with heapsake's plugin, on suites that a test writes."""

import os
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from . import running
from .building import ROOT
from .traces import heapsake_binary

# An installation leaves its entry point beside the sources, too: the plugin would be registered twice.
PLUGIN = ("-p", "no:heapsake", "-p", "pytest_heapsake.plugin")
TIMEOUT = 240  # a session takes a snapshot for each test that leaks


def environment(**more):
    return running.clean_environment(**{"PYTHONPATH": ROOT / "python", "HEAPSAKE": heapsake_binary(), **more})


@dataclass
class Session:
    """One run of pytest: its Result, and what its JUnit file says of each test."""

    result: running.Result
    outcomes: dict  # name without the file's: "passed", "failed", "error", "skipped"; several joined by "+"
    texts: dict     # name: what stands in its failure

    @property
    def out(self):
        return self.result.out

    @property
    def line(self):
        """The summary's."""
        lines = [line for line in self.out.splitlines() if line.startswith("heapsake:") and "; trace:" in line]
        assert len(lines) == 1, self.result
        return lines[0]

    @property
    def trace(self):
        return Path(self.line.rpartition("; trace: ")[2])


def _read_junit(path):
    outcomes, texts = {}, {}
    if not path.exists():
        return outcomes, texts
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = "::".join(case.get("classname").split(".")[1:] + [case.get("name")])
        found = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        outcome = {"failure": "failed", "error": "error", "skipped": "skipped"}[found.tag] if found is not None else "passed"
        # a failure and an error in its teardown are two of pytest's cases
        outcomes[name] = f"{outcomes[name]}+{outcome}" if name in outcomes else outcome
        if found is not None:
            texts[name] = texts.get(name, "") + (found.text or "")
    return outcomes, texts


class Suites:
    """Writes test files into a folder and runs pytest there."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def write(self, **files):
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(text))
        return self

    def run(self, *options, plugin=PLUGIN, env=None, python=sys.executable, before=()):
        junit = self.folder / "junit.xml"
        if junit.exists():
            junit.unlink()
        words = [*before, python, "-m", "pytest", *plugin, f"--junitxml={junit}", "-c", os.devnull, "--rootdir", self.folder, *options]
        result = running.run(words, env=env or environment(), cwd=self.folder, timeout=TIMEOUT)
        return Session(result, *_read_junit(junit))
