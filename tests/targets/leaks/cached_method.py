"""lru_cache on a method keeps every self in its keys; with a limit it keeps some."""

import functools

from leak_workload import requests, tell, variant


class Report:
    def __init__(self, number):
        self.rows = [number * 1000 + row for row in range(50)]

    @functools.lru_cache(maxsize=None)
    def total(self, year):
        return sum(self.rows) + year

    @functools.lru_cache(maxsize=128)
    def bounded_total(self, year):
        return sum(self.rows) + year


def make_report(number):
    return Report(number)


def main(how):
    count = 0
    for number in requests(600):
        report = make_report(number)
        count += 1
        if how == "unbounded":
            report.total(2020)
            report.total(2020)
        else:
            report.bounded_total(2020)
    if how == "unbounded":
        tell("held", make_report, or_cause="growing", type="__main__.Report", count=count, holder="total")
    else:
        tell()


main(variant("unbounded", "bounded"))
