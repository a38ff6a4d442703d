"""A pool of connections: one has a limit and reaches it halfway, the other takes back whatever it gets."""

from leak_workload import requests, tell, variant

IDLE = []
LIMIT = 250


class Connection:
    def __init__(self, number):
        self.number = number
        self.buffer = bytearray(400)


def connect(number):
    return Connection(number)


def main(how):
    count = 0
    for number in requests(500):
        connection = connect(number)
        if how == "unbounded" or len(IDLE) < LIMIT:
            IDLE.append(connection)
            count += 1
    if how == "unbounded":
        tell("growing", connect, or_cause="held", type="__main__.Connection", count=count, holder="IDLE")
    else:
        assert len(IDLE) == LIMIT
        tell()


main(variant("unbounded", "bounded"))
