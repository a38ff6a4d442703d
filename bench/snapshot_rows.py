"""The bars of snapshots and of object events: further rows of `bench/compare`'s first table."""

import json
import os
import subprocess

import contenders
import measure
import trace_chunks
from rows import Row, checked, milliseconds, seconds, size, times, walls

GIB = 1 << 30
GRAPH = 14           # a chunk's type
MIB_TOUCHED = 1024
ITEMS, EXTRA = 750000, 1000   # kept.py: 3.75 million objects, about a GiB
TOUCHED_ITEMS, ROUNDS = 500000, 200


# ---- one run ----


def snapshot_command(setup, command, name, *options):
    """`heapsake run` with its snapshots."""
    return [setup.heapsake, "run", "--force", *options, "-o", setup.trace(name), "--", *command]


def with_snapshots(setup, command, name, *options):
    return lambda: measure.run(snapshot_command(setup, command, name, *options))


def all_described(setup, name):
    """What a trace says of its snapshots. Not every number is there: the one at the end goes before one under way."""
    argv = [os.fspath(word) for word in (setup.heapsake, "summary", "--json", setup.trace(name))]
    return json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)["snapshots"]


def last_snapshot(setup, command, name):
    """Runs a program; what its trace says of the snapshot at its end."""
    measure.run(snapshot_command(setup, command, name))
    found = all_described(setup, name)
    if not found or found[-1]["reason"] != "exit" or not found[-1]["whole"]:
        raise measure.Failed(f"{name}: no whole snapshot at the end")
    return found


# ---- the pause ----


def pause_of_small_ones(setup, rounds):
    rows = []
    for what, command in (("`true`", ["true"]), ("`python3 -c pass`", [setup.python, "-c", "pass"])):
        figure = measure.Figure([last_snapshot(setup, command, "small")[-1]["pause"] for _ in range(rounds)])
        rows.append(Row(f"pause for a snapshot, {what}", "10 ms", milliseconds(figure), figure.median <= 0.010))
    return rows


def pause_per_gib(what, setup, command, rounds):
    """Beside it what a plain fork of the same program takes untraced, which is the least that a snapshot can."""
    forks, found, pauses = [], [], []
    for _ in range(rounds):
        forks.append(float(measure.run([*command, "fork"]).out))
        found.append(last_snapshot(setup, command, "large"))
        pauses.append(found[-1][-1]["pause"] / found[-1][-1]["resident_bytes"] * GIB)
    pause, resident = measure.Figure(pauses), found[-1][-1]["resident_bytes"]
    row = Row(f"pause for a snapshot, per GiB resident, {what} of {size(resident)}", "25 ms",
              f"{milliseconds(pause)}; a plain fork of it untraced: {milliseconds(measure.Figure(forks))}",
              pause.median <= 0.025)
    return row, [snapshots[-1] for snapshots in found]


def pauses_and_the_walk(setup, rounds):
    rows = pause_of_small_ones(setup, rounds)
    row, _ = pause_per_gib("C", setup, [setup.compile("touched"), str(MIB_TOUCHED)], rounds)
    rows.append(row)
    row, found = pause_per_gib("Python", setup, setup.script("kept", ITEMS, EXTRA), rounds)
    rows.append(row)
    last = found[-1]
    speed = measure.Figure([one["objects"] / one["walk"] / 1e6 for one in found])
    rows.append(Row("walk", "at least 1 million objects per second",
                    f"{speed.median:.2f} million ({min(speed.values):.2f}-{max(speed.values):.2f}; {last['objects']:,} "
                    "objects and blocks)", speed.median >= 1))
    stored = sum(chunk.stored_bytes for chunk in trace_chunks.chunks(setup.trace("large"))
                 if chunk.type == GRAPH and abs(chunk.time_first - last["time"]) < 1e-6)
    each = stored / (last["objects"] + last["edges"])
    rows.append(Row("bytes in the file per object and edge", "12",
                    f"{each:.2f} ({last['objects']:,} objects, {last['edges']:,} edges, {size(stored)})", 0 < each <= 12))
    return rows


# ---- what it costs the program afterwards ----


