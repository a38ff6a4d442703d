"""The result of a comparison as Markdown: docs/BENCHMARKS.md is one of these."""

import datetime
import os
import platform
from dataclasses import dataclass, field

import measure
import rows

OTHER_WORK = "; it had other work, and all runs had real-time priority over that"


def machine():
    """The kind of machine, and nothing that names it."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    with open("/proc/meminfo", encoding="utf-8") as info:
        memory = int(info.readline().split()[1]) / 1024 / 1024
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB of memory, {system}, Linux {kernel}, " \
           f"glibc {platform.libc_ver()[1]}"


@dataclass
class Workload:
    runs: dict
    sizes: dict


@dataclass
class Result:
    runs: int
    versions: list
    rows: list = field(default_factory=list)
    workloads: dict = field(default_factory=dict)
    analysis: dict = field(default_factory=dict)

    def add_workload(self, name, runs, size_of):
        self.workloads[name] = Workload(runs, {contender: size_of(contender) for contender in runs})

    def markdown(self):
        today = datetime.date.today().isoformat()
        text = ["# Benchmarks", "",
                "Made by `bench/compare`, which runs heapsake and its peers in turns on the workloads of",
                f"`bench/workloads`. Times are medians of {self.runs} runs, the least and the largest behind them;",
                "ratios are to the untraced program. A wall time is from the start of `heapsake run --no-snapshot`",
                "to its end: symbols, the closing screen and the last write are in it.", "",
                f"- Date: {today}", f"- Machine: {machine()}{OTHER_WORK if measure.realtime else ''}", *(f"- {line}" for line in self.versions), "",
                "## The bars", "",
                *table(["", "at most", "measured", "met"],
                       [[row.what, row.bar, row.measured, {True: "yes", False: "**no**", None: "-"}[row.met]]
                        for row in self.rows])]
        if self.workloads:
            text += ["", "## Side by side", "",
                     "`noop` is a preloaded library that passes malloc, calloc, realloc and free on and does",
                     "nothing else. heapsake and memray trace all Python allocators with full Python stacks;",
                     "`--native` adds native ones. heaptrack runs Python with PYTHONMALLOC=malloc, and sees native",
                     "stacks; tracemalloc keeps 25 frames."]
            for name, workload in self.workloads.items():
                text += ["", f"### {name}", "", *table(["", "wall, s", "times untraced", "processor, s", "written"],
                                                       self._lines(workload))]
        if self.analysis:
            text += ["", "## Reading the jsonw trace", "",
                     *table(["", "wall, s"], [[name, rows.times(figure)] for name, figure in self.analysis.items()])]
        return "\n".join(text) + "\n"

    @staticmethod
    def _lines(workload):
        base = rows.walls(workload.runs["untraced"])
        for name, runs in workload.runs.items():
            wall = rows.walls(runs)
            cpu = sorted(run.cpu for run in runs)[len(runs) // 2]
            written = workload.sizes[name]
            yield [name, rows.times(wall), rows.times(wall.over(base)), f"{cpu:.2f}",
                   "" if written is None else rows.size(written)]


def table(head, lines):
    """A Markdown table, padded so that it reads as text too."""
    lines = [head, *([str(cell) for cell in line] for line in lines)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    padded = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return [padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]]
