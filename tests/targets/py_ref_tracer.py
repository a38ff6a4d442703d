"""Has a tool with a tracer of objects of its own for a while: prints what that counted."""

import ctypes
import sys
import time


class Before:
    pass


class During:
    pass


class After:
    pass


tool = ctypes.PyDLL(sys.argv[1])
tool.ref_tracer.argtypes = [ctypes.c_void_p]
tool.ref_tracer.restype = ctypes.c_long
kept = [Before() for _ in range(1000)]
tool.ref_tracer(id(During))
end = time.monotonic() + 0.2
kept = [During() for _ in range(2000)]
while time.monotonic() < end:
    kept.append(bytes(5000))
print(tool.ref_tracer(None))
end = time.monotonic() + 1
while time.monotonic() < end:
    kept = [After() for _ in range(1000)]
