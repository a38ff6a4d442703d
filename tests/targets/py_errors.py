"""Exceptions, tracebacks, weak references, finalizers, memory errors."""

import gc
import sys
import traceback
import weakref


class Node:
    deaths = 0

    def __init__(self):
        self.me = self
        self.payload = list(range(50))

    def __del__(self):
        Node.deaths += 1


def fails(number):
    local = {"number": number}
    if number % 2:
        raise KeyError(number)
    return local["nothing"]


caught = []
for number in range(300):
    try:
        fails(number)
    except KeyError as error:
        caught.append(len(traceback.format_exc()) > 0 and bool(error.args))
references = [weakref.ref(Node()) for _ in range(200)]
gc.collect()
alive = sum(reference() is not None for reference in references)
errors = 0
for size in (sys.maxsize, sys.maxsize // 2):
    try:
        bytearray(size)
    except MemoryError:
        errors += 1
    try:
        [None] * size
    except (MemoryError, OverflowError):
        errors += 1
print(sum(caught), alive, Node.deaths, errors)
try:
    raise ExceptionGroup("several", [ValueError(1), TypeError(2)])
except* ValueError as group:
    print(len(group.exceptions))
except* TypeError as group:
    print(len(group.exceptions))
