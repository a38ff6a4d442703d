"""
Trees whose children know their parent, dropped after use. The collector frees them; when it is off, or when a server
freezes the heap while a tree is alive, they stay.
"""

import collections
import gc

from leak_workload import requests, tell, variant


class Parent:
    def __init__(self, number):
        self.name = f"parent {number}"
        self.children = [Child(self, index) for index in range(3)]


class Child:
    def __init__(self, parent, index):
        self.parent = parent
        self.label = f"child {index}"


def handle(number):
    return Parent(number)


def main(how):
    in_use = collections.deque(maxlen=20)
    count = 0
    if how == "disabled":
        gc.disable()
    for number in requests(500):
        in_use.append(handle(number))
        count += 1
        if how == "frozen" and number % 10 == 9:
            gc.freeze()
    in_use.clear()
    if how == "collected":
        tell()
    else:
        tell("cycle", handle, type="__main__.Parent", parts=["__main__.Child"], count=count,
             pattern=["children", "parent"], weaken="parent")


main(variant("collected", "disabled", "frozen"))
