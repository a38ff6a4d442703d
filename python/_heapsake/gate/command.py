"""The program `heapsake`: where it is, and calling it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

ADVICE = "build and install it (README.md of heapsake), or name it: HEAPSAKE=/path/to/heapsake"


class CommandError(Exception):
    """It is not there, or it failed; one line."""


def find_command():
    """
    HEAPSAKE, which must be right when it is set; the one on PATH; the one of the build folder beside this file, when it
    is used from heapsake's sources. Raises CommandError.
    """
    named = os.environ.get("HEAPSAKE")
    if named:
        found = shutil.which(named)
        if not found:
            raise CommandError(f"HEAPSAKE={named} is no program: {ADVICE}")
        return os.path.abspath(found)
    found = shutil.which("heapsake")
    if found:
        return os.path.abspath(found)
    sources = Path(__file__).resolve().parents[3]
    if (sources / "meson.build").is_file():
        built = Path(os.environ.get("HEAPSAKE_BUILD") or sources / "build") / "analyzer" / "heapsake"
        if os.access(built, os.X_OK):
            return str(built.resolve())
    raise CommandError(f"there is no program heapsake on PATH: {ADVICE}")


def report(command, *arguments):
    """What a report command says with --json. Raises CommandError."""
    try:
        result = subprocess.run([command, *arguments, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, check=False)
    except OSError as error:
        raise CommandError(f"{command}: {error.strerror}") from None
    try:
        return json.loads(result.stdout)
    except ValueError:
        said = result.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CommandError(said[-1] if said else f"heapsake {arguments[0]} ended with status {result.returncode}") from None
