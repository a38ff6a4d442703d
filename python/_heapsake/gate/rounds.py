"""
Runs a test until it is known what it leaves behind.

What outlives one run of a test is mostly no leak: an import, a pattern that was compiled, a cache that has got its entry. So a
test is run again, and a leak is what *each* round behind the warm-up leaves behind, at the same place (the same whole stack),
and what is still there after the rounds that followed:

    round 1   warm-up. Nothing has outlived it: done, there is no leak.
    round 2   measured. Nothing has outlived it: done.
    round 3   measured. No place is suspected any more: done. Else so on, to the last round.
    the last  A place where each measured round has left something that still lives leaks, if there is so much more from
              there than behind round 2.

A place is *suspected* as long as each measured round has left something there, and some of what the first one left lives: a value that
each run replaces (a "last result") dies in the next round; a cache's entry is made in the first one alone. A cache of a few
blocks, as numpy keeps of each size, hands a new one on from use to use until it drops out. And where many values are replaced,
one of them may be made in the block that another one has left a moment before, which then stays; but there are no more of them.

Two more things look like nothing of that. What every second round leaves is suspected when it is exactly every second one, and some lives
of what the first of them has left; it takes twice as many rounds until as many as are asked for have left something. Which ones are the second ones is chance: where rounds 1 or 2
leave nothing, that is the end of it, unless the test's limits are thorough; then a verdict is looked for behind round 3 at the earliest.

And one block that grows is another one each time, for realloc ends the old one. So a place is suspected, too, when the same number of
blocks is made anew there, larger each time, in at least one of any two rounds: a reserve may last for a round.

Born in a round is what is allocated while its region is open; what lives is asked when the test is over: its fixtures are torn
down, its instance is dropped, garbage is collected. The interpreter's freelists are emptied before a region begins and behind its end: a block that
lay there would be older than the object in it, or go on with an object that is not the test's. That is done by a collection of
nothing: all objects are set aside for it, and are in the collector's oldest generation then, so that collecting the younger ones,
which is fast, is mostly enough behind a round that has left nothing.
"""

import collections
import gc
import sys

from .limits import ROUNDS

THOROUGH = 2  # measured rounds: one of them is a second one

# Of the standard library: module, and the function that empties its cache.
LIBRARY_CACHES = [("re", "purge"), ("urllib.parse", "clear_cache")]


class Leftover:
    """
    What a run leaves behind at one place: `count` blocks of `bytes`, allocated at `stack`; `ordinals` of some. `runs` of the last
    `rounds` runs did so. `grown`: None, or the bytes that these blocks have now, of which each run adds `bytes`.
    """

    def __init__(self, site, runs=1, rounds=1, growth=None):
        self.count, self.bytes, self.stack, self.ordinals = site.count, site.bytes, site.stack, site.ordinals
        self.runs, self.rounds, self.grown = runs, rounds, None
        if growth is not None:
            self.bytes, self.grown = growth, site.bytes


class Measurement:
    """What `measure` found. `leaks`: Leftovers, most bytes first."""

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
    settle()  # what these have let go: else who looks at the trace would keep what it finds in blocks of the test's


def measure(gate, name, limits, machinery, run):
    """
    `run()` runs the test once, with the region `name` around what is the test's own, settle() before and behind it, and keeps nothing
    of it; it returns whether the test has passed. CommandError, and whatever run() raises, is the caller's.
    """
    number = 0
    history = History(gate, name, machinery, limits)
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
        over = measured >= THOROUGH or not limits.thorough  # may nothing be left, and no more looked for?
        if over and last.live_blocks == 0 and not history.rounds:
            return Measurement(number, True, last)
        if measured <= 0:
            continue
        history.add(number)
        leaks = history.judge()
        if over and leaks is not None:
            return Measurement(number, True, last, leaks)


def left(gate, name, machinery, back):
    """What the round `back` rounds ago has left that lives, but for the framework's: sites."""
    return [site for site in gate.occurrence(name, back, sites=True).sites if not machinery.allocated(site.stack)]


