"""Starts and stops tracemalloc, which takes the tracer of objects, and goes on for a while."""

import time
import tracemalloc


class Before:
    pass


class During:
    pass


class After:
    pass


kept = [Before() for _ in range(1000)]
tracemalloc.start()
end = time.monotonic() + 0.2
while time.monotonic() < end:
    kept.append(During())
    kept.append(bytes(5000))
traced = tracemalloc.get_traced_memory()[0] > 1000
tracemalloc.stop()
kept.clear()
end = time.monotonic() + 1
while time.monotonic() < end:
    kept = [After() for _ in range(1000)]
print(traced)
