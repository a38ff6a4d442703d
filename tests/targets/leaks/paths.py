"""
One object of a type of its own at the end of each kind of reference; prints, for each type, the names that stand on
the way from a root to it, and whether anything keeps it.
"""

import collections
import json
import os
import weakref


class Session:
    def __init__(self, user):
        self.user = user


class Slotted:
    __slots__ = ("slot",)


class InDict:
    pass


class InSlot:
    pass


class InList:
    pass


class InClosure:
    pass


class InDefault:
    pass


class InGenerator:
    pass


class InClass:
    pass


class InDeque:
    pass


class InBound:
    def method(self):
        pass


class InTraceback:
    pass


class InFrame:
    pass


class WeaklyHeld:
    pass


class Registry:
    members = [InClass()]


def adder(value):
    def add():
        return value
    return add


def greet(name="world", log=InDefault()):
    return name, log


def numbers(number):
    running = InGenerator()
    yield number
    yield running


def fail():
    local_of_fail = InTraceback()
    raise ValueError(local_of_fail)


cache = {"u42": Session(InDict())}
slotted = Slotted()
slotted.slot = InSlot()
rows = [None, None, [InList()]]
closure = adder(InClosure())
generator = numbers(1)
next(generator)
newest = collections.deque([1, InDeque()], maxlen=5)
callback = InBound().method
weak = weakref.WeakValueDictionary()
try:
    fail()
except ValueError as error:
    error.args = ()
    failure = error


def main():
    in_main = InFrame()
    unheld = WeaklyHeld()
    weak["key"] = unheld
    del unheld
    print(json.dumps({"held": {
        "InDict": ["cache", "['u42']", "user"],
        "InSlot": ["slotted", "slot"],
        "InList": ["rows", "[2]", "[0]"],
        "InClosure": ["closure", "value"],
        "InDefault": ["greet", "__defaults__"],
        "InGenerator": ["generator", "running"],
        "InClass": ["Registry", "members", "[0]"],
        "InDeque": ["newest"],
        "InBound": ["callback", "__self__"],
        "InTraceback": ["failure", "__traceback__", "local_of_fail"],
        "InFrame": ["in_main"],
    }, "gone": ["WeaklyHeld"]}), flush=True)
    os._exit(0 if in_main else 1)  # while this frame runs


main()
