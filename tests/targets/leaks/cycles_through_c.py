"""
Cycles that the collector cannot see: through a C type without tp_traverse, and through one whose tp_traverse leaves
a member out. The same type with a complete one: collected.
"""

import gc

import leaky

from leak_workload import requests, tell, variant


class Node:
    def __init__(self, number, kind):
        self.name = f"node {number}"
        if kind is leaky.Box:
            self.link = leaky.Box(self)
        else:
            self.link = kind(None, self)


def make_node(number, kind):
    return Node(number, kind)


KINDS = {"no_traverse": leaky.Box, "partial_traverse": leaky.PartialPair, "complete_traverse": leaky.Pair}


def main(how):
    kind = KINDS[how]
    count = 0
    if how == "complete_traverse":
        gc.set_threshold(300)  # so that the collector comes by, however patient this version is
    for number in requests(400):
        make_node(number, kind)
        count += 1
    if how == "complete_traverse":
        tell()
    else:
        tell("cycle", make_node, type="__main__.Node", parts=[f"leaky.{kind.__name__}"], count=count, pattern=["link"])


main(variant(*KINDS))
