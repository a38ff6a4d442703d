"""A traced session: every test is a region, tests with limits are judged, and the summary has a line."""

import os
import sys
import sysconfig
import unittest

import _pytest
import pluggy
import pytest
from _heapsake import marks
from _heapsake.gate.account import account, printable, summary
from _heapsake.gate.command import CommandError
from _heapsake.gate.gate import Gate, region_name
from _heapsake.gate.machinery import Machinery
from _heapsake.gate.rounds import Measurement, measure, settle
from _heapsake.gate.sizes import plural
from _heapsake.gate.verdict import judge
from _heapsake.trace_file import trace_file

from .demands import Demands
from .protocol import RepeatedTest
from .reports import fail, note

MACHINERY = Machinery(("runtest", os.path.join("pytest_heapsake", "session.py")),
                      [_pytest, pluggy, pytest, unittest], setup=("getfixturevalue", os.path.join("_pytest", "fixtures.py")))
NAMED = 10  # tests that the summary names


def within_region(item, all_threads, repeated):
    """item.runtest in a region of its own; `repeated`: what it leaves behind will be asked."""
    inner = item.runtest
    region = marks.region(region_name(item.nodeid), all_threads=all_threads)

    def runtest():
        __tracebackhide__ = True
        if repeated:
            settle()
        try:
            with region:
                inner()
        finally:
            if repeated:
                settle()

    return runtest


class TracedSession:
    def __init__(self, config):
        self.config = config
        self.demands = Demands(config)
        self._known = (None, None)  # a nodeid, and what demands.of() says of it
        self.current = None  # the nodeid of the test that is repeated now
        self.checked = self.violations = 0
        self.unmeasured = []
        self.traces = []

    def pytest_report_header(self):
        lines = [f"heapsake: traced to {printable(self._own_trace())}"]
        if getattr(sys, "_is_gil_enabled", None) and sysconfig.get_config_var("Py_GIL_DISABLED"):
            lines.append("heapsake: this Python is free-threaded: no Python stacks, no causes of leaks")
        elif sys.version_info < (3, 11):
            lines.append("heapsake: Python before 3.11: leaks are found, but neither their causes nor what keeps them")
        return lines

    def limits_of(self, item):
        if self._known[0] != item.nodeid:
            self._known = item.nodeid, self.demands.of(item)
        return self._known[1]

    # ---- every test is a region ----

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item):
        # Around the item's own function, and not around the hook: what pytest and other plugins do is not the test's.
        item.runtest = within_region(item, self.limits_of(item)[0].all_threads, repeated=self.current == item.nodeid)
        try:
            yield
        finally:
            del item.runtest

    # ---- limits that one run tells ----

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        report = outcome.get_result()
        if call.when != "call" or report.outcome != "passed" or self.current == item.nodeid:
            return
        limits, explicit = self.limits_of(item)
        if not limits.any:
            return
        try:
            gate = Gate.here()
            measurement = Measurement(1, True, gate.occurrence(region_name(item.nodeid)))
            self.conclude(item, report, limits, measurement)
        except CommandError as error:
            self.unknown(item, report, str(error))

    # ---- limits that take several runs ----

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        limits, explicit = self.limits_of(item)
        if not limits.about_leaks and not (limits.any and limits.warmup):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        test = RepeatedTest(item, nextitem)
        self.current = item.nodeid
        try:
            self.repeat(test, limits, explicit)
        finally:
            self.current = None
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def repeat(self, test, limits, explicit):
        item, trouble = test.item, None
        measurement = Measurement(0, False)
        try:
            measurement = measure(Gate.here(), region_name(item.nodeid), limits, MACHINERY, test.run)
        except CommandError as error:
            trouble = str(error)
            if test.reports is None:
                test.run()
        test.finish()
        reports = test.reports
        if trouble is None and measurement.passed:
            try:
                self.conclude(item, reports[1], limits, measurement)
            except CommandError as error:
                trouble = str(error)
        if trouble is not None:
            if all(report.passed for report in reports):
                self.unknown(item, reports[1], trouble)
        elif not measurement.passed and measurement.rounds > 1:
            reports = self.not_repeatable(test, explicit, measurement.rounds)
        test.log(reports)

    def not_repeatable(self, test, explicit, rounds):
        """It has passed once, and not again. What it leaves behind is not known; its own outcome is that of the first time."""
        what = test.failed_phase()
        how = "was skipped" if what.skipped else "failed"
        message = f"cannot be judged: it {how} when it was run again (round {rounds}, {what.when})"
        if explicit:
            lines = [f"heapsake: the test {message}",
                     "a marker with warmup=0, rounds=1 judges its first run alone", "", what.longreprtext]
            fail(test.item, test.first[1], message, lines)
            note(test.first[1], checked=True, violations=1)
        else:
            note(test.first[1], unmeasured=f"it {how} when it was run again")
        return test.first

    # ---- verdicts ----

    def conclude(self, item, report, limits, measurement):
        gate = Gate.here()
        name = region_name(item.nodeid)
        violations = judge(gate, name, limits, measurement)
        note(report, checked=True, violations=len(violations), trace=gate.trace)
        if violations:
            lines = account(gate, name, violations, getattr(item, "path", None))
            fail(item, report, printable(summary(violations)), lines)

    def unknown(self, item, report, trouble):
        """What was not seen never passes."""
        message = f"cannot be judged: {trouble}"
        note(report, checked=True, violations=1)
        fail(item, report, printable(message), [printable(f"heapsake: the test {message}")])

    # ---- the summary ----

    def pytest_runtest_logreport(self, report):
        told = getattr(report, "heapsake", None)
        if not told or getattr(self.config, "workerinput", None) is not None:
            return
        self.checked += bool(told.get("checked"))
        self.violations += bool(told.get("violations"))
        if told.get("trace") and told["trace"] not in self.traces:
            self.traces.append(told["trace"])
        if told.get("unmeasured"):
            self.unmeasured.append((report.nodeid, told["unmeasured"]))

    def pytest_terminal_summary(self, terminalreporter):
        traces = self.traces or [self._own_trace()]
        others = f" and {plural(len(traces) - 1, 'other')}" if len(traces) > 1 else ""
        line = f"heapsake: {plural(self.checked, 'test')} checked, {self.violations} over a limit"
        if self.unmeasured:
            line += f", {len(self.unmeasured)} not measured"
        terminalreporter.write_line(f"{line}; trace: {printable(traces[0])}{others}", red=self.violations > 0)
        for nodeid, why in self.unmeasured[:NAMED]:
            terminalreporter.write_line(f"heapsake: not measured: {printable(nodeid)}: {why}")
        if len(self.unmeasured) > NAMED:
            terminalreporter.write_line(f"heapsake: not measured: {len(self.unmeasured) - NAMED} more")

    @staticmethod
    def _own_trace():
        try:
            marks.flush()  # then the recorder has told it
        except OSError:
            pass
        return trace_file() or "(not known)"

    def pytest_unconfigure(self):
        Gate.close()
