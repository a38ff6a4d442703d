"""
Cycles through finalizers. Those with __del__ are collected like others, unless the collector is off; a C type
with tp_del (leaky.Legacy) is not: the collector gives up and lays it into gc.garbage.
"""

import gc

from leak_workload import requests, tell, variant

closed = 0


class Resource:
    def __init__(self, number):
        self.name = f"resource {number}"
        self.owner = Owner(self)

    def __del__(self):
        global closed
        closed += 1


class Owner:
    def __init__(self, resource):
        self.resource = resource


class Holder:
    def __init__(self, number):
        import leaky
        self.name = f"holder {number}"
        self.legacy = leaky.Legacy(self)


def make_resource(number):
    return Resource(number)


def make_holder(number):
    return Holder(number)


def main(how):
    count = 0
    if how == "del_disabled":
        gc.disable()
    for number in requests(400):
        count += 1
        if how == "legacy":
            make_holder(number)
        else:
            make_resource(number)
    if how == "del_collected":
        tell()
    elif how == "del_disabled":
        tell("cycle", make_resource, type="__main__.Resource", parts=["__main__.Owner"], count=count,
             pattern=["owner", "resource"])
    else:
        gc.collect()
        assert len(gc.garbage) == count
        tell("cycle", make_holder, type="__main__.Holder", parts=["leaky.Legacy"], count=count, pattern=["legacy"])


main(variant("del_collected", "del_disabled", "legacy"))
