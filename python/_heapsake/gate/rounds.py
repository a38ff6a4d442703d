"""
Runs a test until it is known what it leaves behind.

What outlives one run of a test is mostly no leak: an import, a pattern that was compiled, a cache that has got its entry. So a
test is run again, and a leak is what *each* round behind the warm-up leaves behind, at the same place (the same whole stack),
and what is still there after the rounds that followed:

    round 1   warm-up. Nothing has outlived it: done, there is no leak.
    round 2   measured. Nothing has outlived it: done.
    round 3   measured. Nothing that was born in round 2 lives still: done. Else so on, to the last round.
    the last  What was born in round 2, still lives, and came from where each round since has left something, too, leaks, if
              there is so much more from there than behind round 2.

A value that each run replaces (a "last result") dies in the next round; a cache's entry is made in the first one alone. A
cache of a few blocks, as numpy keeps of each size, hands a new one on from use to use until it drops out. And where many values are
replaced, one of them may be made in the block that another one has left a moment before, which then stays; but there are
no more of them.

Born in a round is what is allocated while its region is open; what lives is asked when the test is over: its fixtures are torn
down, its instance is dropped, garbage is collected. The interpreter's freelists are emptied before a region begins and behind its end: a block that
lay there would be older than the object in it, or go on with an object that is not the test's. That is done by a collection of
nothing: all objects are set aside for it, and are in the collector's oldest generation then, so that collecting the younger ones,
which is fast, is mostly enough behind a round that has left nothing.
"""

import collections
import gc
import sys


# Of the standard library: module, and the function that empties its cache.
LIBRARY_CACHES = [("re", "purge"), ("urllib.parse", "clear_cache")]


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
    """Everything that is garbage, and what the interpreter and its library remember, within bounds that a few rounds do not come to."""
    gc.collect()
    forget = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache", None)
    if forget:
        forget()
    sys.path_importer_cache.clear()  # of folders that were searched for modules; a test's own may be another one each time
    for module, name in LIBRARY_CACHES:
        forget = getattr(sys.modules.get(module), name, None)
        if forget:
            forget()
    for forget in getattr(sys.modules.get("typing"), "_cleanups", ()):
        forget()


def measure(gate, name, limits, machinery, run):
    """
    `run()` runs the test once, with the region `name` around what is the test's own, settle() before and behind it, and keeps nothing
    of it; it returns whether the test has passed. CommandError, and whatever run() raises, is the caller's.
    """
    number = 0
    before = None  # blocks by place, behind the first measured round
    while True:
        number += 1
        if not run():
            return Measurement(number, passed=False)
        gc.collect(1)
        last = gate.occurrence(name)
        measured = number - limits.warmup
        if last.live_blocks > 0 and measured > 0:
            last = None  # its own lists may be made in blocks that the test has given back
            collect()
            last = gate.occurrence(name)
        if not limits.about_leaks:
            if measured > 0:
                return Measurement(number, True, last)
            continue
        if last.live_blocks == 0:
            return Measurement(number, True, last)
        if measured <= 0:
            continue
        leaks = left(gate, name, machinery, measured - 1)
        if leaks and measured >= limits.rounds and before is not None:
            rounds = sites_by_round(gate, name, number)
            after = blocks_by_place(rounds)
            leaks = [site for site in each_time(leaks, rounds[:measured - 1])
                     if after[site.key] - before[site.key] >= measured - 1]
        if not leaks or measured >= limits.rounds:
            return Measurement(number, True, last, leaks)
        if before is None:
            before = blocks_by_place(sites_by_round(gate, name, number))


def left(gate, name, machinery, back):
    """What the round `back` rounds ago has left, but for the framework's."""
    return [site for site in gate.occurrence(name, back, sites=True).sites if not machinery.allocated(site.stack)]


def sites_by_round(gate, name, rounds):
    """What each of the last `rounds` rounds has left that lives, the newest round first."""
    return [gate.occurrence(name, back, sites=True).sites for back in range(rounds)]


def each_time(sites, rounds):
    """Those of the sites at whose place each of the rounds has left something."""
    for round_sites in rounds:
        places = {site.key for site in round_sites}
        sites = [site for site in sites if site.key in places]
    return sites


def blocks_by_place(rounds):
    """How many blocks that were born in these rounds live, by their place."""
    blocks = collections.Counter()
    for round_sites in rounds:
        for site in round_sites:
            blocks[site.key] += site.count
    return blocks