class History:
    """What the measured rounds of a test have left, by place."""

    def __init__(self, gate, name, machinery, limits):
        self.gate, self.name, self.machinery, self.thorough = gate, name, machinery, limits.thorough
        self.least = limits.rounds  # rounds that must have left something
        # Who asks for fewer than are usual is content with what they tell.
        self.most = 2 * limits.rounds if limits.rounds >= ROUNDS else limits.rounds
        self.rounds = []    # of each, as it was at its end: {place: (count, bytes)}
        self.number = 0     # of all rounds, with those of the warm-up
        self.before = None  # blocks by place, behind the first one that has left something

    def add(self, number):
        """A round has ended, the `number`th of all."""
        self.number = number
        self.rounds.append(sums_by_place(self._left(0)))
        if self.before is None and self.rounds[-1]:
            self.before = blocks_by_place(self._lives())

    def judge(self):
        """Leftovers; None: more rounds are needed."""
        rounds = len(self.rounds)
        leaks = self._leaks() if rounds >= self.least else []
        if leaks or rounds >= self.most:
            return leaks
        suspected = (rounds < self.least and self._steady()) or self._alternating() or self._growing()
        return None if suspected else []

    def _leaks(self):
        lives = self._lives()
        after = blocks_by_place(lives)
        lives = [{site.key: site for site in sites} for sites in lives[:len(self.rounds)]]
        found = []
        steady = self._steady() if len(self.rounds) == self.least else set()  # later ones would get a second chance
        for place in steady | self._alternating():
            rounds = [sums for sums in self.rounds if place in sums]
            sites = [sites[place] for sites in lives if place in sites]
            if len(sites) == len(rounds) >= self.least and after[place] - self.before[place] >= len(sites) - 1:
                found.append(Leftover(sites[-1], len(sites), len(self.rounds)))
        for place in self._growing():
            rounds = [sums[place] for sums in self.rounds if place in sums]
            sites = [sites[place] for sites in lives if place in sites]
            if len(rounds) >= max(self.least, ROUNDS) and len(sites) == 1:
                growth = (rounds[-1][1] - rounds[0][1]) // (len(rounds) - 1)
                found.append(Leftover(sites[0], len(rounds), len(self.rounds), growth))
        return sorted(found, key=lambda leftover: -leftover.bytes)

    def _left(self, back):
        return left(self.gate, self.name, self.machinery, back)

    def _lives(self):
        """What each round has left that lives: sites, the newest round first."""
        return [self.gate.occurrence(self.name, back, sites=True).sites for back in range(self.number)]

    def _steady(self):
        """Places where each round has left something, and some of what the first one left lives."""
        places = set.intersection(*map(set, self.rounds))
        return places and places & {site.key for site in self._left(len(self.rounds) - 1)}

    def _alternating(self):
        """Places where every second round has left something, and no other, and some of what the first of them left lives."""
        found = set()
        for first in range(min(len(self.rounds), 2 if self.thorough else 1)):
            places = set.intersection(*map(set, self.rounds[first::2])).difference(*self.rounds[1 - first::2])
            found |= places and places & {site.key for site in self._left(len(self.rounds) - 1 - first)}
        return found

    def _growing(self):
        """Places where blocks are made anew in one of any two rounds, as many, and larger each time."""
        pairs = zip(self.rounds, self.rounds[1:])
        places = set.intersection(set().union(*self.rounds), *(set(one) | set(next) for one, next in pairs))
        return {place for place in places if grows([sums[place] for sums in self.rounds if place in sums])}


def grows(made):
    """Is each of these sums of (count, bytes) larger than the one before, in as many blocks?"""
    return len(made) > 1 and all(one[0] == next[0] and one[1] < next[1] for one, next in zip(made, made[1:]))


def sums_by_place(sites):
    """{place: (count, bytes)}"""
    sums = {}
    for site in sites:
        count, size = sums.get(site.key, (0, 0))
        sums[site.key] = count + site.count, size + site.bytes
    return sums


def blocks_by_place(rounds):
    """How many blocks that were born in these rounds live, by their place."""
    blocks = collections.Counter()
    for round_sites in rounds:
        for site in round_sites:
            blocks[site.key] += site.count
    return blocks
