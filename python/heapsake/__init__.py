"""
What a Python program can ask of heapsake while it is traced; all of it does nothing, at little cost, when it is not.

    import heapsake
    heapsake.mark("loaded")               # a moment that reports know by this name
    with heapsake.region("parse"):        # what is allocated in here is told apart
        ...
    heapsake.snapshot()                   # of the object graph, now
    heapsake.flush()                      # so that the trace can be read while the program runs
    heapsake.watch(session)               # record every change of its reference count, with who made it
    ...
    heapsake.unwatch(session)

Pure Python: it asks the library, preloaded or attached later, and needs nothing else. Thread-safe.
"""

from _heapsake.marks import flush, mark, region, snapshot, tracing
from _heapsake.watches import unwatch, watch

__all__ = ["flush", "mark", "region", "snapshot", "tracing", "unwatch", "watch"]
