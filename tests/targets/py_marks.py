"""
Python programs that mark what they do. `py_marks.py MODE` prints JSON.

    all        regions as context managers and decorators, nested, with exceptions, in coroutines and threads; marks
    empty      two thousand empty regions
    snapshots  snapshots and flushes while other threads run
    foreign    a thread without the GIL asks for a snapshot, and one that holds it and calls by C
    calm       marks all the time until a line comes
"""

import asyncio
import ctypes
import json
import sys
import threading

import heapsake

BYTES = 5000


def keep(count):
    """So many blocks of a size of their own."""
    return [bytearray(BYTES + number) for number in range(count)]


@heapsake.region("function")
def function(count):
    "says"
    return len(keep(count))


@heapsake.region("coroutine")
async def coroutine(count, turns):
    kept = []
    for _ in range(turns):
        kept += keep(count)
        await asyncio.sleep(0)
    return len(kept)


async def coroutines():
    return await asyncio.gather(coroutine(1, 3), coroutine(2, 3))


@heapsake.region("fails")
def fails():
    raise ValueError("it does")


def everything():
    said = {"tracing": heapsake.tracing(), "mark": heapsake.mark("begin"), "function": function(3),
            "coroutines": asyncio.run(coroutines()), "name": function.__name__, "doc": function.__doc__,
            "is_coroutine": asyncio.iscoroutinefunction(coroutine)}
    try:
        fails()
    except ValueError as error:
        said["fails"] = str(error)
    again = heapsake.region("again")
    with again:
        with again:
            keep(1)
        keep(2)
    with heapsake.region("all", all_threads=True):
        thread = threading.Thread(target=function, args=(4,))
        thread.start()
        thread.join()
    with heapsake.region(b"bytes \xff"), heapsake.region("lone \udc80 and \0"), heapsake.region(7):
        keep(1)
    heapsake.mark("x" * 5000)
    heapsake.region("open").__enter__()
    keep(5)
    return said


def empty():
    region = heapsake.region("warm")
    for _ in range(10):
        with region:
            pass
    for number in range(2000):
        with heapsake.region("empty"):
            pass


def snapshots():
    stop = threading.Event()
    turns = [0]

    def spin():
        while not stop.is_set():
            turns[0] += 1
    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads:
        thread.start()
    said = {"numbers": [heapsake.snapshot() for _ in range(4)], "flush": heapsake.flush()}
    stop.set()
    for thread in threads:
        thread.join()
    said["turned"] = turns[0] > 0
    return said


def foreign():
    library = ctypes.CDLL(None)
    asked = library.heapsake_api_snapshot  # without the GIL, while the main thread waits in a lock or computes
    results = []
    waiting = threading.Thread(target=lambda: results.append(asked(0)))
    waiting.start()
    waiting.join()
    computing = threading.Thread(target=lambda: results.append(asked(0)))
    computing.start()
    while computing.is_alive():
        sum(range(1000))
    return {"results": results, "held": ctypes.PyDLL(None).heapsake_api_snapshot(0)}


def calm():
    print(__import__("os").getpid(), flush=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.append(sys.stdin.readline()))
    reader.start()
    traced = not_traced = 0
    while not lines:
        reader.join(0.001)
        with heapsake.region("calm"):
            keep(1)
        if heapsake.mark("calm"):
            traced += 1
        else:
            not_traced += 1
    return {"traced": traced, "not_traced": not_traced, "at_the_end": heapsake.tracing(),
            "snapshot": heapsake.snapshot(), "flush": heapsake.flush()}


print(json.dumps({"all": everything, "empty": empty, "snapshots": snapshots, "foreign": foreign,
                  "calm": calm}[sys.argv[1]]()))
