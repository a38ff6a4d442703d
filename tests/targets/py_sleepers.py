"""Waits in one of many ways for some seconds: prints its pid, then how that went, as JSON."""

import json
import os
import sys
import threading
import time

kind, seconds = sys.argv[1], float(sys.argv[2])
kept = [{"number": number} for number in range(5000)]
switches = []


def tasks_that_stay():
    """A thread that has been joined is gone for the kernel a moment later."""
    deadline = time.monotonic() + 2
    while len(os.listdir("/proc/self/task")) > threading.active_count() and time.monotonic() < deadline:
        os.sched_yield()
    return len(os.listdir("/proc/self/task"))


async def serve():
    import asyncio

    async def echo(reader, writer):
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    print(os.getpid(), flush=True)
    began = time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"still there")
    assert await reader.read(100) == b"still there"
    writer.close()
    server.close()
    return took


def begin():
    print(os.getpid(), flush=True)
    return time.monotonic()


if kind == "asyncio":
    import asyncio
    took = asyncio.run(serve())
elif kind == "sleep":
    began = begin()
    time.sleep(seconds)
    took = time.monotonic() - began
elif kind == "lock":
    lock = threading.Lock()
    lock.acquire()
    began = begin()
    assert not lock.acquire(timeout=seconds)
    took = time.monotonic() - began
elif kind == "input":
    began = begin()
    assert input() == "a line"
    took = time.monotonic() - began
elif kind == "threads":
    def work():
        time.sleep(seconds)
    threads = [threading.Thread(target=work) for _ in range(5)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    begin()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
elif kind == "busy":
    began = begin()
    while time.monotonic() - began < seconds:
        kept[:10] = [[] for _ in range(10)]
    took = time.monotonic() - began
elif kind == "fork":
    began = begin()
    time.sleep(seconds)
    took = time.monotonic() - began
    import warnings
    warnings.simplefilter("error")
    child = os.fork()
    if child == 0:
        os._exit(7)
    assert os.waitpid(child, 0)[1] == 7 << 8
    try:
        os.waitpid(-1, 0)
        raise SystemExit("there is a child that is not the program's")
    except ChildProcessError:
        pass
else:
    raise SystemExit(f"unknown kind {kind}")
print(json.dumps({"took": took, "threads": threading.active_count(),
                  "tasks": tasks_that_stay()}))
