"""What stays, as a snapshot tells it: type, cause, and what keeps it."""

from .command import CommandError
from .sizes import format_size, plural

EXPLAINED = 3         # sites of which a path is looked for; each takes the time of a report
TESTS_EXPLAINED = 10  # of a session; a report takes longer the longer the trace is


class Leak:
    """
    What each run of a test leaves behind from one place, or `runs` of the last `rounds`. `count` blocks of `bytes`, allocated at `stack`
    (innermost first, frames with function, file, line); `grown`: when each run makes these blocks larger by `bytes`, what they have
    now. From the snapshot, where it is known: `type` of the object, `paths` that keep it,
    and of the cause: `cause`, `confidence`, `explanation`. `told`: `heapsake leaks` tells it; `also`: other leaks that it tells
    of the same place, as its JSON has them; `seen`: the ordinal of one that `heapsake why` has shown.
    """

    def __init__(self, left):
        self.count, self.bytes, self.stack, self.ordinals = left.count, left.bytes, left.stack, left.ordinals
        self.runs, self.rounds, self.grown = left.runs, left.rounds, left.grown
        self.type = self.cause = self.confidence = self.explanation = self.culprit = self.seen = None
        self.told = False
        self.also = []
        self.paths = []

    @property
    def causes(self):
        """Of all that is told of its place."""
        return {self.cause, *(one["cause"] for one in self.also)}


def _frames(stack):
    return tuple((frame["function"], frame["file"], frame["line"], frame["module"]) for frame in stack)


def explain(gate, name, leftovers, must):
    """
    Leaks of `leftovers`, explained. Takes a snapshot. What cannot be told stays None, and is no error: that they are there is known
    already. Returns them and a sentence about what was not possible, or None. `must`: also when that was done for many tests.
    """
    leaks = [Leak(left) for left in leftovers]
    if not gate.snapshot():
        return leaks, "no snapshot could be taken: causes and paths are not known"
    gate.explained += 1
    if gate.explained > TESTS_EXPLAINED and not must:
        first = "the first test that leaks" if TESTS_EXPLAINED == 1 else f"the first {TESTS_EXPLAINED} tests that leak"
        return leaks, f"to save time, causes are told of {first} alone; of this one, too, when it runs alone, or by the command below"
    trouble = None
    try:
        _tell_causes(gate, name, leaks)
    except CommandError as error:
        trouble = f"causes are not known: {error}"
    for leak in leaks[:EXPLAINED]:
        for ordinal in [] if leak.paths else leak.ordinals:
            try:
                _tell_paths(gate, leak, ordinal)
            except CommandError:
                continue
            if leak.cause:
                break
    for leak in leaks:
        if leak.grown is not None:  # a snapshot shows what is there once
            one = "it is one block" if leak.count == 1 else f"these are {leak.count} blocks"
            leak.cause = "growing"
            leak.explanation = f"{one}, which each run makes larger: {format_size(leak.grown)} now"
    return leaks, trouble


def _tell_causes(gate, name, leaks):
    told = {}
    for one in gate.report("leaks", "--region", name)["leaks"]:
        told.setdefault(_frames(one["stack"]), []).append(one)
    for leak in leaks:
        one, *leak.also = told.get(tuple(frame.key for frame in leak.stack)) or [None]
        if one:
            leak.cause, leak.confidence, leak.type = one["cause"], one["confidence"], one["type"]
            leak.explanation, leak.culprit, leak.told = one["explanation"], one["culprit"], True
            if one["why"]:
                leak.paths = [" → ".join(one["why"])]


def _tell_paths(gate, leak, ordinal):
    """
    `heapsake leaks` judges a program by what its snapshot shows, and says growing of fifty members, not of one. That one more
    stays with each run is known here already; then what keeps it is the cause.
    """
    seen = gate.report("why", operands=[f"#{ordinal}"])
    leak.seen = ordinal
    if not leak.told:  # else it may be one of another leak at the same place
        leak.type = seen["object"]["type"]
    leak.paths = [path["text"] for path in seen["paths"]]
    if leak.cause is None and seen["object"].get("unexplained"):
        leak.cause = "over-referenced"
        leak.explanation = (f"it has {plural(seen['object']['unexplained'], 'reference')} more than anything holds: "
                            "a Py_DECREF is missing in native code")
    elif leak.cause is None and leak.paths:
        leak.cause = "growing"
        leak.explanation = "each run adds to what keeps it, and nothing has been taken out so far"
