"""Callbacks that are closures over a whole request; the queue of callbacks is never run to its end, or it is."""

from leak_workload import requests, tell, variant

ON_SHUTDOWN = []


class Request:
    def __init__(self, number):
        self.path = f"/items/{number}"
        self.body = bytes(300)


def make_request(number):
    return Request(number)


def cleanup_of(request):
    def clean_up():
        return request.path
    return clean_up


def main(how):
    count = 0
    for number in requests(400):
        ON_SHUTDOWN.append(cleanup_of(make_request(number)))
        count += 1
        if how == "run" and len(ON_SHUTDOWN) == 10:
            while ON_SHUTDOWN:
                ON_SHUTDOWN.pop()()
    if how == "kept":
        tell("growing", make_request, or_cause="held", type="__main__.Request", parts=["function"], count=count,
             holder="ON_SHUTDOWN")
    else:
        tell()


main(variant("kept", "run"))
