"""
Thread-local data: of a thread per request, which goes with its thread; and of workers that never end, which collect
what they have served.
"""

import queue
import threading

from leak_workload import requests, tell, variant

LOCAL = threading.local()
JOBS = [queue.Queue() for _ in range(4)]  # one for each worker, so that all of them have some all the time


class Served:
    def __init__(self, number):
        self.number = number
        self.text = f"served {number} " * 10


def make_served(number):
    return Served(number)


def serve_once(number):
    LOCAL.history = [make_served(number + index) for index in range(5)]


def serve_for_ever(jobs):
    LOCAL.history = []
    while True:
        number = jobs.get()
        LOCAL.history.append(make_served(number))
        del number
        jobs.task_done()


def main(how):
    count = 0
    if how == "workers":
        for jobs in JOBS:
            threading.Thread(target=serve_for_ever, args=(jobs,), daemon=True).start()
    for number in requests(400 if how == "workers" else 200):
        if how == "workers":
            JOBS[number % len(JOBS)].put(number)
            count += 1
        else:
            thread = threading.Thread(target=serve_once, args=(number,))
            thread.start()
            thread.join()
    if how == "workers":
        for jobs in JOBS:
            jobs.join()
        tell("growing", make_served, or_cause="held", type="__main__.Served", count=count, holder="history")
    else:
        tell()


main(variant("workers", "thread_per_request"))
