#!/usr/bin/env python3
"""
Attaches to programs of many kinds and leaves them, again and again, and says what it cost them.

    bench/attach_rounds.py [--rounds 200] [--build build] [--python PYTHON]... [--only WORDS]

Each program is started untraced, attached to and left `rounds` times, and asked for its end: it must end by itself, with
status 0 and the answer that it owes. A line per program: rounds, milliseconds that one of its threads stood still (median,
most), milliseconds until it was traced, mappings and descriptors before and afterwards, and what went wrong. The exit status is
1 when anything did.

Where an interpreter has gunicorn, one with two workers is attached to in turn while clients ask it all the time: each
request must be answered rightly. How many there were, and the slowest, is told at the end of the line.

tests/e2e/test_attach_rounds.py runs the same programs a few rounds each.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
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
               "async def main():\n    print('on', flush=True)\n    await asyncio.gather(*[tick() for _ in range(50)])\nasyncio.run(main())\n"
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

NATIVE_KINDS = {"c-mallocs": (C_MALLOCS, ["gcc", "-x", "c", "-pthread"]), "c++-throws": (CPP_THROWS, ["g++", "-x", "c++"])}

SERVED = """
import os

kept = []


def application(environ, start_response):
    number = int(environ["QUERY_STRING"])
    kept.append([str(n) for n in range(number % 100)])
    del kept[:-50]
    body = f"{number * number} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
WORKERS, CLIENTS = 2, 2
MOST_SECONDS = 60  # of a round
MOST_WRONG = 10  # then a program is given up


