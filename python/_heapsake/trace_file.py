"""Where the trace of this process is written."""

import ctypes
import os

LONGEST = 4096


def trace_file():
    """The absolute path of this process's trace; None when it is not traced, or when nothing has been written yet."""
    try:
        ask = ctypes.CDLL("libheapsake.so", os.RTLD_NOLOAD | os.RTLD_LAZY).heapsake_api_trace_file
    except (OSError, AttributeError):
        return None
    ask.argtypes, ask.restype = [ctypes.c_char_p, ctypes.c_uint], ctypes.c_int
    path = ctypes.create_string_buffer(LONGEST)
    return os.fsdecode(path.value) if ask(path, LONGEST) == 0 else None
