"""
One test that is run several times: each round has setup, call and teardown of its own, function-scoped fixtures included, and
nothing is reported before the last one. Fixtures of wider scopes stay between the rounds.
"""

import contextlib
import warnings

import pytest
from _heapsake.gate.rounds import settle
from _pytest.runner import CallInfo, runtestprotocol


class RepeatedTest:
    def __init__(self, item, nextitem):
        self.item, self.nextitem = item, nextitem
        self.first = self.reports = None
        self.properties = list(item.user_properties)
        self.warnings = []  # of the last round

    def run(self):
        """One round. Whether it has passed, in all phases."""
        self._forget()
        settle()  # the last round's reports may have been made in blocks of the test's: pytest makes things in setup that stay
        with warnings.catch_warnings(record=True) as self.warnings:  # pytest would keep those of every round
            self.reports = runtestprotocol(self.item, log=False, nextitem=self.item.parent)
        self.first = self.first or self.reports
        self._forget_instance()
        return len(self.reports) == 3 and all(report.passed and not hasattr(report, "wasxfail") for report in self.reports)

    def _forget(self):
        """What a round before has left in the item."""
        self.reports, self.warnings = None, []
        del self.item._report_sections[:]
        self.item.user_properties[:] = self.properties

    def _forget_instance(self):
        """pytest keeps the instance of a test's class; it would keep what the test has put there."""
        item = self.item
        bound_to = getattr(item.__dict__.get("_obj"), "__self__", None)
        if getattr(item, "cls", None) is None or bound_to is None or isinstance(bound_to, type):
            return
        item.__dict__.pop("_instance", None)
        item._obj = None

    def finish(self):
        """Says the last round's warnings, and tears down the fixtures that the next test does not share."""
        for warning in self.warnings:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno, source=warning.source)
        item = self.item
        state = item.session._setupstate
        capture = item.config.pluginmanager.getplugin("capturemanager")
        with capture.item_capture("teardown", item) if capture else contextlib.nullcontext():
            call = CallInfo.from_call(lambda: state.teardown_exact(self.nextitem), when="teardown", reraise=self._ends_session())
        if call.excinfo and self.reports[-1].passed:
            report = item.ihook.pytest_runtest_makereport(item=item, call=call)
            self.reports[-1] = report
            if self.first is not self.reports:
                self.first[-1] = report

    def _ends_session(self):
        """Exceptions that are no test's failure, as pytest has them."""
        debugging = self.item.config.getoption("usepdb", False)
        return (pytest.exit.Exception,) if debugging else (pytest.exit.Exception, KeyboardInterrupt)

    def failed_phase(self):
        """Of the last round: the report that did not pass."""
        return next((report for report in self.reports if not report.passed or hasattr(report, "wasxfail")), self.reports[-1])

    def log(self, reports):
        hook = self.item.ihook
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
