"""Processes that print whose children they are: one JSON line each, {"who": ..., "pid": ..., "parent": ...}."""

import json
import multiprocessing
import os
import signal
import sys


def say(who, parent=None):
    line = {"who": who, "pid": os.getpid(), "parent": os.getppid() if parent is None else parent}
    os.write(1, (json.dumps(line) + "\n").encode())


def fork(child, *arguments):
    """Forks a child that runs a function and ends without coming back; its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 97
    try:
        status = child(*arguments) or 0
    finally:
        os._exit(status)


def worker(number):
    kept = [bytes(5000) for _ in range(50 * (1 + number))]
    say(f"worker {number}")
    return len(kept)


def mode_multiprocessing(method):
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=worker, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(json.dumps({"who": "main", "exits": [process.exitcode for process in processes], "pid": os.getpid(),
                      "parent": os.getppid()}))


def mode_orphans(count):
    """Children whose parents end at once: each between is forked, forks, and is gone."""
    def between(number):
        parent = os.getpid()
        os.setsid()
        fork(orphan, number, parent)

    def orphan(number, parent):
        kept = [bytes(3000) for _ in range(20)]
        say(f"orphan {number}", parent)
        return len(kept) - 20

    for number in range(int(count)):
        os.waitpid(fork(between, number), 0)


def mode_daemon(fifo):
    """The program ends, and its grandchild lives until the FIFO's writer goes."""
    def between():
        parent = os.getpid()
        os.setsid()
        say("between")
        fork(daemon, parent)

    def daemon(parent):
        say("daemon", parent)
        signal.alarm(120)  # whatever happens, it goes
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        with open(fifo, "rb") as words:
            words.read()
        return 3

    os.waitpid(fork(between), 0)


def mode_workers(executable):
    """A master that ends its workers and replaces them: by SIGTERM, SIGKILL, of their own will, and by exec."""
    def wait_for_it(ready):
        os.read(ready, 1)

    def serve(name, ready, ending):
        kept = [bytes(4000) for _ in range(100)]
        say(name)
        os.write(ready, b"x")
        if ending == "exec":
            os.execv(executable, [executable, "-c", "import sys; sys.exit(6)"])
        if ending == "exit":
            return 5
        signal.alarm(120)
        while kept:
            signal.pause()

    statuses = []
    for number, ending in enumerate(("term", "kill", "term", "exit", "exec")):
        reading, writing = os.pipe()
        pid = fork(serve, f"{ending} {number}", writing, ending)
        wait_for_it(reading)
        if ending in ("term", "kill"):
            os.kill(pid, signal.SIGTERM if ending == "term" else signal.SIGKILL)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os.close(reading)
        os.close(writing)
    print(json.dumps({"who": "main", "exits": statuses, "pid": os.getpid(), "parent": os.getppid()}))


def mode_many(count):
    for number in range(int(count)):
        os.waitpid(fork(lambda: None), 0)


def mode_eat(megabytes):
    """A child takes memory until it is stopped, one is killed by a person, and the program itself goes on."""
    def eat():
        say("eater")
        eaten = [b"x" * (1 << 20) for _ in range(int(megabytes))]
        return len(eaten) and 98

    def killed():
        say("killed")
        os.kill(os.getpid(), signal.SIGKILL)

    statuses = [os.waitstatus_to_exitcode(os.waitpid(fork(child), 0)[1]) for child in (eat, killed)]
    print(json.dumps({"who": "main", "exits": statuses, "pid": os.getpid(), "parent": os.getppid()}))


if __name__ == "__main__":
    globals()[f"mode_{sys.argv[1]}"](*sys.argv[2:])
