"""A default argument that is a list: every call appends to the same one."""

from leak_workload import requests, tell, variant


class Message:
    def __init__(self, number):
        self.text = f"message {number} " * 5
        self.number = number


def collect(message, seen=[]):
    seen.append(message)
    return len(seen)


def collect_anew(message, seen=None):
    seen = [] if seen is None else seen
    seen.append(message)
    return len(seen)


def make_message(number):
    return Message(number)


def main(how):
    count = 0
    for number in requests(500):
        count += 1
        if how == "shared":
            collect(make_message(number))
        else:
            collect_anew(make_message(number))
    if how == "shared":
        tell("held", make_message, or_cause="growing", type="__main__.Message", count=count, holder="collect")
    else:
        tell()


main(variant("shared", "new"))
