"""What holds for one test: its markers and the options."""

import pytest
from _heapsake.gate.limits import LimitError, Limits


def marked(item):
    """The limits of its markers `heapsake`, the nearest one's last word; None when it has none. Raises UsageError."""
    marks = [mark for mark in item.iter_markers("heapsake")]
    if not marks:
        return None
    arguments = {}
    for mark in reversed(marks):
        if mark.args:
            raise pytest.UsageError(f"{item.nodeid}: heapsake{mark.args!r}: limits have names: max_peak=..., leaks=False")
        arguments.update(mark.kwargs)
    try:
        limits = Limits(**arguments)
    except LimitError as error:
        raise pytest.UsageError(f"{item.nodeid}: the marker heapsake: {error}") from None
    if not limits.any and not limits.may_leak and limits.warmup is None and limits.rounds is None and limits.thorough is None and limits.filter_fn is None:
        raise pytest.UsageError(f"{item.nodeid}: the marker heapsake has no limit")
    return limits


def ini_flag(config, name):
    try:
        return config.getini(name)
    except ValueError:
        raise pytest.UsageError(f"{name} in the ini file is neither true nor false") from None


class Demands:
    """Of a session."""

    def __init__(self, config):
        self.no_leaks = bool(config.option.heapsake_no_leaks or ini_flag(config, "heapsake_no_leaks"))
        self.warmup = self._number(config, "heapsake_warmup", 0)
        self.rounds = self._number(config, "heapsake_rounds", 1)
        self.thorough = bool(config.option.heapsake_thorough or ini_flag(config, "heapsake_thorough"))

    @staticmethod
    def _number(config, name, least):
        value = getattr(config.option, name)
        if value is None:
            try:
                value = int(config.getini(name))
            except ValueError:
                raise pytest.UsageError(f"{name}: {config.getini(name)!r} is no number") from None
        if value < least:
            raise pytest.UsageError(f"{name}: {value} is less than {least}")
        return value

    def of(self, item):
        """(limits, explicit): explicit when a marker demands something; None when nothing is demanded."""
        limits = marked(item)
        explicit = limits is not None and limits.any
        if limits is None:
            limits = Limits()
        measurable = explicit or isinstance(item, pytest.Function)
        limits = limits.with_defaults(leaks=not (self.no_leaks and measurable), warmup=self._warmup(limits), rounds=self.rounds,
                                      thorough=self.thorough)
        return limits, explicit

    def _warmup(self, limits):
        """Without limits on leaks a test runs once, as ever, unless its marker says something else."""
        return self.warmup if limits.about_leaks or self.no_leaks else 0
