"""
Limits on the memory of unittest's tests.

    import unittest
    from heapsake.unittest import MemoryLimits, limit

    class TestParse(MemoryLimits, unittest.TestCase):
        heapsake_limits = {"leaks": False}           # of every test of the class

        @limit(max_peak="20 MB", max_allocations=10000)
        def test_large(self): ...

They count when the tests run under `heapsake run` (heapsake run -- python3 -m unittest); else tests run as ever. A limit that is
not kept is a failure of the test, with the site, the cause and what keeps it. The limits are those of _heapsake.gate.limits.Limits.
"""

import contextlib
import copy
import functools
import inspect
import io
import os
import sys
import traceback
import unittest

from _heapsake import marks
from _heapsake.gate.account import account, printable, summary
from _heapsake.gate.command import CommandError
from _heapsake.gate.gate import Gate, region_name
from _heapsake.gate.limits import ROUNDS, WARMUP, Limits
from _heapsake.gate.machinery import Machinery
from _heapsake.gate.rounds import Leftover, Measurement, collect, left, measure, settle
from _heapsake.gate.verdict import judge

__all__ = ["MemoryLimits", "TestCase", "limit"]

_MACHINERY = Machinery(("once", os.path.join("heapsake", "unittest.py")), [unittest])
_NONE = Machinery(("", ""), [])


def limit(**limits):
    """A decorator of a test method; several add up. Raises LimitError for limits that make no sense."""
    Limits(**limits)

    def decorate(method):
        method.heapsake_limits = {**getattr(method, "heapsake_limits", {}), **limits}
        return method

    return decorate


class _Record(unittest.TestResult):
    """What one run of a test has said, to be said again to `result`. Where that buffers output, it is kept, too."""

    def __init__(self, result):
        super().__init__()
        self.failfast = getattr(result, "failfast", False)
        self.calls = []
        self.output = (io.StringIO(), io.StringIO()) if getattr(result, "buffer", False) else None

    def listening(self):
        """A context manager, around the run."""
        stack = contextlib.ExitStack()
        if self.output:
            stack.enter_context(contextlib.redirect_stdout(self.output[0]))
            stack.enter_context(contextlib.redirect_stderr(self.output[1]))
        return stack

    def say_again(self, result, test):
        for name, arguments in self.calls:
            call = getattr(result, name, None)
            if call:  # addDuration came with 3.12
                call(test, *arguments)
            if name == "startTest":
                self.print_again()

    def print_again(self):
        """Behind result.startTest(), which has put its buffers in place."""
        if self.output:
            sys.stdout.write(self.output[0].getvalue())
            sys.stderr.write(self.output[1].getvalue())

    def problem(self):
        """Why it has not passed, as text."""
        for name, arguments in self.calls:
            error = arguments[-1] if arguments else None
            if name in ("addFailure", "addError", "addSubTest", "addExpectedFailure"):
                return "".join(traceback.format_exception(*error))
            if name == "addSkip":
                return f"skipped: {error}"
        return "it did not say why"

    @property
    def passed(self):
        """Success, and nothing else: no failure, no skip, no expected failure."""
        told = [name for name, _ in self.calls if name not in ("startTest", "stopTest", "addDuration")]
        return told == ["addSuccess"]


def _recorder(name):
    @functools.wraps(getattr(unittest.TestResult, name, None) or (lambda: None))
    def record(self, test, *arguments):
        self.calls.append((name, arguments))

    record.__name__ = name
    return record


for _name in ("startTest", "stopTest", "addSuccess", "addFailure", "addError", "addSkip", "addExpectedFailure",
              "addUnexpectedSuccess", "addDuration"):
    setattr(_Record, _name, _recorder(_name))


def _add_sub_test(self, test, subtest, error):
    if error is not None:  # a subtest that passed is told by the test's success
        self.calls.append(("addSubTest", (subtest, error)))


_Record.addSubTest = _add_sub_test


