"""
An extension that takes references and forgets to give them back: on every call, or only where it fails; on objects
of several types, among them those that the collector does not track (str, bytes); on a list that it made itself. `balanced` gives back all, `held` keeps the newest 32 on purpose.
"""

import leaky

from leak_workload import requests, tell, variant


class Item:
    def __init__(self, number):
        self.number = number
        self.name = f"item {number}"


def make_instance(number):
    return Item(number)


def make_dict(number):
    return {"number": number, "list": [number]}


def make_list(number):
    return [number, f"n{number}", None]


def make_type(number):
    return type(f"Row{number}", (), {"number": number})


def make_text(number):
    return f"text {number}"


def make_record(number):
    return bytes([number % 250, 1, 2]) * 100


def count_rows(number):
    return leaky.count_rows(f"row {row} of {number}" for row in range(5))


MAKERS = {"instance": make_instance, "dict": make_dict, "list": make_list, "type": make_type,
          "text": make_text, "record": make_record}
TYPES = {"instance": "__main__.Item", "dict": "dict", "list": "list", "type": "type", "text": "str", "record": "bytes"}


def main(how):
    count = 0
    rounds = 210 if how == "type" else 490
    for number in requests(rounds):
        if how == "temporary":
            count_rows(number)
            count += 1
        elif how == "error_path":
            try:
                leaky.check(make_instance(number), number % 7 != 3)
            except ValueError:
                count += 1
        elif how == "balanced":
            leaky.look(make_instance(number))
        elif how == "held":
            leaky.hold(make_instance(number))
        else:
            leaky.note(MAKERS[how](number))
            count += 1
    if how in ("balanced", "held"):
        tell()
    elif how == "temporary":
        tell("over-referenced", count_rows, type="list", count=count, native="leaky_count_rows", recycled=True)
    else:
        kind = "instance" if how == "error_path" else how
        tell("over-referenced", MAKERS[kind], type=TYPES[kind], count=count, recycled=kind in ("dict", "list"))


main(variant("instance", "error_path", "dict", "list", "type", "text", "record", "temporary", "balanced", "held"))
