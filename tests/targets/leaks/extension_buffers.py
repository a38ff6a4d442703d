"""A C type that mallocs a buffer: its tp_dealloc frees it, or forgets to."""

import leaky

from leak_workload import requests, tell, variant

SIZE = 1500


def render(number, kind):
    return bytes(kind(SIZE))[number % SIZE]


def main(how):
    kind = leaky.ForgetfulBuffer if how == "forgotten" else leaky.Buffer
    count = 0
    for number in requests(400):
        render(number, kind)
        count += 1
    if how == "forgotten":
        tell("lost", render, type=None, count=count, bytes=count * SIZE, native="buffer_new")
    else:
        tell()


main(variant("forgotten", "freed"))
