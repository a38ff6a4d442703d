"""A logging handler per request: added and never removed, or removed when the request is done."""

import io
import logging

from leak_workload import requests, tell, variant

LOGGER = logging.getLogger("app")
LOGGER.propagate = False
LOGGER.setLevel(logging.INFO)


def add_handler():
    handler = logging.StreamHandler(io.StringIO())
    LOGGER.addHandler(handler)
    return handler


def main(how):
    count = 0
    for number in requests(300):
        handler = add_handler()
        count += 1
        if number % 10 == 0:
            LOGGER.info("request %d", number)
        if how == "removed":
            LOGGER.removeHandler(handler)
            handler.close()
    if how == "added":
        tell("growing", add_handler, or_cause="held", type="logging.StreamHandler", count=count, holder="handlers")
    else:
        tell()


main(variant("added", "removed"))