def copying(setup, rounds):
    """The worst case: a program that writes to all of its memory while the snapshots are being written."""
    command = setup.script("kept", TOUCHED_ITEMS, EXTRA, "touch", ROUNDS)
    runs = measure.interleaved({
        "on": with_snapshots(setup, command, "touch", "--snapshot-every", "2"),
        "exit": with_snapshots(setup, command, "touch-exit"),
    }, rounds)
    taken = during(setup, "touch")
    more = len(taken) - len(during(setup, "touch-exit"))
    if more <= 0:
        raise measure.Failed("no snapshot was taken while the program ran")
    cost = (walls(runs["on"]).median - walls(runs["exit"]).median) / more
    copied = max(one["copied_bytes"] for one in taken)
    resident = max(one["resident_bytes"] for one in taken)
    pause = sum(one["pause"] for one in taken) / len(taken)
    return [Row("pages copied during a snapshot while all memory is written to, at most", "-",
                f"{size(copied)} of {size(resident)} resident ({len(taken)} snapshots)", None),
            Row("... what a snapshot adds to the wall time, its pause included", "-",
                f"{cost * 1e3:.0f} ms (pause: {pause * 1e3:.1f} ms)", None)]


def during(setup, name):
    """The snapshots that were taken while the program ran."""
    return [one for one in all_described(setup, name) if one["reason"] != "exit"]


# ---- object events and default options ----


def objects(setup, workloads, rounds, progress):
    """
    The snapshot at the end is in both runs whose difference is taken, so that the births and deaths remain. Returns
    the rows; those of whole runs have no bar.
    """
    rows, whole = [], []
    for name, arguments, _ in workloads:
        command = setup.script(name, *arguments)
        runs = checked(name, measure.interleaved({
            "untraced": contenders.untraced(command),
            "heapsake --no-snapshot": contenders.heapsake(setup, command, name + "-spine"),
            "heapsake --no-objects": with_snapshots(setup, command, name + "-no-objects", "--no-objects"),
            "heapsake": with_snapshots(setup, command, name + "-whole"),
        }, rounds, progress))
        spine = walls(runs["heapsake --no-snapshot"])
        more = walls(runs["heapsake"]).minus(walls(runs["heapsake --no-objects"])).over(spine)
        if has_object_events(setup):
            rows.append(Row(f"births and deaths of objects, {name}", "25 % on top of the spine",
                            f"{more.median * 100:.1f} % ({min(more.values) * 100:.1f}-{max(more.values) * 100:.1f})",
                            more.median <= 0.25))
        ratio = walls(runs["heapsake"]).over(walls(runs["untraced"]))
        snapshot = walls(runs["heapsake --no-objects"]).median - spine.median
        whole.append(Row(f"{name} {' '.join(map(str, arguments))} with default options", "-",
                         f"{times(ratio)} times, {seconds(walls(runs['heapsake']))}; "
                         f"{snapshot:.3f} s of it for the snapshot at the end", None))
    if not rows:
        rows.append(Row("births and deaths of objects", "25 % on top of the spine", "takes CPython 3.13", None))
    return rows + whole


def has_object_events(setup):
    version = measure.run([setup.python, "-c", "import sys; print(sys.version_info >= (3, 13))"]).out
    return version.strip() == "True"


def exit_path(setup, rounds, progress):
    """What the snapshot at the end adds to the shortest of runs: the child is waited for."""
    command = [setup.python, "-c", "pass"]
    runs = measure.interleaved({
        "off": contenders.heapsake(setup, command, "pass-off"),
        "on": with_snapshots(setup, command, "pass-on"),
    }, 3 * rounds, progress)
    more = walls(runs["on"]).minus(walls(runs["off"]))
    return [Row("snapshot at the end of `python3 -c pass`, whole run", "-", f"{milliseconds(more)} more", None)]


# ---- the analyzer ----


def analysis(setup):
    """10 million objects and 30 million edges."""
    build = setup.heapsake.parent.parent
    program = build / "tests" / "graph_speed"
    what, bar = "analysis of 10 million objects and 30 million edges", "60 s of one core, 4 GiB"
    if (build / "build.ninja").exists():
        subprocess.run(["ninja", "-C", build, "tests/graph_speed"], check=False, capture_output=True)
    if not program.exists():
        return [Row(what, bar, "needs `ninja -C build tests/graph_speed`", None)]
    done = measure.run([program, setup.folder / "graph.hsk"])
    (setup.folder / "graph.hsk").unlink(missing_ok=True)
    lines = done.out.strip().splitlines()
    spent = float(lines[-1].split()[-2])
    peak = max(int(line.split()[3]) for line in lines[1:-1])
    return [Row(what, bar, f"{spent:.1f} s, {peak / 1024:.1f} GiB", spent < 60 and peak < 4096)]
