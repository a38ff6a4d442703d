"""Who is compared: heapsake, itself without work, and its peers; each as a function that runs a workload under it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import measure

WORKLOADS = Path(__file__).resolve().parent / "workloads"


class Setup:
    """The programs, the interpreter, and a folder for traces."""

    def __init__(self, heapsake, python, folder):
        self.heapsake = Path(heapsake)
        self.python = shutil.which(python) or python
        self.folder = Path(folder)
        self.noop = self._noop()

    def _noop(self):
        for folder in (self.heapsake.parent.parent / "preload", self.heapsake.parent.parent / "lib" / "heapsake"):
            for path in sorted(folder.glob("libheapsake*noop*.so")):
                return path
        return None

    def compile(self, name):
        """A workload in C or C++, compiled as a distribution would, with line tables; its path."""
        target = self.folder / name
        if not target.exists():
            source = next(WORKLOADS.glob(f"{name}.c*"))
            compiler = "g++" if source.suffix == ".cpp" else "gcc"
            subprocess.run([compiler, "-O2", "-g", "-o", target, source, "-pthread"], check=True)
        return target

    def script(self, name, *arguments):
        return [self.python, WORKLOADS / f"{name}.py", *map(str, arguments)]

    def trace(self, name):
        return self.folder / f"{name}.hsk"

    def traced(self, command, trace, *options):
        """`heapsake run` of a command."""
        return [self.heapsake, "run", "--no-snapshot", "--force", *options, "-o", trace, "--", *command]


def untraced(command):
    return lambda: measure.run(command)


def heapsake(setup, command, name, *options):
    return lambda: measure.run(setup.traced(command, setup.trace(name), *options))


def noop(setup, command):
    return lambda: measure.run(command, env=measure.clean_environment(LD_PRELOAD=str(setup.noop)))


def tracemalloc(setup, command):
    return lambda: measure.run([command[0], "-X", "tracemalloc=25", *command[1:]])


def memray(setup, command, name, *options):
    target = setup.folder / f"{name}.memray"

    def go():
        target.unlink(missing_ok=True)
        return measure.run([command[0], "-m", "memray", "run", "-q", *options, "-o", target, *command[1:]])

    return go


def heaptrack(setup, command, name, raw=True, python=False):
    environment = measure.clean_environment(**({"PYTHONMALLOC": "malloc"} if python else {}))

    def go():
        for old in setup.folder.glob(f"{name}.heaptrack*"):
            old.unlink()
        options = ["--raw" if raw else "--record-only"]
        return measure.run(["heaptrack", *options, "-o", setup.folder / f"{name}.heaptrack", *command], env=environment)

    return go


def has_memray(setup):
    return subprocess.run([setup.python, "-c", "import memray"], capture_output=True, check=False).returncode == 0


def has_heaptrack():
    return shutil.which("heaptrack") is not None


def versions(setup):
    """What was compared, as lines of text."""
    found = []
    for argv in ([setup.python, "--version"], [setup.heapsake, "--version"], ["heaptrack", "--version"],
                 [setup.python, "-m", "memray", "--version"], ["gcc", "--version"]):
        try:
            done = subprocess.run([os.fspath(word) for word in argv], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        line = (done.stdout or done.stderr).strip().splitlines()[0]
        found.append(f"memray {line}" if "memray" in argv else line)
    return found


def summary(setup, trace):
    return json.loads(measure.run([setup.heapsake, "summary", "--json", trace]).out)


def all_for_python(setup, name, *arguments):
    """Every contender that can run a Python workload here."""
    command = setup.script(name, *arguments)
    found = {"untraced": untraced(command), "heapsake": heapsake(setup, command, name)}
    if setup.noop:
        found["noop"] = noop(setup, command)
    found["heapsake --native"] = heapsake(setup, command, name + "-native", "--native")
    if has_memray(setup):
        found["memray"] = memray(setup, command, name, "--trace-python-allocators")
        found["memray --native"] = memray(setup, command, name + "-native", "--trace-python-allocators", "--native")
    found["tracemalloc 25"] = tracemalloc(setup, command)
    if has_heaptrack():
        found["heaptrack raw"] = heaptrack(setup, command, name, python=True)
    return found


def all_for_native(setup, command, name):
    found = {"untraced": untraced(command), "heapsake": heapsake(setup, command, name)}
    if setup.noop:
        found["noop"] = noop(setup, command)
    if has_heaptrack():
        found["heaptrack raw"] = heaptrack(setup, command, name)
        found["heaptrack"] = heaptrack(setup, command, name + "-full", raw=False)
    return found


def size_of(setup, contender, name):
    """Bytes that a contender wrote for a workload, None where it writes nothing."""
    native = "-native" if contender.endswith("--native") else ""
    if contender.startswith("heapsake"):
        return setup.trace(name + native).stat().st_size
    if contender.startswith("memray"):
        return (setup.folder / f"{name}{native}.memray").stat().st_size
    if contender.startswith("heaptrack"):
        stem = name if contender.endswith("raw") else name + "-full"
        return sum(path.stat().st_size for path in setup.folder.glob(f"{stem}.heaptrack*"))
    return None
