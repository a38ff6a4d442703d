"""Allocates blocks of sizes that nothing else has, in as many kinds of frames as Python knows; prints each block's true stack.

The truth of a block is what sys._getframe says at the same line: file, qualified name (name up to 3.10) and line of
every frame, innermost first.
"""

import asyncio
import functools
import json
import sys
import threading

BYTES = sys.getsizeof(b"")
cases = []
lock = threading.Lock()
size = 100_003


def qualified(code):
    return getattr(code, "co_qualname", code.co_name)


def next_size(frame):
    """Notes the caller's stack, and gives the size of the block that it is to make on that same line."""
    global size
    stack = []
    while frame:
        stack.append([frame.f_code.co_filename, qualified(frame.f_code), frame.f_lineno])
        frame = frame.f_back
    with lock:
        size += 7
        cases.append({"size": size + BYTES, "stack": stack})
        return size


here = sys._getframe


def plain():
    bytes(next_size(here()))
    bytes(next_size(here()))


class Maker:
    def __init__(self):
        bytes(next_size(here()))

    @property
    def value(self):
        return len(bytes(next_size(here())))

    @classmethod
    def of_the_class(cls):
        bytes(next_size(here()))

    def __enter__(self):
        bytes(next_size(here()))
        return self

    def __exit__(self, *exception):
        bytes(next_size(here()))

    def __lt__(self, other):
        bytes(next_size(here()))
        return False

    def __del__(self):
        bytes(next_size(here()))


def generator(count):
    for _ in range(count):
        bytes(next_size(here()))
        yield Maker()
    bytes(next_size(here()))


def through(count):
    yield from generator(count)


def resumed_by(iterator):
    return next(iterator, None)


def resumed_deeper(iterator):
    return resumed_by(iterator)


def recursive(depth, function):
    if depth == 0:
        return function()
    return recursive(depth - 1, function)


async def coroutine(depth):
    bytes(next_size(here()))
    if depth:
        await coroutine(depth - 1)
    await asyncio.sleep(0)
    bytes(next_size(here()))


async def asynchronous(count):
    for _ in range(count):
        bytes(next_size(here()))
        yield _


async def consumer():
    async for _ in asynchronous(2):
        bytes(next_size(here()))
    await asyncio.gather(coroutine(2), coroutine(1))


@functools.lru_cache(None)
def cached(number):
    return len(bytes(next_size(here()))) + number


def exceptions():
    try:
        try:
            raise ValueError(bytes(next_size(here())))
        finally:
            bytes(next_size(here()))
    except ValueError:
        bytes(next_size(here()))


def executed():
    """Code objects that come and go at the same addresses."""
    for number in range(60):
        source = f"def made_{number}():\n" + "\n" * (number % 5) + "    bytes(next_size(here()))\n\nmade_%d()" % number
        exec(compile(source, f"<made {number}>", "exec"), {"next_size": next_size, "here": here, "bytes": bytes})


def names():
    for name in ("caf\u00e9.py", "\u4e2d\u6587.py", "\U0001f600.py", "a" * 300 + ".py"):
        exec(compile("bytes(next_size(here()))", name, "exec"), {"next_size": next_size, "here": here})
    exec("class \u00c4\u4e2d:\n def \u00fc(self): bytes(next_size(here()))\n\u00c4\u4e2d().\u00fc()",
         {"next_size": next_size, "here": here, "__name__": "made"})


def in_threads():
    def work():
        for depth in range(5):
            recursive(depth, plain)
            list(generator(1))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    plain()
    Maker().value
    Maker.of_the_class()
    with Maker():
        plain()
    sorted([Maker() for _ in range(3)])
    list(generator(3))
    list(through(2))
    iterator = generator(4)
    resumed_by(iterator), resumed_deeper(iterator), resumed_by(iterator), next(iterator)
    list(map(lambda _: bytes(next_size(here())), range(3)))
    {number: bytes(next_size(here())) for number in range(2)}
    max([1, 2], key=lambda number: len(bytes(next_size(here()))) + number)
    asyncio.run(consumer())
    cached(1), cached(2), cached(1)
    exceptions()
    executed()
    names()
    in_threads()
    for depth in (1, 2, 3, 20, 120):
        recursive(depth, plain)
        recursive(depth, lambda: list(generator(1)))
    plain()


main()
json.dump({"cases": cases}, sys.stdout)
