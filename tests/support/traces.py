"""heapsake run on a program, and what its trace says."""

import functools
import json
import os
import re
import subprocess
from pathlib import Path

from . import running
from .building import build_folder
from .running import clean_environment

# The first dlopen of a program frees lists that the loader made before any library had begun.
LOADERS_OWN = 4

_ALLOCATION = re.compile(rb'"event": "alloc".*?"size": (\d+)')

EXIT_DONE, EXIT_USAGE, EXIT_UNUSABLE = 0, 2, 3


def heapsake_binary():
    return build_folder() / "analyzer" / "heapsake"


def preload_library():
    return build_folder() / "preload" / "libheapsake.so"


def heapsake(*words, **more):
    """Any heapsake command; its Result."""
    return running.run([heapsake_binary(), *words], **more)


def command(trace, *options):
    """The command line of `heapsake run` with that output file, up to the program."""
    return [heapsake_binary(), "run", "-o", trace, *options, "--"]


def among_no_recorders():
    """Words before a command: in a network of its own it meets no recorder of a test beside, which may stand still just then."""
    own = ["unshare", "--net"]
    try:
        return own if running.run([*own, "true"]).status == 0 else []
    except FileNotFoundError:
        return []


def is_heapsake(pid):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", heapsake_binary())
    except OSError:
        return False


def the_recorder(process, trace_file):
    """The pid of the recorder of a program that has been started; heapsake's other process is its launcher."""
    def program_runs():
        return not is_heapsake(process.pid) or any(not is_heapsake(pid) for pid in running.children_of(process.pid))
    running.until(program_runs, what="the program's start")
    return running.until(lambda: next((pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                                       if pid != process.pid and is_heapsake(pid)
                                       and os.fsencode(trace_file) in running.command_line(pid)), None),
                         what="the recorder's start")


def the_program(process, program):
    """The pid of a program that `heapsake run` has started."""
    return running.until(lambda: next((pid for pid in running.children_of(process.pid)
                                       if running.command_line(pid)[:1] == [os.fsencode(program)]), None),
                         what="the program's start")


class Trace:
    """A trace file, as the analyzer's commands report it."""

    def __init__(self, path, made_by=""):
        self.path = Path(path)
        self.made_by = made_by  # what the program that was traced had said, where that is known

    def json(self, what, *options, timeout=running.TIMEOUT):
        done = heapsake(what, "--json", *options, self.path, timeout=timeout)
        assert done.status == 0, f"{done}"
        return json.loads(done.out)

    def why(self, object):
        """What `why --json` says of an object: a type, #ordinal or 0xaddress."""
        done = heapsake("why", "--json", self.path, object)
        assert done.status == 0, f"{done}"
        return json.loads(done.out)

    @functools.cached_property
    def summary(self):
        return self.json("summary")

    @functools.cached_property
    def verify(self):
        done = heapsake("verify", "--json", self.path)
        return json.loads(done.out)

    @functools.cached_property
    def peak(self):
        return self.json("peak")

    @functools.cached_property
    def leaks(self):
        return self.json("leaks", "--all")

    def allocations(self, *sizes, stacks=False):
        """
        The dumped allocations of these sizes (without any: of all). Read line by line, and most lines not even parsed:
        a dump is large.
        """
        sizes = set(sizes)
        words = [heapsake_binary(), "dump", "--json", *(["--stacks"] if stacks else []), self.path]
        found = []
        with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as dump:
            for line in dump.stdout:
                head = _ALLOCATION.search(line, 0, 250)
                if head and (not sizes or int(head[1]) in sizes):
                    found.append(json.loads(line))
        assert dump.returncode == 0
        return found

    def allocations_near(self, size):
        """How many allocations were of the size class (a power of two to the next) that `size` lies in."""
        return sum(row["count"] for row in self.summary["sizes"] if row["from"] <= size <= row["to"])

    @property
    def exit(self):
        """(status, signal) of the program, None where there is none."""
        exit = self.summary["process"]["exit"]
        return exit["status"], exit["signal"]

    def domain(self, name):
        nothing = {"allocations": 0, "frees": 0, "allocated_bytes": 0, "live_bytes": 0, "live_blocks": 0}
        return {**nothing, **self.summary["domains"].get(name, {})}

    def whole(self, *, unknown_frees=LOADERS_OWN):
        """
        Asserts what every healthy trace of a program that ended must say. `unknown_frees`: at most so many frees of
        blocks whose allocation was not seen.
        """
        verify = self.verify
        assert verify["complete"] is True, f"{verify}\n{self.made_by}"
        assert verify["damaged_chunks"] == 0 and not verify["problems"], verify
        summary = self.summary
        assert summary["trace"]["complete"] is True, summary["trace"]
        events = summary["events"]
        assert events["lost"] == 0, events
        assert events["unknown_frees"] <= unknown_frees, events
        assert events["total"] == events["allocations"] + events["frees"], events
        domains = summary["domains"].values()
        for key in ("allocations", "frees"):
            assert events[key] == sum(domain[key] for domain in domains), (key, summary)
        return self

    def children(self):
        """The traces of its children (and of earlier images), by file name."""
        stem = self.path.name.removesuffix(".hsk")
        pattern = re.compile(re.escape(stem) + r"\.\d+(\.[\w-]+)*\.hsk")
        return [Trace(path) for path in sorted(self.path.parent.iterdir()) if pattern.fullmatch(path.name)]

    def child_of_pid(self, pid):
        return Trace(self.path.with_name(f"{self.path.name.removesuffix('.hsk')}.{pid}.hsk"))

    def functions(self, sites):
        """The functions' names in the stacks of `sites` (of peak or leaks)."""
        return {frame["function"] for site in sites for frame in site["stack"] or []}

    def live_of(self, function, exact_bytes=None):
        """(blocks, bytes) alive at the end whose stack holds the function."""
        count = total = 0
        for leak in self.leaks["leaks"]:
            if any(frame["function"] == function for frame in leak["stack"]):
                count += leak["count"]
                total += leak["bytes"]
        return count, total


class Traced:
    """A program that ran under heapsake: its Result and its Trace."""

    def __init__(self, result, path):
        self.result = result
        self.trace = Trace(path, result)
        self.out, self.err, self.status = result.out, result.err, result.status

    @property
    def truth(self):
        """The one JSON document that the target printed on its standard output."""
        return json.loads(self.out)


def record(path, argv, *options, **more):
    """Runs argv under `heapsake run -o path`."""
    return Traced(running.run([*command(path, *options), *argv], **more), path)


def preloaded(path, argv, *, env=None, options="", **more):
    """Runs argv with a bare LD_PRELOAD, as users do who cannot change the command."""
    environment = dict(clean_environment() if env is None else env)
    environment["LD_PRELOAD"] = str(preload_library())
    environment["HEAPSAKE_OUTPUT"] = str(path)
    if options:
        environment["HEAPSAKE_OPTIONS"] = options
    return Traced(running.run(argv, env=environment, **more), path)


def settled(trace, timeout=20):
    """Waits until a recorder that is not our child has finished the file."""
    def finished():
        if not trace.path.exists():
            return False
        done = heapsake("verify", "--json", trace.path)
        try:
            return json.loads(done.out)["complete"]
        except (ValueError, KeyError):
            return False
    running.until(finished, timeout=timeout, what=f"the end of {trace.path.name}")
    return Trace(trace.path)
