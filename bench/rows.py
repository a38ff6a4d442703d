"""The bars of the project, each with what was measured: what `bench/compare` prints as its first table."""

import json
from dataclasses import dataclass

import contenders
import measure
import trace_chunks

MIB = 1 << 20


@dataclass
class Row:
    what: str
    bar: str            # as text
    measured: str
    met: bool | None    # None: could not be measured here, and `measured` says why


def times(figure):
    return f"{figure.median:.3g} ({min(figure.values):.3g}-{max(figure.values):.3g})"


def milliseconds(figure):
    return f"{figure.median * 1e3:.1f} ms ({min(figure.values) * 1e3:.1f}-{max(figure.values) * 1e3:.1f})"


def seconds(figure):
    return f"{figure.median:.3f} s ({min(figure.values):.3f}-{max(figure.values):.3f})"


def size(number):
    return f"{number / MIB:.1f} MiB" if abs(number) >= MIB else f"{number / 1024:.0f} KiB"


def walls(runs):
    return measure.Figure([run.wall for run in runs])


def checked(name, runs):
    """Same output as untraced, or the comparison means nothing."""
    wanted = runs["untraced"][0].out
    for contender, results in runs.items():
        if contender.startswith(("heapsake", "noop")) and any(result.out != wanted for result in results):
            raise measure.Failed(f"{name}: the output under {contender} differs from the untraced run's")
    return runs


# ---- wall time ----


def slowdown(what, runs, bar, start_up=None):
    figure = walls(runs["heapsake"])
    if start_up is not None:
        figure = measure.Figure([value - start_up for value in figure.values])
    ratio = figure.over(walls(runs["untraced"]))
    return Row(what, f"{bar} times", f"{times(ratio)} times", ratio.median <= bar)


def start_up(setup, rounds, progress):
    """Returns the rows, and the seconds that starting python3 traced takes more."""
    python_pass = [setup.python, "-c", "pass"]
    runs = measure.interleaved({
        "true": contenders.untraced(["true"]),
        "true traced": contenders.heapsake(setup, ["true"], "true"),
        "python": contenders.untraced(python_pass),
        "python traced": contenders.heapsake(setup, python_pass, "pass"),
    }, 3 * rounds, progress)
    rows, more = [], 0.0
    for what, name in (("start-up, `true`", "true"), ("start-up, `python3 -c pass`", "python")):
        figure = walls(runs[name + " traced"]).minus(walls(runs[name]))
        rows.append(Row(what, "30 ms more", milliseconds(figure), figure.median <= 0.030))
        more = figure.median
    return rows, more


def closing_screen(setup, rounds):
    command = setup.traced(setup.script("jsonw", 300), setup.trace("closing"))
    watched = [measure.watch(command, setup.heapsake) for _ in range(rounds)]
    if any(one.closing is None for one in watched):
        raise measure.Failed("the program was not seen among the processes")
    figure = measure.Figure([one.closing for one in watched])
    return Row("closing screen of the jsonw run", "0.3 s", seconds(figure), figure.median <= 0.3)


# ---- what it writes ----


def trace_sizes(setup, bars):
    rows = []
    for name, bar in bars.items():
        summary = contenders.summary(setup, setup.trace(name))
        events, lost = summary["events"]["total"], summary["events"]["lost"]
        each = summary["trace"]["bytes"] / events
        rows.append(Row(f"trace size, {name}", f"{bar} bytes per event",
                        f"{each:.3f} ({events:,} events, {size(summary['trace']['bytes'])}, {lost} lost)",
                        each <= bar and not lost))
    return rows


# ---- memory ----


def peaks(setup, command):
    """Peak resident set that a workload tells of itself: untraced, traced."""
    alone = measure.status_fields(measure.run(command).err)
    traced = measure.status_fields(measure.run(setup.traced(command, setup.trace("memory"))).err)
    return alone["VmHWM"], traced["VmHWM"]


def median_added(setup, command, rounds):
    added = []
    for _ in range(rounds):
        alone, traced = peaks(setup, command)
        added.append(traced - alone)
    return measure.Figure(added)


