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

# STUB
def _f(n,*a):
    f=getattr(ctypes.pythonapi,n); f.argtypes=a; f.restype=ctypes.c_int; return f
try:
    _mark=_f("heapsake_api_mark",ctypes.c_char_p,ctypes.c_size_t)
    _rb=_f("heapsake_api_region_begin",ctypes.c_char_p,ctypes.c_size_t,ctypes.c_uint)
    _re=_f("heapsake_api_region_end",ctypes.c_int)
    _sn=_f("heapsake_api_snapshot",ctypes.c_uint)
    _fl=_f("heapsake_api_flush")
except AttributeError: pass
class region:
    def __init__(self,name,all_threads=False): self.name=name.encode(); self.f=int(all_threads)
    def __enter__(self):
        if tracing(): self.n=_rb(self.name,len(self.name),self.f)
    def __exit__(self,*a):
        if tracing(): _re(self.n)
def snapshot(): return _sn(1)
def flush(): return _fl()
