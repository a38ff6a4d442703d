"""What may be demanded of a test's memory."""

from .sizes import parse_size

WARMUP = 1
ROUNDS = 8  # numpy keeps seven blocks of each size that nobody uses: longer, none of them is the same

CAUSES = ("lost", "over-referenced", "cycle", "growing", "held", "fragmentation")


class LimitError(ValueError):
    """A limit that makes no sense."""


def _count(name, value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise LimitError(f"{name}={value!r} is no number from 0 on")
    return value


def _flag(name, value, default):
    if value is not None and not isinstance(value, bool):
        raise LimitError(f"{name}={value!r} is neither True nor False")
    return default if value is None else value


def _size(name, value):
    try:
        return parse_size(value)
    except ValueError as error:
        raise LimitError(f"{name}={error}") from None


def _causes(value):
    causes = [cause.strip() for cause in value.split(",")] if isinstance(value, str) else value
    if not isinstance(causes, (list, tuple, set, frozenset)) or not causes:
        raise LimitError(f"no_leaks={value!r} is no list of causes")
    for cause in causes:
        if cause not in CAUSES:
            raise LimitError(f"no_leaks={cause!r} is no cause: there are {', '.join(CAUSES)}")
    return frozenset(causes)


class Limits:
    """
    max_peak             bytes that live at once of what is allocated in the test
    max_allocations      how many allocations the test makes
    max_leaked           bytes that each run of the test leaves behind
    leaks=False          no run of the test leaves anything behind; True: it may, whatever holds for all tests
    no_leaks             the same, of these causes only: "lost,cycle"
    filter_fn            filter_fn(leak): False, and this one does not count
    current_thread_only  leave out what other threads allocate meanwhile
    warmup               rounds after which what stays counts (default 1)
    rounds               rounds that must each leave it behind, at the same place (default 8; fewer run when nothing stays)
    thorough             find what every second run leaves, too, whichever: at least three rounds run

    Sizes are bytes, or texts like "20 MB". Raises LimitError.
    """

    def __init__(self, *, max_peak=None, max_allocations=None, max_leaked=None, leaks=None, no_leaks=None, filter_fn=None,
                 current_thread_only=False, warmup=None, rounds=None, thorough=None, **others):
        for name in others:
            raise LimitError(f"there is no limit {name!r}")
        self.max_peak = None if max_peak is None else _size("max_peak", max_peak)
        self.max_allocations = None if max_allocations is None else _count("max_allocations", max_allocations)
        self.max_leaked = None if max_leaked is None else _size("max_leaked", max_leaked)
        self.leaks = _flag("leaks", leaks, True)
        self.may_leak = leaks is True
        self.no_leaks = None if no_leaks is None else _causes(no_leaks)
        if filter_fn is not None and not callable(filter_fn):
            raise LimitError(f"filter_fn={filter_fn!r} is no function")
        self.filter_fn = filter_fn
        self.all_threads = not _flag("current_thread_only", current_thread_only, False)
        self.warmup = None if warmup is None else _count("warmup", warmup)
        self.rounds = None if rounds is None else _count("rounds", rounds)
        self.thorough = None if thorough is None else _flag("thorough", thorough, False)
        if self.rounds == 0:
            raise LimitError("rounds=0: at least one round is measured")

    @property
    def about_leaks(self):
        """Must be known what stays behind?"""
        return self.max_leaked is not None or not self.leaks or self.no_leaks is not None

    @property
    def any(self):
        return self.about_leaks or self.max_peak is not None or self.max_allocations is not None

    def with_defaults(self, leaks, warmup, rounds, thorough=False):
        """These limits, filled up with what holds for all tests."""
        filled = Limits.__new__(Limits)
        filled.__dict__.update(self.__dict__)
        if not leaks and not self.about_leaks and not self.may_leak:
            filled.leaks = False
        filled.warmup = warmup if self.warmup is None else self.warmup
        filled.rounds = rounds if self.rounds is None else self.rounds
        filled.thorough = thorough if self.thorough is None else self.thorough
        return filled