def memory_of_the_program(setup, rounds):
    rows = []
    python = setup.script("with_status", contenders.WORKLOADS / "jsonw.py", 300)
    churn = [setup.compile("churn"), "1000000", "1", "status"]
    for what, command in (("jsonw", python), ("churn", churn)):
        added = median_added(setup, command, rounds)
        rows.append(Row(f"memory added to the program, {what}", "16 MiB",
                        f"{size(added.median)} ({size(min(added.values))}-{size(max(added.values))})",
                        added.median <= 16 * MIB))
    threads = setup.compile("threads")
    few, many = 1, 129
    each = (median_added(setup, [threads, str(many)], rounds).median -
            median_added(setup, [threads, str(few)], rounds).median) / (many - few)
    rows.append(Row("... per further thread", "256 KiB", size(each), each <= 256 * 1024))
    return rows + [memory_per_node(setup, rounds)]


def memory_per_node(setup, rounds):
    """A hash index costs most just after it has grown, which may be at half of a power of two or at three quarters."""
    stacks = setup.compile("stacks")
    base = median_added(setup, [stacks, "1000"], rounds).median
    found = []
    for nodes in (0.76 * MIB, 1.02 * MIB):
        count = int(nodes / 3)
        added = median_added(setup, [stacks, str(count)], rounds).median - base
        found.append(added / (3 * (count - 1000)))
    return Row("... per distinct stack node", "32 bytes",
               f"{max(found):.1f} bytes (800 thousand nodes: {found[0]:.1f}, 1.07 million: {found[1]:.1f})",
               max(found) <= 32)


def memory_of_the_recorder(setup, rounds):
    command = setup.traced(setup.script("jsonw", 300), setup.trace("closing"))
    watched = [measure.watch(command, setup.heapsake) for _ in range(rounds)]
    peak = max(one.recorder.get("VmHWM", 0) for one in watched)
    anonymous = max(one.recorder.get("RssAnon", 0) for one in watched)
    rows = [Row("memory of the recorder, jsonw", "64 MiB", f"{size(peak)} (of its own: {size(anonymous)})",
                0 < peak <= 64 * MIB)]
    live = setup.compile("live")
    few, many = 200000, 2200000
    recorders = [measure.watch(setup.traced([live, str(count)], setup.trace("live")), setup.heapsake).recorder
                 for count in (few, many)]
    each = (recorders[1].get("VmHWM", 0) - recorders[0].get("VmHWM", 0)) / (many - few)
    rows.append(Row("... per live block", "64 bytes", f"{each:.1f} bytes ({many:,} live blocks)", 0 < each <= 64))
    return rows


# ---- the analyzer ----


def analysis(setup, rounds, progress):
    """The speed of `peak --at`, and what the reports take beside memray's."""
    trace = setup.trace("jsonw")
    if not trace.exists():
        measure.run(setup.traced(setup.script("jsonw", 300), trace))
    half = contenders.summary(setup, trace)["process"]["duration"] / 2
    events = trace_chunks.events_until(trace, half)
    commands = {
        "peak --at": [setup.heapsake, "peak", "--json", "--at", f"{half:.6f}", trace],
        "summary": [setup.heapsake, "summary", "--json", trace],
        "peak": [setup.heapsake, "peak", "--json", trace],
        "leaks": [setup.heapsake, "leaks", "--json", trace],
    }
    memray_trace = setup.folder / "jsonw.memray"
    if memray_trace.exists():
        commands["memray stats"] = [setup.python, "-m", "memray", "stats", memray_trace]
    runs = measure.interleaved({name: contenders.untraced(command) for name, command in commands.items()}, rounds,
                               progress)
    for name in ("peak --at", "summary", "peak", "leaks"):
        json.loads(runs[name][0].out)
    speed = measure.Figure([events / run.cpu / 1e6 for run in runs["peak --at"]])
    row = Row("`peak --at` half of the run, jsonw", "20 million events per second and core",
              f"{speed.median:.1f} million ({min(speed.values):.1f}-{max(speed.values):.1f}; {events:,} events decoded "
              f"in {runs['peak --at'][0].cpu:.2f} s)",
              speed.median >= 20)
    return row, {name: walls(results) for name, results in runs.items()}
