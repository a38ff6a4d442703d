"""
The functions of libheapsake.so, in a process where it is: preloaded, or attached later. It stays there, once it is.

`functions` is None as long as it has not been found. look() is cheap when it has looked a moment ago; who calls often
compares the time itself before.
"""

import os
import time

try:
    import ctypes
except ImportError:  # a Python that was built without it, or a subinterpreter that 3.12 does not let have it
    ctypes = None

LOOK_AGAIN_SECONDS = 1

functions = None
again = 0.0  # when it is worth looking again, by time.monotonic()


class _Functions:
    """Those that keep the GIL, but for flush. A negative result is an errno."""

    def __init__(self, keeping, leaving):
        name = [ctypes.c_char_p, ctypes.c_size_t]
        self.tracing = self._plain(keeping.heapsake_api_tracing, [])
        self.mark = self._plain(keeping.heapsake_api_mark, name)
        self.snapshot = self._plain(keeping.heapsake_api_snapshot, [ctypes.c_uint])
        self.flush = self._plain(leaving.heapsake_api_flush, [])
        self.watch = self._plain(keeping.heapsake_api_watch, [ctypes.py_object, ctypes.c_uint])
        self.unwatch = self._plain(keeping.heapsake_api_unwatch, [ctypes.py_object])
        # Without the types of their arguments, which are made beforehand, a call allocates nothing for them.
        self.region_begin = keeping.heapsake_api_region_begin
        self.region_end = keeping.heapsake_api_region_end

    @staticmethod
    def _plain(function, arguments):
        function.argtypes, function.restype = arguments, ctypes.c_int
        return function


def look():
    """Is the library here? Looks at most once in LOOK_AGAIN_SECONDS."""
    global functions, again
    now = time.monotonic()
    if functions is None and now >= again and ctypes is not None:
        again = now + LOOK_AGAIN_SECONDS
        try:
            mode = os.RTLD_NOLOAD | os.RTLD_LAZY
            functions = _Functions(ctypes.PyDLL("libheapsake.so", mode), ctypes.CDLL("libheapsake.so", mode))
        except (OSError, AttributeError):  # it is not here, or another version that lacks one of them
            pass
    return functions is not None


def result(code):
    """What a function has returned, or None when the process is not traced (any more). Raises OSError."""
    if code == -107:  # ENOTCONN
        return None
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    return code


look()
