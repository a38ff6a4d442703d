"""Keeps blocks of known sizes, made at known lines in known functions; prints which."""

import json
import sys

BYTES = sys.getsizeof(b"")  # what a bytes object adds to its content
kept = []
cases = []


def here(bytes_kept):
    """Notes the stack of the caller: functions and lines, innermost first."""
    frame = sys._getframe(1)
    stack = []
    while frame:
        code = frame.f_code
        stack.append((getattr(code, "co_qualname", code.co_name), frame.f_lineno))
        frame = frame.f_back
    cases.append({"bytes": bytes_kept + BYTES, "stack": stack})


def plain():
    kept.append(bytes(200_001)); here(200_001)


class Maker:
    def method(self):
        kept.append(bytes(210_001)); here(210_001)

    @staticmethod
    def static():
        kept.append((lambda: (bytes(220_001), here(220_001)))())

    @property
    def value(self):
        kept.append(bytes(230_001)); here(230_001)
        return 1


def generator():
    kept.append(bytes(240_001)); here(240_001)
    yield 1
    kept.append(bytes(250_001)); here(250_001)
    yield 2


def recursive(depth):
    if depth == 0:
        kept.append(bytes(260_001)); here(260_001)
        return
    recursive(depth - 1)


def called_from_c(size):
    kept.append(bytes(size)); here(size)
    return size


def in_a_comprehension():
    return [called_from_c(size) for size in (270_001,)]


def outer():
    def inner():
        kept.append(bytes(290_001)); here(290_001)
    inner()


async def asynchronous():
    kept.append(bytes(300_001)); here(300_001)


plain()
Maker().method()
Maker.static()
Maker().value
list(generator())
recursive(20)
list(map(called_from_c, (310_001,)))
sorted([320_001], key=called_from_c)
in_a_comprehension()
outer()
try:
    asynchronous().send(None)
except StopIteration:
    pass
exec(compile("kept.append(bytes(330_001)); here(330_001)", "<executed>", "exec"))
# The frames of "<executed>" are not this file's: the test compares this file's.
for case in cases:
    if case["bytes"] == 330_001 + BYTES:
        case["stack"] = case["stack"][1:]
print(json.dumps({"cases": cases}))
