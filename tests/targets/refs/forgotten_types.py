"""
Classes that come and go while nobody sees it: tracemalloc, which was there first, takes heapsake's allocators away when it
stops. Each line on standard input is a question, answered by one JSON line:

  made   {"classes": N}: an object of each of N classes
  swap   {"reused": N}: tracemalloc stops, the classes go, and N others, called Wanted, have taken their places
  use    {"born": N}: once heapsake's allocators are back, an object of each of these
  end    {"end": 0}, and it ends
"""
import ctypes
import gc
import json
import os
import sys
import tracemalloc

CLASSES = 400


class Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")]


def malloc_of_objects():
    allocator = Allocator()
    ctypes.pythonapi.PyMem_GetAllocator(2, ctypes.byref(allocator))
    return allocator.malloc


tracemalloc.start()
classes, wanted = [type(f"Gone{number}", (), {}) for number in range(CLASSES)], []
traced = None


def made():
    global traced
    traced = malloc_of_objects()
    for one in classes:
        one()
    for one in classes:  # up to 3.12 the first of a stack are looked at late
        one()
    return {"classes": len(classes)}


def swap():
    places = set(map(id, classes))
    tracemalloc.stop()
    classes.clear()
    gc.collect()
    made = [type("Wanted", (), {}) for _ in range(CLASSES)]
    wanted.extend(one for one in made if id(one) in places)
    return {"reused": len(wanted)}


def use():
    while malloc_of_objects() != traced:
        bytearray(5000)  # asks malloc, where heapsake is still
    for one in wanted:
        one()
    return {"born": len(wanted)}


print(os.getpid(), flush=True)
for line in sys.stdin:
    what = line.split()[0]
    print(json.dumps({"end": 0} if what == "end" else globals()[what]()), flush=True)
    if what == "end":
        break