class MemoryLimits:
    """A mix-in, before unittest.TestCase. `heapsake_limits`: limits of all tests of the class."""

    heapsake_limits = {}

    def __init_subclass__(cls, **arguments):
        super().__init_subclass__(**arguments)
        Limits(**cls.heapsake_limits)  # which raises LimitError when they make no sense

    def run(self, result=None):
        limits = self._heapsake_limits()
        if not limits.any or not marks.tracing():
            return super().run(result)
        if result is None:
            result = self.defaultTestResult()
            start = getattr(result, "startTestRun", None)
            if start:
                start()
            try:
                return self._heapsake_run(limits, result)
            finally:
                stop = getattr(result, "stopTestRun", None)
                if stop:
                    stop()
        return self._heapsake_run(limits, result)

    def _heapsake_limits(self):
        method = getattr(self, self._testMethodName, None)
        limits = Limits(**{**self.heapsake_limits, **getattr(method, "heapsake_limits", {})})
        return limits.with_defaults(leaks=True, warmup=WARMUP if limits.about_leaks else 0, rounds=ROUNDS)

    def _heapsake_run(self, limits, result):
        records = []

        def once():
            del records[1:]  # the first one, and the last
            record = _Record(result)
            settle()
            with record.listening(), marks.region(region_name(self.id()), all_threads=limits.all_threads):
                # A copy: what a test puts into `self` is not to live on in it.
                super(MemoryLimits, copy.copy(self)).run(record)
            settle()
            records.append(record)
            return record.passed

        try:
            gate = Gate.here()
            measurement = measure(gate, region_name(self.id()), limits, _MACHINERY, once)
            text = self._heapsake_verdict(gate, limits, measurement, records)
        except CommandError as error:
            if not records:
                once()
            text = printable(f"heapsake: the test cannot be judged: {error}") if records[-1].passed else None
        record = records[-1]
        if text is None:
            record.say_again(result, self)
        else:
            result.startTest(self)
            record.print_again()
            try:
                raise self.failureException(text)
            except self.failureException as failure:
                result.addFailure(self, (type(failure), failure, None))
            result.stopTest(self)
        return result

    def _heapsake_verdict(self, gate, limits, measurement, records):
        """What is wrong, or None; also when the test itself has failed, which it says."""
        if not measurement.passed and records[0].passed:
            return (f"heapsake: the test cannot be judged: it did not pass when it was run again (round {measurement.rounds})\n"
                    f"limit(warmup=0, rounds=1) judges its first run alone\n\n{records[-1].problem()}")
        if not measurement.passed:
            return None
        violations = judge(gate, region_name(self.id()), limits, measurement)
        if not violations:
            return None
        return "\n".join([printable(summary(violations))] + account(gate, region_name(self.id()), violations, _file_of(type(self))))

    def assertMemory(self, **limits):
        """
        A context manager: what is done in it keeps max_peak and max_allocations, and max_leaked, for which it is
        done once, so that imports and caches count. Does nothing when the test is not traced.
        """
        return _Block(self, Limits(**limits).with_defaults(leaks=True, warmup=0, rounds=1))


class _Block:
    """assertMemory()."""

    def __init__(self, test, limits):
        self.test, self.limits = test, limits
        self.region = None

    def __enter__(self):
        if marks.tracing():
            self.name = region_name(f"{self.test.id()} (assertMemory)")
            region = marks.region(self.name, all_threads=self.limits.all_threads)
            for one in self, region:  # before 3.11 the first frame of a function stays with it: not to be born in the block
                one.__exit__(None, None, None)
            settle()
            self.region = region
            region.__enter__()
        return self

    def __exit__(self, kind, value, traceback):
        if self.region is None:
            return
        self.region.__exit__(kind, value, traceback)
        settle()
        if kind is not None:
            return
        try:
            gate = Gate.here()
            collect()
            leaks = [Leftover(site) for site in left(gate, self.name, _NONE, 0)] if self.limits.about_leaks else []
            violations = judge(gate, self.name, self.limits, Measurement(1, True, gate.occurrence(self.name), leaks))
        except CommandError as error:
            raise self.test.failureException(printable(f"heapsake: cannot be judged: {error}")) from None
        if violations:
            lines = account(gate, self.name, violations, _file_of(type(self.test)))
            raise self.test.failureException("\n".join([printable(summary(violations))] + lines))


def _file_of(cls):
    try:
        return inspect.getsourcefile(cls)
    except TypeError:
        return None


class TestCase(MemoryLimits, unittest.TestCase):
    """unittest.TestCase with limits on memory."""
