"""
Objects whose tp_traverse is odd (odd_traverse.c), one kind of them or all, among 40 Markers. Odd for others than the
interpreter's own collector alone, whose visitors are learned first.
"""

import gc
import sys

import odd_traverse


class Marker:
    pass


odd_traverse.learning(True)
learned = odd_traverse.learn()
gc.collect(0)
gc.collect()
odd_traverse.learning(False)

odd = [getattr(odd_traverse, name)() for name in sys.argv[1:] for _ in range(3)]
markers = [Marker() for _ in range(40)]
# As many as any object in a list: from CPython 3.14 on, the call does not add one.
plain = [sys.getrefcount(one) for one in markers]
print(len(odd), [sys.getrefcount(one) for one in odd] == plain[:1] * len(odd))
