"""Parts of _heapsake.gate that need no trace: sizes, limits, what is the framework's."""

import sys

import pytest

from support.building import ROOT

sys.path.insert(0, str(ROOT / "python"))

from _heapsake.gate import sizes  # noqa: E402
from _heapsake.gate.account import printable  # noqa: E402
from _heapsake.gate.follower import Frame, escaped  # noqa: E402
from _heapsake.gate.gate import region_name  # noqa: E402
from _heapsake.gate.limits import LimitError, Limits  # noqa: E402
from _heapsake.gate.machinery import Machinery  # noqa: E402


@pytest.mark.parametrize("written, size", [
    (0, 0), (17, 17), ("17", 17), ("20 MB", 20_000_000), ("20MiB", 20 << 20), ("20M", 20 << 20), ("1.5 kB", 1500), ("2 gib", 2 << 30),
    ("10 B", 10),
])
def test_sizes(written, size):
    assert sizes.parse_size(written) == size


@pytest.mark.parametrize("written", ["", "MB", "20 MX", "-1", -1, True, None, 1.5, "1 MB 2", "20,0 MB"])
def test_what_is_no_size(written):
    with pytest.raises(ValueError):
        sizes.parse_size(written)


def test_sizes_as_reports_write_them():
    assert [sizes.format_size(size) for size in (0, 1023, 1024, 2_000_000, 10**6, 123456789)] == [
        "0 B", "1023 B", "1.00 KiB", "1.91 MiB", "977 KiB", "118 MiB"]


def test_defaults_fill_what_was_not_said():
    limits = Limits(max_peak="1 MB").with_defaults(leaks=False, warmup=1, rounds=2)
    assert not limits.leaks and limits.about_leaks and (limits.warmup, limits.rounds) == (1, 2)
    # who has a limit about leaks has said all about them
    own = Limits(max_leaked="1 MB", warmup=3).with_defaults(leaks=False, warmup=1, rounds=2)
    assert own.leaks and own.max_leaked == 1_000_000 and (own.warmup, own.rounds) == (3, 2)
    assert not Limits().any and not Limits(warmup=1).about_leaks
    excepted = Limits(leaks=True).with_defaults(leaks=False, warmup=1, rounds=2)
    assert excepted.leaks and not excepted.any


@pytest.mark.parametrize("wrong", [{"max_peak": "much"}, {"max_allocations": 1.5}, {"max_allocations": True}, {"leaks": "no"}, {"leaks": 0}, {"current_thread_only": "yes", "max_peak": 1},
                                   {"no_leaks": "none"}, {"no_leaks": []}, {"rounds": 0}, {"warmup": -1}, {"filter_fn": "f"}])
def test_limits_that_make_no_sense(wrong):
    with pytest.raises(LimitError):
        Limits(**wrong)


def test_names():
    assert region_name("a::b[é]") == "a::b[é]" and region_name("\udc80") == "\\udc80"
    long = region_name("t" * 5000)
    assert len(long) <= 1000 and long != region_name("t" * 5001) and long == region_name("t" * 5000)
    assert len(region_name("é" * 3000).encode()) <= 1000
    assert escaped("50%\n") == b"50%25%0A"
    assert printable("a\x1b[31m\n\u202eb") == "a\\x1b[31m\\x0a\\u202eb"


def frame(function, file, language="python"):
    return Frame(function, file, 1, None, language)


def test_machinery():
    machinery = Machinery(("opens", "frame/run.py"), [pytest])
    inside = pytest.__file__
    opens, test, native = frame("Run.opens", "/frame/run.py"), frame("test_it", "/t/test_it.py"), frame("malloc", None, "native")
    assert machinery.allocated([native, frame("call", inside), opens, test])
    assert machinery.allocated([opens])
    assert not machinery.allocated([frame("call", inside), test, opens])
    assert not machinery.allocated([frame("call", inside)]), "another thread"
    assert not machinery.allocated([]) and not machinery.allocated([native])
    assert not machinery.allocated([frame("opens", "/other/run.py")])
    setup = Machinery(("opens", "frame/run.py"), [pytest], setup=("asks", "frame/run.py"))
    assert setup.allocated([frame("made", "/t/test_it.py"), frame("asks", "/frame/run.py"), test, opens])
    assert not setup.allocated([test, opens]) and not setup.allocated([test, frame("asks", "/t/run.py"), opens])
