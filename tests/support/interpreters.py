"""Which CPython interpreters are here, each named by version and kind, never by path."""

import functools
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .running import clean_environment

FIRST_TRACED = (3, 11)

_ASK = """
import sys, json
try:
    shared = any("libpython" in line for line in open("/proc/self/maps"))
except Exception:
    shared = None
sysconfig = __import__("sysconfig") if sys.version_info >= (2, 7) else None
print(json.dumps({"version": list(sys.version_info[:3]), "shared": shared, "release": sys.version_info[3],
                  "free_threaded": bool(sysconfig and sysconfig.get_config_var("Py_GIL_DISABLED")),
                  "libdir": sysconfig and sysconfig.get_config_var("LIBDIR"),
                  "multiarch": sysconfig and sysconfig.get_config_var("MULTIARCH"),
                  "soname": sysconfig and sysconfig.get_config_var("INSTSONAME"),
                  "prefix": sys.prefix}))
"""


@dataclass(frozen=True)
class Interpreter:
    path: str
    version: tuple
    shared: bool
    free_threaded: bool
    library: str = field(default=None, compare=False)  # its shared libpython, where there is one

    @property
    def name(self):
        kind = "shared" if self.shared else "static"
        return "{}.{}.{}-{}{}".format(*self.version, kind, "-ft" if self.free_threaded else "")

    @property
    def traced(self):
        return self.version[:2] >= FIRST_TRACED and not self.free_threaded

    def has(self, module):
        return _has(self.path, module)

    @property
    def include_folder(self):
        """Where its Python.h is; None where it has none."""
        return _include_folder(self.path)


@functools.lru_cache(maxsize=None)
def _has(path, module):
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec(%r) is None)" % module
    return subprocess.run([path, "-c", code], env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60).returncode == 0


@functools.lru_cache(maxsize=None)
def _include_folder(path):
    done = subprocess.run([path, "-c", "import sysconfig; print(sysconfig.get_path('include'))"],
                          env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    folder = Path(done.stdout.strip() or "/")
    return str(folder) if (folder / "Python.h").exists() else None


def _candidates():
    for word in re.split(r"[:\s]+", os.environ.get("HEAPSAKE_PYTHONS", "")):
        if word:
            yield Path(word)
    yield Path("/usr/bin/python3")
    yield from sorted(Path("/usr/bin").glob("python3.[0-9]*"))
    yield from sorted(Path("/usr/local/bin").glob("python3.[0-9]*"))
    yield from sorted((Path.home() / ".pyenv/versions").glob("*/bin/python3"))


def _ask(path):
    try:
        done = subprocess.run([path, "-c", _ASK], env=clean_environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60)
        return json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


@functools.lru_cache(maxsize=None)
def all_interpreters():
    """Every interpreter found, each real executable once, in a fixed order."""
    found, seen = [], set()
    for path in _candidates():
        try:
            real = path.resolve(strict=True)
        except OSError:
            continue
        if real in seen or real.name.endswith("-config") or not os.access(real, os.X_OK):
            continue
        seen.add(real)
        facts = _ask(real)
        if not facts:
            continue
        library = None
        for folder in (facts["libdir"], f"{facts['libdir']}/{facts['multiarch']}", f"/usr/lib/{facts['multiarch']}"):
            for soname in (facts["soname"], "libpython%d.%d.so.1.0" % tuple(facts["version"][:2])):
                if soname and ".so" in soname and Path(folder or "/", soname).exists():
                    library = library or str(Path(folder, soname))
        found.append(Interpreter(str(real), tuple(facts["version"]), bool(facts["shared"]), facts["free_threaded"],
                                 library))
    found.sort(key=lambda one: (one.version, one.shared, one.path))
    return tuple(found)


def traced_interpreters():
    """One of each name that is fully traced."""
    named = {}
    for one in all_interpreters():
        if one.traced:
            named.setdefault(one.name, one)
    return tuple(named.values())


def other_interpreters():
    named = {}
    for one in all_interpreters():
        if not one.traced:
            named.setdefault(one.name, one)
    return tuple(named.values())
