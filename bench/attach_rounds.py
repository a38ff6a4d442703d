#!/usr/bin/env python3
"""
Attaches to programs of many kinds and leaves them, again and again, and says what it cost them.

    bench/attach_rounds.py [--rounds 200] [--build build] [--python PYTHON]... [--only WORDS]

Each program is started untraced, attached to and left `rounds` times, and asked for its end: it must end by itself, with
status 0 and the answer that it owes. A line per program: rounds, milliseconds that one of its threads stood still (median,
most), milliseconds until it was traced, mappings and descriptors before and afterwards, and what went wrong. The exit status is
1 when anything did.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ROOT / "tests/targets"

PYTHON_KINDS = {
    "sleep": "import time\nprint('on', flush=True)\nwhile not done(): time.sleep(0.3)\nprint('end', flush=True)",
    "select": "import select\nprint('on', flush=True)\nwhile not done(): select.select([], [], [], 0.3)\nprint('end', flush=True)",
    "read": "print('on', flush=True)\nos.read(0, 1)\nprint('end', flush=True)",
    "futex": "import threading\nprint('on', flush=True)\nthreading.Thread(target=lambda: os.read(0, 1)).start()\n"
             "[t.join() for t in threading.enumerate() if t is not threading.main_thread()]\n"
             "print('end', flush=True)",
    "busy": "print('on', flush=True)\nn = 0\nwhile not done(): n += sum(range(1000))\nprint('end', flush=True)",
    "objects": "print('on', flush=True)\nkept = []\nwhile not done():\n    kept = [[i, str(i)] for i in range(2000)]\nprint('end', flush=True)",
    "threads": "import threading\ndef work():\n    while not done(): x = [str(i) for i in range(50)]\n"
               "threads = [threading.Thread(target=work) for _ in range(20)]\n[t.start() for t in threads]\nprint('on', flush=True)\n"
               "[t.join() for t in threads]\nprint('end', flush=True)",
    "asyncio": "import asyncio\nasync def tick():\n    while not done(): await asyncio.sleep(0.01)\n"
               "async def main(): await asyncio.gather(*[tick() for _ in range(50)])\nprint('on', flush=True)\nasyncio.run(main())\n"
               "print('end', flush=True)",
}
PRELUDE = "import os, select as _select\ndef done(): return bool(_select.select([0], [], [], 0)[0])\n"

CPP_THROWS = """
#include <poll.h>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>
static int thrown(int n) { std::vector<std::string> kept(5, std::string(n % 100, 'x')); if (n % 2) throw std::runtime_error(kept[0]); return n; }
int main() {
    puts("on"); fflush(stdout);
    pollfd in = {0, POLLIN, 0};
    long caught = 0;
    for (int n = 0; poll(&in, 1, 0) == 0; n++)
        for (int i = 0; i < 100; i++)
            try { thrown(n + i); } catch (const std::exception &) { caught++; }
    puts("end");
}
"""

C_MALLOCS = """
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static volatile int ending;
static void *work(void *unused) { while (!ending) { void *volatile p[50]; for (int i = 0; i < 50; i++) p[i] = malloc(i * 40); for (int i = 0; i < 50; i++) free(p[i]); } return unused; }
int main(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, NULL);
    puts("on"); fflush(stdout);
    struct pollfd in = {0, POLLIN, 0};
    while (poll(&in, 1, 0) == 0) work_a_little: for (int i = 0; i < 100; i++) free(malloc(i));
    ending = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    puts("end");
    return 0;
}
""".replace("work_a_little: ", "")


def programs(folder, pythons):
    """Name: command line."""
    found = {}
    for name, source, compiler in (("c-mallocs", C_MALLOCS, ["gcc", "-x", "c", "-pthread"]), ("c++-throws", CPP_THROWS, ["g++", "-x", "c++"])):
        path = folder / name
        subprocess.run([*compiler, "-O2", "-o", path, "-"], input=source.encode(), check=True)
        found[name] = [path]
    for python in pythons:
        version = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True,
                                 check=True).stdout.strip()
        for kind, code in PYTHON_KINDS.items():
            found[f"python{version}-{kind}"] = [python, "-c", PRELUDE + code]
    return found


def counts(pid):
    with open(f"/proc/{pid}/maps") as maps:
        return len(maps.readlines()), len(os.listdir(f"/proc/{pid}/fd"))


def rounds_with(name, command, heapsake, count, folder):
    """True: nothing went wrong."""
    wrong = []
    process = subprocess.Popen([os.fspath(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"on\n"
    stopped, after, first, early = [], [], counts(process.pid), None
    for number in range(count):
        done = subprocess.run([heapsake, "attach", "--json", "--force", "--duration", "0.05", "-o", folder / "t.hsk",
                               str(process.pid)], capture_output=True, text=True)
        if done.returncode != 0 or process.poll() is not None:
            wrong.append(f"round {number}: {done.returncode} {done.stderr.strip()[-200:]}")
            if process.poll() is not None or len(wrong) > 3:
                break
            continue
        said = json.loads(done.stdout)
        stopped.append(said["stopped"] * 1000)
        after.append(said["attached_after"] * 1000)
        if number == min(4, count - 1):
            early = counts(process.pid)
    last = counts(process.pid) if process.poll() is None else None
    try:
        out, err = process.communicate(b"x", timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        wrong.append("it did not end")
    if process.returncode != 0 or out != b"end\n" or err:
        wrong.append(f"it ended with {process.returncode}, {out!r}, {err[-300:]!r}")
    if last and early and last[1] != first[1]:
        wrong.append("descriptors stayed")
    figures = f"{statistics.median(stopped):6.2f} {max(stopped):7.2f} {statistics.median(after):7.1f}" if stopped else "-"
    print(f"{name:22} {len(stopped):4} {figures}   {first} {early} {last}  {'; '.join(wrong)}", flush=True)
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--build", default="build")
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    heapsake = ROOT / options.build / "analyzer/heapsake"
    print(f"{'':22} rounds, ms stopped (median, most), ms until traced; (mappings, descriptors) before, early, at the end")
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, command in programs(folder, options.python or [sys.executable]).items():
            if options.only in what:
                good &= rounds_with(what, command, heapsake, options.rounds, folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