class Program:
    """Says "on" when it is at work; a byte on its standard input asks for its end, before which it says "end"."""

    def __init__(self, command):
        self.process = subprocess.Popen([os.fspath(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        assert self.process.stdout.readline() == b"on\n"
        self.pids = [self.process.pid]  # to be attached to, one after the other

    def begin(self):
        """What it does while it is attached to, and not at rest."""

    def rest(self):
        """The end of that: a sentence about it, and a list of what went wrong."""
        return "", []

    def kill(self):
        """When it is not to end by itself any more."""
        self.process.kill()
        self.process.communicate()

    def end(self):
        """What goes wrong at its end."""
        try:
            out, err = self.process.communicate(b"x", timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            return ["it did not end"]
        if self.process.returncode != 0 or out != b"end\n" or err:
            return [f"it ended with {self.process.returncode}, {out!r}, {err[-300:]!r}"]
        return []


class Server:
    """gunicorn, of which the workers are attached to, while clients ask."""

    def __init__(self, python, folder):
        (folder / "served.py").write_text(SERVED)
        self.log = open(folder / "gunicorn.log", "w+b")
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.process = subprocess.Popen(
            [python, "-m", "gunicorn.app.wsgiapp", "--workers", str(WORKERS), "--log-level", "warning", "--worker-tmp-dir", folder,
             "--bind", f"fd://{self.listening.fileno()}", "served:application"],
            cwd=folder, pass_fds=[self.listening.fileno()], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.ended, self.wrong, self.seconds, self.numbers = threading.Event(), [], [], iter(range(1 << 60))
        found = set()
        while len(found) < WORKERS:  # they are at work
            found.add(self.ask())
        self.pids = sorted(found)
        self.clients = [threading.Thread(target=self.ask_all_the_time) for _ in range(CLIENTS)]
        self.began = None

    def ask(self):
        """The pid of the worker that has answered."""
        number = next(self.numbers)
        connection = http.client.HTTPConnection("127.0.0.1", self.listening.getsockname()[1], timeout=20)
        connection.request("GET", f"/?{number}")
        answer = connection.getresponse()
        body = answer.read().split()
        connection.close()
        assert answer.status == 200 and int(body[0]) == number * number, f"{answer.status} {body}"
        return int(body[1])

    def ask_all_the_time(self):
        while not self.ended.is_set():
            began = time.monotonic()
            try:
                pid = self.ask()
                assert pid in self.pids, f"{pid} is a new worker"
            except (OSError, ValueError, AssertionError, http.client.HTTPException) as error:
                self.wrong.append(f"lost: {error!r}")
            self.seconds.append(time.monotonic() - began)

    def begin(self):
        self.began = time.monotonic()
        for client in self.clients:
            client.start()

    def rest(self):
        self.ended.set()
        for client in self.clients:
            client.join()
        took = time.monotonic() - self.began
        return (f"{len(self.seconds)} requests, {len(self.seconds) / took:.0f}/s, the slowest {max(self.seconds) * 1000:.0f} ms, "
                f"{len(self.wrong)} lost", self.wrong[:3])

    def kill(self):
        self.ended.set()
        self.process.kill()  # its workers end when they see that
        self.process.wait()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.returncode
        self.listening.close()
        self.log.seek(0)
        said = self.log.read()
        self.log.close()
        return [f"it ended with {status}, {said[-300:]!r}"] if status != 0 or said else []


def native(kind, folder):
    """What starts a program of one of NATIVE_KINDS."""
    source, compiler = NATIVE_KINDS[kind]
    path = folder / kind
    subprocess.run([*compiler, "-O2", "-o", path, "-"], input=source.encode(), check=True)
    return lambda: Program([path])


def of_python(python, kind, folder):
    """What starts a program of one of PYTHON_KINDS, or "gunicorn"."""
    if kind == "gunicorn":
        return lambda: Server(python, folder)
    return lambda: Program([python, "-c", PRELUDE + PYTHON_KINDS[kind]])


def programs(folder, pythons):
    """Name: what starts it."""
    found = {kind: native(kind, folder) for kind in NATIVE_KINDS}
    for python in pythons:
        ask = "import sys, importlib.util as u; print('%d.%d' % sys.version_info[:2], bool(u.find_spec('gunicorn')))"
        version, serves = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
        for kind in [*PYTHON_KINDS, *(["gunicorn"] if serves == "True" else [])]:
            found[f"python{version}-{kind}"] = of_python(python, kind, folder)
    return found


def counts(pid):
    with open(f"/proc/{pid}/maps") as maps:
        return len(maps.readlines()), len(os.listdir(f"/proc/{pid}/fd"))


def lives(pid):
    return os.path.exists(f"/proc/{pid}/exe")  # a zombie has none


class Rounds:
    """Attaches to a program and leaves it `count` times. `wrong` is what went wrong."""

    def __init__(self, start, heapsake, count, folder):
        self.wrong, self.stopped, self.after, self.early, self.told = [], [], [], None, ""
        program = start()
        try:
            self.watched = program.pids[0]
            self.first = counts(self.watched)
            program.begin()
            for number in range(count):
                self.go(program.pids[number % len(program.pids)], number, heapsake, folder)
                if number == min(4, count - 1):
                    self.early = counts(self.watched)
                if not lives(self.watched) or len(self.wrong) > MOST_WRONG:
                    break
            self.told, bad = program.rest()
            self.last = counts(self.watched) if lives(self.watched) else None
            self.wrong += bad + program.end()
        except BaseException:
            program.kill()
            raise
        if self.last and self.last[1] != self.first[1]:
            self.wrong.append("descriptors stayed")

    def go(self, pid, number, heapsake, folder):
        words = [heapsake, "attach", "--json", "--force", "--duration", "0.05", "-o", folder / "t.hsk", str(pid)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired as late:
            self.wrong.append(f"round {number}: not over after {MOST_SECONDS} s: {(late.stderr or b'').decode()[:300]}")
            return
        if done.returncode != 0 or not lives(pid):
            self.wrong.append(f"round {number}: {done.returncode} {done.stderr.strip()[:300]}")
            return
        said = json.loads(done.stdout)
        self.stopped.append(said["stopped"] * 1000)
        self.after.append(said["attached_after"] * 1000)

    def __str__(self):
        figures = "-"
        if self.stopped:
            figures = f"{statistics.median(self.stopped):6.2f} {max(self.stopped):7.2f} {statistics.median(self.after):7.1f}"
        return f"{len(self.stopped):4} {figures}   {self.first} {self.early} {self.last}  {'; '.join([self.told, *self.wrong])}"


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
        for what, start in programs(folder, options.python or [sys.executable]).items():
            if options.only in what:
                rounds = Rounds(start, heapsake, options.rounds, folder)
                good &= not rounds.wrong
                print(f"{what:22} {rounds}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
