"""
What a Python program can ask of heapsake while it is traced; all of it does nothing, at little cost, when it is not.

    import heapsake
    heapsake.watch(session)     # record every change of its reference count, with who made it
    ...
    heapsake.unwatch(session)

Pure Python: it asks the preloaded library, and needs nothing else. Thread-safe.
"""

import ctypes
import errno
import os

__all__ = ["tracing", "watch", "unwatch"]


def _find():
    library = ctypes.pythonapi
    try:
        watch_, unwatch_ = library.heapsake_api_watch, library.heapsake_api_unwatch
    except AttributeError:
        return None, None
    watch_.argtypes, unwatch_.argtypes = [ctypes.py_object, ctypes.c_uint], [ctypes.py_object]
    watch_.restype = unwatch_.restype = ctypes.c_int
    return watch_, unwatch_


_watch, _unwatch = _find()


def tracing():
    """Is this process traced by heapsake?"""
    return _watch is not None and _unwatch(None) != -errno.ENOTCONN


def watch(object):
    """
    Records every change of the object's reference count from now on, until it dies or unwatch(object).

    Returns True when it is watched, False when the process is not traced. Raises OSError when it is traced, but this object
    cannot be watched: EBUSY, four objects are watched already; EINVAL, the object lives for ever (None, small numbers,
    interned strings); EPERM, the kernel forbids watchpoints; EOPNOTSUPP, this Python is free-threaded.
    """
    return _result(_watch(object, 0)) if _watch else False


def unwatch(object):
    """Ends a watch. Returns whether there was one."""
    if not _unwatch:
        return False
    code = _unwatch(object)
    return False if code == -errno.ENOENT else _result(code)


def _result(code):
    if code == -errno.ENOTCONN:
        return False
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    return True
