"""Watches on reference counts; see include/heapsake/heapsake.h."""

import errno

from . import library as _library


def watch(object):
    """
    Records every change of the object's reference count from now on, until it dies or unwatch(object).

    Returns True when it is watched, False when the process is not traced. Raises OSError when it is traced, but this object
    cannot be watched: EBUSY, four objects are watched already; EINVAL, the object lives for ever (None, small numbers,
    interned strings); EPERM, the kernel forbids watchpoints; EOPNOTSUPP, this Python is free-threaded.
    """
    return _library.look() and _library.result(_library.functions.watch(object, 0)) is not None


def unwatch(object):
    """Ends a watch. Returns whether there was one."""
    if not _library.look():
        return False
    code = _library.functions.unwatch(object)
    return code != -errno.ENOENT and _library.result(code) is not None
