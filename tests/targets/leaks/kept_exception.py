"""
Exceptions that are kept: each keeps its traceback, the frames in it, and their local variables. Without the traceback,
and the newest few only, they keep nothing worth a word. One exception that is kept (`single`) keeps what its frame had.
"""

import collections

from leak_workload import requests, tell, variant

FAILURES = []
LAST = collections.deque(maxlen=10)
last_failure = None


class Order:
    def __init__(self, number):
        self.number = number
        self.lines = [f"line {line} of {number}" for line in range(6)]


def make_order(number):
    return Order(number)


def process(number):
    order = make_order(number)
    raise ValueError(f"order {order.number} has no address")


def import_all(total):
    orders = [make_order(number) for number in range(total)]
    raise ValueError(f"{len(orders)} orders have no address")


def main(how):
    global last_failure
    count = 0
    for number in requests(400):
        try:
            if how == "single":
                if number == 200:
                    count = 3000
                    import_all(count)
            else:
                count += 1
                process(number)
        except ValueError as failure:
            if how == "kept":
                FAILURES.append(failure)
            elif how == "single":
                last_failure = failure
            else:
                LAST.append(failure.with_traceback(None))
    if how == "kept":
        tell("growing", make_order, or_cause="held", type="__main__.Order", parts=["ValueError", "traceback", "frame"],
             count=count, holder="FAILURES")
    elif how == "single":
        tell("held", make_order, type="__main__.Order", parts=["list", "ValueError", "traceback", "frame"], count=count,
             holder="last_failure")
    else:
        tell()


main(variant("kept", "single", "without_traceback"))
