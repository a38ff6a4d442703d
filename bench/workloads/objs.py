"""Instances, dicts and lists made from twelve Python calls deep; every tenth instance stays."""
import sys


class Pair:
    def __init__(self, first, second):
        self.first = first
        self.second = second
        self.both = [first, second]


def leaf(i):
    return Pair(str(i), {"k": i, "v": [i] * 3})


def descend(i, depth):
    if depth == 0:
        return leaf(i)
    return descend(i, depth - 1)


def main(count):
    kept = []
    for i in range(count):
        pair = descend(i, 12)
        if i % 10 == 0:
            kept.append(pair)
    return len(kept)


print(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100000))
