"""
Runs a test until it is known what it leaves behind.

What outlives one run of a test is mostly no leak: an import, a pattern that was compiled, a cache that has got its entry. So a
test is run again, and a leak is what *each* round behind the warm-up leaves behind, at the same place (the same whole stack),
and what is still there after the rounds that followed:

    round 1   warm-up. Nothing has outlived it: done, there is no leak.
    round 2   measured. Nothing has outlived it: done.
    round 3   measured. What was born in round 2, still lives, and came from where round 3 has left something, too, leaks.

A value that each run replaces (a "last result") dies in the next round; a cache's entry is made in the first one alone.

Born in a round is what is allocated while its region is open; what lives is asked when the test is over: its fixtures are torn
down, its instance is dropped, garbage is collected. The interpreter's freelists are emptied before a region begins and behind its end: a block that
lay there would be older than the object in it, or go on with an object that is not the test's. That is done by a collection of
nothing: all objects are set aside for it, and are in the collector's oldest generation then, so that collecting the younger ones,
which is fast, is mostly enough behind a round that has left nothing.
"""

import gc
import sys


class Measurement:
    """What `measure` found. `leaks`: sites, most bytes first; bytes and blocks are those of one round."""

    def __init__(self, rounds, passed, last=None, leaks=()):
        self.rounds = rounds  # how often the test has run
        self.passed = passed  # False: the last round did not come to a good end, and nothing is known
        self.last = last      # the Occurrence of the last round
        self.leaks = list(leaks)


def settle():
    """Before a region begins, and behind its end."""
    if gc.get_freeze_count():
        gc.collect()  # somebody has frozen objects: they stay so
    else:
        gc.freeze()
        gc.collect()
        gc.unfreeze()


def collect():
    """Everything that is garbage, and what the interpreter itself remembers of types."""
    gc.collect()
    forget = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache", None)
    if forget:
        forget()


def measure(gate, name, limits, machinery, run):
    """
    `run()` runs the test once, with the region `name` around what is the test's own, settle() before and behind it, and keeps nothing
    of it; it returns whether the test has passed. CommandError, and whatever run() raises, is the caller's.
    """
    number = 0
    while True:
        number += 1
        if not run():
            return Measurement(number, passed=False)
        gc.collect(1)
        last = gate.occurrence(name)
        if last.live_blocks > 0 and number > limits.warmup:
            last = None  # its own lists may be made in blocks that the test has given back
            collect()
            last = gate.occurrence(name)
        if not limits.about_leaks:
            if number > limits.warmup:
                return Measurement(number, True, last)
            continue
        if last.live_blocks == 0:
            return Measurement(number, True, last)
        if number <= limits.warmup:
            continue
        leaks = remaining(gate, name, machinery, number - limits.warmup)
        if not leaks or number >= limits.warmup + limits.rounds:
            return Measurement(number, True, last, leaks)


def remaining(gate, name, machinery, measured):
    """What the oldest of the last `measured` rounds has left, at places where each of the others has left something."""
    sites = gate.occurrence(name, measured - 1, sites=True).sites
    for back in range(measured - 1):
        places = {site.key for site in gate.occurrence(name, back, sites=True).sites}
        sites = [site for site in sites if site.key in places]
    return [site for site in sites if not machinery.allocated(site.stack)]
