"""heapsake.unittest: limits of unittest's tests, under heapsake run and without it."""

import sys
import textwrap

import pytest

from support import running
from support.pytest_runs import environment
from support.traces import Trace, command

TESTS = """
    import unittest
    from heapsake.unittest import MemoryLimits, TestCase, limit

    class Thing: pass
    kept = []
    runs = []

    class Whole(MemoryLimits, unittest.TestCase):
        heapsake_limits = {"leaks": False}

        def setUp(self):
            self.things = [Thing()]

        def test_ok(self):
            self.more = Thing()

        def test_leak(self):
            kept.append(Thing())

        @limit(leaks=True, max_leaked="1 MB")
        def test_leak_little(self):
            kept.append(Thing())

        def test_fail(self):
            runs.append(0)
            kept.append(Thing())
            self.assertEqual(len(runs), 0, "its own failure")

        def test_error(self):
            raise ZeroDivisionError("its own error")

        @unittest.skip("because")
        def test_skip(self):
            pass

        @unittest.expectedFailure
        def test_expected(self):
            self.fail()

        def test_subtests(self):
            for i in range(3):
                with self.subTest(i=i):
                    self.assertLess(i, 5)

        def test_bad_subtests(self):
            for i in range(3):
                with self.subTest(i=i):
                    self.assertNotEqual(i, 1)

        def test_only_once(self):
            runs.append(1)
            self.assertEqual(runs.count(1), 1, "its second run")

    class Single(TestCase):
        @limit(max_peak="1 MB")
        def test_peak(self):
            big = bytearray(2000000)

        @limit(max_peak="3 MB")
        @limit(max_allocations=10)
        def test_both(self):
            many = [object() for _ in range(1000)]

        def test_block(self):
            with self.assertMemory(max_peak="3 MB", max_leaked="1 kB"):
                big = bytearray(2000000)
                del big

        def test_bad_block(self):
            with self.assertMemory(max_leaked="1 kB"):
                kept.append(bytes(5000))

        def test_without(self):
            kept.append(bytearray(2000000))

    class Async(MemoryLimits, unittest.IsolatedAsyncioTestCase):
        heapsake_limits = {"leaks": False}

        async def test_async(self):
            self.thing = Thing()

        async def test_async_leak(self):
            kept.append(Thing())
"""
OWN = {"test_fail": "FAIL", "test_error": "ERROR", "test_skip": "skipped 'because'", "test_expected": "expected failure"}
OVER = {"test_leak", "test_peak", "test_both", "test_bad_block", "test_async_leak", "test_only_once"}


@pytest.fixture
def tests(tmp_path):
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))
    return [sys.executable, "-m", "unittest", "-v", "test_it"]


def outcomes(result):
    said = {}
    for line in result.err.splitlines():
        name, separator, outcome = line.partition(" ... ")
        if separator and line.startswith("test_"):
            said[name.split()[0]] = outcome
    return said


def test_untraced(tests, tmp_path):
    done = running.run(tests, cwd=tmp_path, env=environment())
    said = outcomes(done)
    bad = said.pop("test_bad_subtests")
    assert said == {name: OWN.get(name, "ok") for name in said} and len(said) == 16, done
    assert bad == "" and "heapsake" not in done.err, done


def test_traced(tests, tmp_path):
    done = running.run([*command(tmp_path / "t.hsk", "--quiet"), *tests], cwd=tmp_path, env=environment(), timeout=240)
    said = outcomes(done)
    said.pop("test_bad_subtests")
    assert said == {name: "FAIL" if name in OVER else OWN.get(name, "ok") for name in said} and len(said) == 16, done
    assert "(i=1)" in done.err and "AssertionError: 1 == 1" in done.err and "its own failure" in done.err
    assert "leaves" in done.err and "test_it.Thing: growing" in done.err and "module test_it → kept (list) → [" in done.err, done
    assert "had 1.91 MiB at its peak, max_peak is 977 KiB" in done.err and "max_allocations is 10" in done.err
    assert "Ran 17 tests" in done.err and "failures=8, errors=1, skipped=1, expected failures=1" in done.err, done
    regions = {one["name"]: one["occurrences"] for one in Trace(tmp_path / "t.hsk").json("summary")["regions"]}
    assert regions["test_it.Whole.test_fail"] == 1 and regions["test_it.Whole.test_leak"] == 9, regions


def test_who_passes_only_once_is_told(tests, tmp_path):
    done = running.run([*command(tmp_path / "t.hsk", "--quiet"), *tests, "-k", "only_once"], cwd=tmp_path, env=environment())
    assert "cannot be judged: it did not pass when it was run again (round 2)" in done.err and "its second run" in done.err, done


BUFFERED = """
    import sys
    from heapsake.unittest import TestCase, limit

    kept = []

    class Prints(TestCase):
        heapsake_limits = {"leaks": False}

        def test_quiet(self):
            print("said quietly")

        def test_leak(self):
            kept.append(bytes(100))
            print("said with the leak")
            sys.stderr.write("said as an error\\n")

        def test_fail(self):
            print("said with the failure")
            self.fail("own")
"""


def test_buffered_output(tests, tmp_path):
    """unittest -b: shown of failures alone, once."""
    (tmp_path / "test_it.py").write_text(textwrap.dedent(BUFFERED))
    done = running.run([*command(tmp_path / "t.hsk", "--quiet"), *tests, "-b"], cwd=tmp_path, env=environment())
    assert "quietly" not in done.out + done.err and "FAILED (failures=2)" in done.err, done
    for said in "said with the leak", "said as an error", "said with the failure":
        # in the report of the test, and before it, as unittest does
        assert (done.out + done.err).count(said) == 2, done


def test_limits_of_a_class_that_make_no_sense(tests, tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import unittest\nfrom heapsake.unittest import TestCase\n"
        "class Wrong(TestCase):\n    heapsake_limits = {'leeks': False}\n    def test_it(self): pass\n")
    for before in (), command(tmp_path / "t.hsk", "--quiet"):
        done = running.run([*before, *tests], cwd=tmp_path, env=environment())
        assert "LimitError: there is no limit 'leeks'" in done.err and done.status == 1, done


def test_a_limit_that_makes_no_sense(tmp_path):
    (tmp_path / "test_it.py").write_text("from heapsake.unittest import limit\n@limit(max_peek=1)\ndef test_it(): pass\n")
    done = running.run([sys.executable, "-c", "import test_it"], cwd=tmp_path, env=environment(PYTHONPATH=None) | environment())
    assert done.status == 1 and "max_peek" in done.err.splitlines()[-1], done
