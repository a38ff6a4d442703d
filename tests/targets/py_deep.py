"""Recursion as deep as it goes, in Python and through C, and the error at its end."""

import json
import sys


def down(depth):
    block = [depth]
    return down(depth - 1) + len(block) if depth else 0


def through_c(depth):
    return max(map(through_c, [depth - 1])) + 1 if depth else 0


def endless(depth=0):
    return endless(depth + 1)


class Deep:
    def __repr__(self):
        return repr(self.__dict__)


sys.setrecursionlimit(5000)
print(down(3000), through_c(200))
try:
    endless()
except RecursionError:
    print("recursion error")
deep = Deep()
deep.self = deep
try:
    repr(deep)
except RecursionError:
    print("recursion error in C")
nested = []
for _ in range(100_000):
    nested = [nested]
del nested
try:
    json.loads("[" * 100_000)
except RecursionError:
    print("recursion error in json")
