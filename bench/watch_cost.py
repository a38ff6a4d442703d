#!/usr/bin/env python3
"""
What watching two sites, or what --watch says, costs a busy asyncio server: processor time of the whole server, traced, with and
without --watch.

    bench/watch_cost.py [--build build] [--python PYTHON] [--runs 15] [--watch SPEC ...]

The server answers requests over loopback from a client in the same process; each request makes a session and some rows, at two
sites, and takes the usual references to them. A line: the medians, the median of the ratios of pairs (the bar is 1.05), and how
many changes of counts were seen in the last run. One median of 15 pairs is no finer than about 0.03.
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

SERVER = """
import asyncio, json, sys, time

class Session:
    def __init__(self, user):
        self.user = user
        self.rows = []

class Row:
    def __init__(self, number):
        self.number = number

SESSIONS = {}

def open_session(user):
    return Session(user)

def make_row(number):
    return Row(number)

def handle(request):
    session = SESSIONS.get(request["user"])
    if session is None:
        session = SESSIONS[request["user"]] = open_session(request["user"])
        if len(SESSIONS) > 50:
            SESSIONS.pop(next(iter(SESSIONS)))
    for number in range(5):
        session.rows.append(make_row(number))
    del session.rows[:-20]
    body = [{"number": row.number, "user": session.user, "text": "x" * row.number} for row in session.rows]
    return json.dumps({"rows": body, "again": json.loads(json.dumps(request))})

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(handle(json.loads(line)).encode() + b"\\n")
        await writer.drain()
    writer.close()

async def ask(port, count):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(count):
        writer.write(json.dumps({"user": number % 70, "path": "/items", "page": number}).encode() + b"\\n")
        await writer.drain()
        await reader.readline()
    writer.close()

async def main(count):
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(*[ask(port, count) for _ in range(4)])
    server.close()

begin = time.process_time()
asyncio.run(main(int(sys.argv[1])))
print(f"{time.process_time() - begin:.6f}")
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--watch", action="append", metavar="SPEC")
    parser.add_argument("--requests", type=int, default=12000)
    options = parser.parse_args()
    heapsake = ROOT / options.build / "analyzer/heapsake"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server.py").write_text(SERVER)
        specs = options.watch or ["site:open_session", "site:make_row"]
        watch = [word for spec in specs for word in ("--watch", spec)]
        found = {"plain": [], "watched": []}
        pair = [("plain", []), ("watched", watch)]
        for _ in range(options.runs):
            pair.reverse()  # a machine that grows faster or slower favours neither
            for what, more in pair:
                argv = [heapsake, "run", "--force", *more, "-o", folder / f"{what}.hsk", "--", options.python, folder / "server.py",
                        str(options.requests)]
                done = subprocess.run([os.fspath(word) for word in argv], capture_output=True, text=True, check=True)
                found[what].append(float(done.stdout))
        refs = subprocess.run([heapsake, "refs", "--json", folder / "watched.hsk"], capture_output=True, text=True, check=True)
        seen = json.loads(refs.stdout)
        ratios = [b / a for a, b in zip(found["plain"], found["watched"])]
        print(f"plain {statistics.median(found['plain']):.3f} s, {' and '.join(specs)} watched "
              f"{statistics.median(found['watched']):.3f} s of processor time: "
              f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})")
        print(f"{seen['changes']} changes of the counts of {seen['objects']} objects seen in the last run")


if __name__ == "__main__":
    main()
