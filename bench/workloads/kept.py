"""
Many objects that stay: what does a snapshot of them take?

  kept.py COUNT EXTRA               makes COUNT instances with a float, a list and EXTRA bytes each, then ends
  kept.py COUNT EXTRA fork          ... forks, and says the seconds that it took
  kept.py COUNT EXTRA touch ROUNDS  ... goes through all of them ROUNDS times, which writes to each (its reference count)
"""
import os
import sys
import time


class Item:
    def __init__(self, number, extra):
        self.value = float(number)
        self.next = [number]
        self.extra = bytes(extra)


def touch(kept):
    total = 0
    for item in kept:
        total += len(item.next)
    return total


def main(count, extra, what="", rounds="1"):
    kept = [Item(i, int(extra)) for i in range(int(count))]
    if what == "fork":
        begin = time.perf_counter()
        child = os.fork()
        if child == 0:
            os._exit(0)
        print(f"{time.perf_counter() - begin:.6f}")
        os.waitpid(child, 0)
    elif what == "touch":
        print(sum(touch(kept) for _ in range(int(rounds))))
    return kept


KEPT = main(*sys.argv[1:])
