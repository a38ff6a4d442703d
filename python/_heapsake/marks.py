"""Marks, regions, snapshots and flushes; see include/heapsake/heapsake.h."""

import functools
from time import monotonic

from . import library as _library
from .library import ctypes

_ALL_THREADS = 1  # HSK_REGION_ALL_THREADS
_WITHOUT_GIL = 1  # SNAPSHOT_WITHOUT_GIL
_COROUTINE = 0x80  # CO_COROUTINE


def _bytes(name):
    return name if isinstance(name, bytes) else str(name).encode("utf-8", "backslashreplace")


def tracing():
    """Is this process traced by heapsake, now?"""
    return _library.look() and _library.functions.tracing() == 1


def mark(name):
    """
    The program is at this point: a moment that reports know by its name. Returns whether it is traced.

    Of a name of more than 4096 bytes the end is replaced by "#" and a hash of the whole.
    """
    if _library.functions is None and (monotonic() < _library.again or not _library.look()):
        return False
    name = _bytes(name)
    return _library.functions.mark(name, len(name)) == 0


class region:
    """
    What this thread, or with all_threads any thread, allocates while it is open is born in the region:

        with heapsake.region("parse"):
            ...

        @heapsake.region("parse")
        def parse(text):        # or async def; of a generator it is the call alone, not what is done when it is asked for values
            ...

    Each time it is entered is an occurrence of its name. Regions may nest and overlap, as those of coroutines do: then a
    birth belongs to each of them. One of them may be entered again while it is open, in the order of `with` blocks; coroutines
    and threads that overlap take one each, as the decorator does.
    """

    __slots__ = ("name", "all_threads", "_open")

    def __init__(self, name, all_threads=False):
        self.name = name
        self.all_threads = all_threads
        self._open = None  # (reference to the number, what was open before)

    def __enter__(self):
        if _library.functions is None and (monotonic() < _library.again or not _library.look()):
            return self
        # All that it needs is made before it begins: nothing of it is born in it.
        name = _bytes(self.name)
        length = ctypes.c_size_t(len(name))
        number = ctypes.byref(ctypes.c_int())
        self._open = (number, self._open)
        _library.functions.region_begin(name, length, _ALL_THREADS if self.all_threads else 0, number)
        return self

    def __exit__(self, *unused):
        if self._open is not None:
            number = self._open[0]
            _library.functions.region_end(number)
            self._open = self._open[1]

    def __call__(self, function):
        name, all_threads = self.name, self.all_threads
        if getattr(getattr(function, "__code__", None), "co_flags", 0) & _COROUTINE:

            @functools.wraps(function)
            async def wrapper(*arguments, **named):
                with region(name, all_threads):
                    return await function(*arguments, **named)

        else:

            @functools.wraps(function)
            def wrapper(*arguments, **named):
                with region(name, all_threads):
                    return function(*arguments, **named)

        return wrapper

    def __repr__(self):
        return f"heapsake.region({self.name!r}, all_threads={self.all_threads!r})"


def snapshot():
    """
    Takes a snapshot now. Returns its number when it is whole in the trace file together with everything that was recorded
    before; 0 when the process is not traced. Other threads go on meanwhile.

    Raises OSError when there is none: EPERM, snapshots are switched off (--no-snapshot); ENOMEM, there is too little
    memory for one; EOPNOTSUPP, this Python is free-threaded, unknown, or older than 3.11; and as heapsake.h says.
    """
    return (_library.result(_library.functions.snapshot(_WITHOUT_GIL)) if _library.look() else None) or 0


def flush():
    """
    Returns when everything that was recorded before is in the trace file, which can be read while the program runs. Returns
    whether the process is traced. Raises OSError when the file cannot be written, or the recorder stands still.
    """
    return _library.look() and _library.result(_library.functions.flush()) is not None
