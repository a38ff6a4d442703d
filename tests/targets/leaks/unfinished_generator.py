"""Generators that were begun and never finished: each keeps its local variables; closed ones keep nothing."""

from leak_workload import requests, tell, variant

STREAMS = {}


class Result:
    def __init__(self, number):
        self.rows = [f"row {row} of {number}" for row in range(8)]


def make_result(number):
    return Result(number)


def stream(number):
    result = make_result(number)
    for row in result.rows:
        yield row


def main(how):
    count = 0
    for number in requests(400):
        rows = STREAMS[number] = stream(number)
        next(rows)
        count += 1
        if how == "closed":
            STREAMS.pop(number).close()
    if how == "begun":
        tell("growing", make_result, or_cause="held", type="__main__.Result", parts=["generator"], count=count,
             holder="STREAMS")
    else:
        tell()


main(variant("begun", "closed"))
