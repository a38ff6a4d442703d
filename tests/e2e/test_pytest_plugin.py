"""pytest --heapsake: verdicts on tests that leak and on tests that look as if, limits, rounds, restarting, other plugins."""

import os
import re
import shlex
import shutil
import stat
import sys

import pytest

from support import running
from support.building import ROOT
from support.pytest_runs import Suites, environment
from support.traces import Trace, heapsake_binary

APP = """
    class Session:
        def __init__(self):
            self.data = list(range(50))

    sessions = []
    last = None

    def login():
        sessions.append(Session())
"""

# What a test does, and whether it leaks.
VERDICTS = """
    import asyncio, ctypes, functools, threading, unittest
    import pytest
    import app

    class Thing:
        pass

    kept = []
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    take = ctypes.pythonapi.Py_IncRef
    take.argtypes = [ctypes.py_object]

    def test_nothing():
        assert sorted(range(10, 0, -1))[0] == 1

    def test_import():
        import colorsys, this_is_imported

    def test_last_value():
        app.last = app.Session()

    def test_cycle():
        thing = Thing()
        thing.me = [thing]

    @functools.lru_cache(maxsize=None)
    def cached(key):
        return Thing()

    def test_cached():
        cached(1)

    class TestClass:
        stash = []

        def test_self(self):
            self.thing = Thing()

        def test_leak_class(self):
            self.stash.append(Thing())

    class TestSetUp:
        def setup_method(self):
            self.box = {}

        # What dies in the teardown goes into the interpreter's freelists, for others to make their objects in.
        @pytest.mark.parametrize("make", [list, dict, lambda: (Thing(),), lambda: (Thing(), 1), lambda: float("1.5")])
        def test_given_back(self, make):
            for i in range(5):
                self.box[i] = make()

    @pytest.fixture
    def box():
        return []

    @pytest.fixture(scope="module")
    def module_box():
        return []

    def test_fixture(box):
        box.append(Thing())

    def test_leak_module_fixture(module_box):
        module_box.append(Thing())

    @pytest.mark.parametrize("n", [1, 2])
    def test_captured(n, tmp_path, capsys, caplog, monkeypatch, recwarn):
        import logging, warnings
        logging.getLogger("a").warning("said %s", Thing())
        print("printed")
        monkeypatch.setenv("SOME", "thing")
        warnings.warn("warned")
        (tmp_path / "file").write_text("text")

    def test_raises():
        with pytest.raises(ValueError):
            int("x")

    def test_async():
        async def work():
            await asyncio.sleep(0)
            return Thing()
        asyncio.run(work())

    def test_leak_async():
        async def work():
            await asyncio.sleep(0)
            kept.append(Thing())
        asyncio.run(work())

    @pytest.fixture(scope="session")
    def asked_for():
        return Thing()

    def test_asks_for_a_fixture(request):
        assert request.getfixturevalue("asked_for")

    def test_warns():
        import warnings
        warnings.warn("said once", DeprecationWarning)

    def test_caches_of_the_library(_number=[8000]):
        import typing, urllib.parse
        class Local:
            pass
        typing.Optional[Local]
        _number[0] += 1
        urllib.parse.urlsplit(f"http://localhost:{_number[0]}/")

    def test_imports_from_another_folder_each_time(tmp_path, monkeypatch):
        import sys
        (tmp_path / "found_here.py").write_text("")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        import found_here
        del sys.modules["found_here"]

    # A store of many values that each run replaces: the next tuple is made where the last one was.
    results = {}

    def test_replaced():
        for name in range(50):
            results[name] = (Thing, name)

    # A pool of free blocks, as numpy's: more are used at once than it keeps.
    class Pool:
        free = []

    @pytest.mark.parametrize("used", [8, 10, 20])
    def test_pool(used):
        taken = [Pool.free.pop() if Pool.free else bytearray(100) for _ in range(used)]
        Pool.free += taken[:7]

    def test_thread():
        thread = threading.Thread(target=lambda: [Thing() for _ in range(10)])
        thread.start()
        thread.join()

    def test_leak_thread():
        thread = threading.Thread(target=lambda: kept.append(Thing()))
        thread.start()
        thread.join()

    def test_leak_list():
        app.login()

    @pytest.mark.heapsake(leaks=True)
    def test_excepted():
        app.login()

    def test_leak_native():
        libc.malloc(1000)

    def test_leak_reference():
        take(Thing())

    def test_leak_cache():
        cached(object())

    @functools.lru_cache(maxsize=1000)
    def bounded(key):
        return Thing()

    def test_leak_bounded_cache():
        bounded(object())

    class TestUnit(unittest.TestCase):
        def setUp(self):
            self.things = [Thing()]

        def test_self(self):
            self.more = Thing()

        def test_leak_unit(self):
            kept.append(Thing())

    def test_fails():
        assert 0, "its own failure"

    @pytest.mark.xfail
    def test_expected():
        kept.append(Thing())
        assert 0

    def test_skips():
        pytest.skip("because")

    counter = []
    def test_only_once():
        counter.append(1)
        assert len(counter) == 1
"""


@pytest.fixture
def suites(tmp_path):
    return Suites(tmp_path / "suite")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    suites = Suites(tmp_path_factory.mktemp("verdicts") / "suite")
    return suites.write(test_it=VERDICTS, app=APP, this_is_imported="TABLE = list(range(1000))").run("--heapsake-no-leaks")


def test_what_leaks_fails_and_what_does_not_passes(verdicts):
    wrong = {}
    for name, outcome in verdicts.outcomes.items():
        expected = "failed" if "leak" in name or "fails" in name else "skipped" if "skips" in name or "expected" in name else "passed"
        if outcome != expected:
            wrong[name] = (outcome, verdicts.texts.get(name))
    assert not wrong and len(verdicts.outcomes) == 41, f"{wrong}\n{verdicts.result}"
    assert verdicts.result.status == 1


def test_a_failure_names_site_cause_and_path(verdicts):
    text = verdicts.texts["test_leak_list"]
    line = 1 + next(i for i, line in enumerate(APP.splitlines()) if "append(Session" in line)
    assert re.search(r"leaves \d+ B in \d blocks behind each time it runs, leaks=False allows none", text), text
    assert re.search(rf"login  .*app\.py:{line}\b", text) and "test_leak_list  " in text, text
    assert "app.Session: growing" in text and "kept by module app → sessions (list) → [" in text, text
    assert "more:  heapsake leaks --region test_it.py::test_leak_list .heapsake/pytest.hsk" in text, text
    assert "_pytest" not in text and "pluggy" not in text, text
    assert "lost" in verdicts.texts["test_leak_native"]
    assert "over-referenced" in verdicts.texts["test_leak_reference"] and "Thing" in verdicts.texts["test_leak_reference"]
    assert "TestClass.stash" in verdicts.texts["TestClass::test_leak_class"]
    unbounded, bounded = (" ".join(verdicts.texts[name].split()) for name in ("test_leak_cache", "test_leak_bounded_cache"))
    assert "functools.lru_cache: give it a maxsize" in unbounded and "give it" not in bounded, (unbounded, bounded)
    assert "functools.lru_cache with a maxsize: it grows until it is full" in bounded, bounded
    assert "a cache with a limit looks so until it is full" in bounded, bounded
    assert "its own failure" in verdicts.texts["test_fails"] and "heapsake" not in verdicts.texts["test_fails"]


def test_the_summary_says_what_was_not_measured(verdicts):
    assert re.match(r"heapsake: \d+ tests checked, 10 over a limit, 1 not measured; trace: ", verdicts.line), verdicts.result
    assert "heapsake: not measured: test_it.py::test_only_once: it failed when it was run again" in verdicts.out
    assert "FAILED test_it.py::test_leak_list - heapsake: the test leaves" in verdicts.out
    assert verdicts.out.count("DeprecationWarning: said once") == 1, "warnings of rounds before the last one were shown, or none"


def test_every_test_is_a_region(verdicts):
    regions = {one["name"]: one for one in Trace(verdicts.trace).json("summary")["regions"]}
    assert regions["test_it.py::test_leak_list"]["occurrences"] == 9
    assert regions["test_it.py::test_nothing"]["occurrences"] <= 2
    assert regions["test_it.py::test_fails"]["occurrences"] == 1
    assert "test_it.py::TestUnit::test_leak_unit" in regions


# Not in each round, not by one more block, or so for a while only.
IRREGULAR = """
    import collections
    import pytest

    class Thing:
        pass

    runs, kept = collections.Counter(), []

    def run(request):
        runs[request.node.name] += 1
        return runs[request.node.name]

    def test_leak_second(request):
        if run(request) % 2 == 0:
            kept.append(Thing())
        last["second"] = kept

    @pytest.mark.parametrize("first", [0, 1])
    def test_either(request, first):
        if run(request) % 2 == first:
            kept.append(Thing())

    def test_third(request):
        if run(request) % 3 == 2:
            kept.append(Thing())

    # Six entries, one each second time.
    small = {}
    def test_small_cache(request):
        key = run(request) // 2
        if key <= 6 and key not in small:
            small[key] = Thing()

    # Seven free ones, of which each second time the oldest is replaced.
    pool = collections.deque((Thing() for _ in range(7)), maxlen=7)
    def test_pool(request):
        if run(request) % 2 == 0:
            pool.append(Thing())

    buffer, places, window = bytearray(), [], []

    def test_leak_buffer(request):
        buffer.extend(b"x" * 1000)

    def test_leak_places(request):
        places.extend([None] * 100)

    # Values that each run replaces, by a larger one for some time, or now and then.
    last = {}
    def test_last_grows(request):
        last["grows"] = bytes(1000 * min(run(request), 7))

    def test_last_varies(request):
        last["varies"] = bytes(1000 * (run(request) * 7 % 11))

    def test_doubled(request):
        last["doubled"] = bytes(1000 << min(run(request) // 2, 5))
"""


def test_what_is_left_now_and_then_and_one_block_that_grows(suites):
    done = suites.write(test_it=IRREGULAR).run("--heapsake-no-leaks")
    wrong = {name: outcome for name, outcome in done.outcomes.items() if (outcome == "failed") != ("leak" in name)}
    assert not wrong and len(done.outcomes) == 11, (wrong, done.result)
    text = done.texts["test_leak_second"]
    assert "behind in 8 of 15 runs, leaks=False" in text and "kept by module test_it → kept (list)" in text, text
    text = done.texts["test_leak_buffer"]
    assert re.search(r"leaves 1\.\d\d KiB in 1 block behind each time it runs", text), text
    assert "it is one block, which each run makes larger" in text and "kept by module test_it → buffer (bytearray)" in text, text
    assert re.search(r"test_leak_buffer  .*test_it\.py:\d+", text), text
    assert "kept by module test_it → places (list)" in done.texts["test_leak_places"], done.result


def test_what_every_second_run_leaves_whichever(suites):
    done = suites.write(test_it=IRREGULAR).run("--heapsake-no-leaks", "--heapsake-thorough", "-k", "either or third")
    assert done.outcomes == {"test_either[0]": "failed", "test_either[1]": "failed", "test_third": "passed"}, done.result


SEVERAL = """
    import ctypes
    import app

    libc, take = ctypes.CDLL(None), ctypes.pythonapi.Py_IncRef
    libc.malloc.restype, take.argtypes = ctypes.c_void_p, [ctypes.py_object]

    class Thing:
        pass

    def test_both():
        libc.malloc(1000), take(Thing())

    def test_second():
        app.login()

    def test_third():
        app.login()
"""


def test_several_leaks_at_one_line(suites):
    """Each is told, and none has the other's type."""
    done = suites.write(app=APP, test_it=SEVERAL).run("--heapsake-no-leaks", "-k", "both")
    text = done.texts["test_both"]
    assert re.search(r"in \d blocks: lost\n", text), text
    assert re.search(r"also over-referenced: \d objects of type test_it\.Thing", " ".join(text.split())), text
    assert "--heapsake-native (of heapsake run: --native) names the function of an extension" in text, text
    native = suites.run("--heapsake-no-leaks", "--heapsake-native", "-k", "both")
    assert "--heapsake-native (" not in native.texts["test_both"], native.texts


def test_the_first_tests_are_explained(suites):
    """Each takes the time of reports on the whole trace; of more, the command that tells it."""
    suites.write(app=APP, test_it=SEVERAL, conftest="""
        import _heapsake.gate.leaks
        _heapsake.gate.leaks.TESTS_EXPLAINED = 1
    """)
    done = suites.run("--heapsake-no-leaks", "-k", "second or third")
    assert "kept by module app → sessions" in done.texts["test_second"], done.result
    text = done.texts["test_third"]
    assert "kept by" not in text and "login  " in text and "causes are told of the first test that leaks alone" in text, text
    words = shlex.split(re.search(r"more:  heapsake (.*)", text).group(1))
    more = running.run([heapsake_binary(), *words], cwd=suites.folder)
    assert more.status == 0 and "sessions" in more.out, more


LIMITS = """
    import threading
    import pytest

    kept = []

    @pytest.mark.heapsake(max_peak="1 MB")
    def test_peak():
        big = bytearray(2_000_000)

    @pytest.mark.heapsake(max_peak="3 MB")
    def test_peak_kept():
        big = bytearray(2_000_000)

    @pytest.mark.heapsake(max_allocations=500)
    def test_allocations():
        many = [object() for _ in range(1000)]

    @pytest.mark.heapsake(max_allocations=5000, max_peak=10_000_000)
    def test_allocations_kept():
        many = [object() for _ in range(1000)]

    @pytest.mark.heapsake(max_leaked="1 kB")
    def test_leaked():
        kept.append(bytes(2000))

    @pytest.mark.heapsake(max_leaked="1 MB")
    def test_leaked_kept():
        kept.append(bytes(2000))

    def is_not_known(leak):
        return not any(frame.function == "known_to_leak" for frame in leak.stack)

    def known_to_leak():
        kept.append(bytes(3000))

    @pytest.mark.heapsake(leaks=False, filter_fn=is_not_known)
    def test_filtered():
        known_to_leak()

    @pytest.mark.heapsake(leaks=False, filter_fn=lambda leak: leak.no_such_attribute)
    def test_bad_filter():
        known_to_leak()

    @pytest.mark.heapsake(no_leaks="lost,cycle")
    def test_other_cause():
        kept.append(bytes(4000))

    @pytest.mark.heapsake(no_leaks=["growing"])
    def test_that_cause():
        kept.append(bytes(5000))

    def in_a_thread():
        thread = threading.Thread(target=lambda: bytearray(2_000_000))
        thread.start()
        thread.join()

    @pytest.mark.heapsake(max_peak="1 MB")
    def test_all_threads():
        in_a_thread()

    @pytest.mark.heapsake(max_peak="1 MB", current_thread_only=True)
    def test_own_thread():
        in_a_thread()

    @pytest.mark.heapsake(max_peak="1 MB")
    class TestMarked:
        def test_inherits(self):
            big = bytearray(2_000_000)

        @pytest.mark.heapsake(max_peak="3 MB")
        def test_overrides(self):
            big = bytearray(2_000_000)

    def test_without_limits():
        kept.append(bytearray(2_000_000))
"""


def test_limits(suites):
    done = suites.write(test_it=LIMITS).run("--heapsake")
    failed = {name for name, outcome in done.outcomes.items() if outcome == "failed"}
    assert failed == {"test_peak", "test_allocations", "test_leaked", "test_that_cause", "test_all_threads",
                      "test_bad_filter", "TestMarked::test_inherits"}, done.result
    assert "passed" in set(done.outcomes.values())
    text = done.texts["test_peak"]
    assert "had 1.91 MiB at its peak, max_peak is 977 KiB" in text and re.search(r"1\.91 MiB in \d blocks?\n.*\n *test_peak ", text), text
    assert re.search(r"made 1,\d\d\d allocations, max_allocations is 500", done.texts["test_allocations"])
    assert "max_leaked is 1000 B" in done.texts["test_leaked"]
    assert "cannot be judged: its filter_fn raised AttributeError" in done.texts["test_bad_filter"]
    assert "no_leaks forbids growing" in done.texts["test_that_cause"]
    assert re.match(r"heapsake: 14 tests checked, 7 over a limit; trace: ", done.line), done.result


FORGOTTEN = """
    import ctypes
    import app

    take = ctypes.pythonapi.Py_IncRef
    take.argtypes = [ctypes.py_object]

    def test_forgotten():
        take(str(app.last) + "a str")

    def test_kept():
        app.login()
"""


@pytest.mark.parametrize("name, told", [("test_forgotten", "1 unexplained"), ("test_kept", "sessions")])
def test_the_command_that_tells_more(suites, name, told):
    """It can be typed where pytest was, and speaks of the leak."""
    done = suites.write(app=APP, test_it=FORGOTTEN).run("--heapsake-no-leaks")
    words = shlex.split(re.search(r"more:  heapsake (.*)", done.texts[name]).group(1))
    more = running.run([heapsake_binary(), *words], cwd=suites.folder)
    assert more.status == 0 and told in more.out, more


def test_limits_count_in_a_session_that_is_traced_already(suites):
    done = suites.write(test_it=LIMITS).run("-k", "test_peak", before=[heapsake_binary(), "run", "-o", "own.hsk", "--"])
    assert done.outcomes == {"test_peak": "failed", "test_peak_kept": "passed"}, done.result
    assert done.trace == suites.folder / "own.hsk"


def test_limits_do_not_count_when_nothing_is_traced(suites):
    done = suites.write(test_it=LIMITS).run()
    assert set(done.outcomes.values()) == {"passed"} and "heapsake:" not in done.out, done.result


@pytest.mark.parametrize("name", ["heapsake", "heapsake_no_leaks"])
def test_a_wrong_value_in_the_ini_file_is_an_error(suites, name):
    others = "" if name == "heapsake" else "heapsake = true\n"
    (suites.folder / "own.ini").write_text(f"[pytest]\n{others}{name} = perhaps\n")
    done = suites.write(test_it="def test_it(): pass").run("-c", "own.ini")
    assert done.result.status == 4 and f"{name} in the ini file is neither true nor false" in done.result.err, done.result
    assert "Traceback" not in done.result.err, done.result


WRONG_MARKERS = [
    ("max_peek='1 MB'", "there is no limit 'max_peek'"),
    ("max_peak='1 MX'", "'1 MX' is no size"),
    ("max_leaked=-1", "-1 is no size"),
    ("max_allocations='few'", "is no number"),
    ("no_leaks='forgotten'", "'forgotten' is no cause"),
    ("leaks=0", "leaks=0"),
    ("leaks=False, rounds=0", "rounds=0"),
    ("leaks=False, filter_fn=3", "filter_fn=3"),
    ("'20 MB'", "limits have names"),
    ("", "has no limit"),
]


@pytest.mark.parametrize("marker, said, option", [(*one, ()) for one in WRONG_MARKERS] + [(*WRONG_MARKERS[0], ("--heapsake",))])
def test_a_wrong_marker_is_an_error(suites, marker, said, option):
    done = suites.write(test_it=f"""
        import pytest
        @pytest.mark.heapsake({marker})
        def test_it(): pass
    """).run(*option)
    assert done.result.status == 4, done.result
    errors = [line for line in done.result.err.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1 and "test_it.py::test_it" in errors[0] and said in errors[0], done.result


def test_who_reads_the_trace_may_be_killed(suites):
    """That test cannot be judged; those behind it can."""
    done = suites.write(test_it="""
        import os, resource, signal
        import pytest
        from _heapsake.gate.gate import Gate

        kept = []

        def test_first():
            kept.append(bytes(100))

        def test_kills():
            os.kill(Gate.here().follower.process.pid, signal.SIGKILL)
            Gate.here().follower.process.wait()

        def test_kills_while_it_is_asked():
            process = Gate.here().follower.process
            process.poll = lambda: delattr(process, "poll")  # still there, it says when it is looked at
            os.kill(process.pid, signal.SIGKILL)

        def test_nothing():
            pass

        files = []

        @pytest.mark.heapsake(leaks=False, warmup=0, rounds=1)
        def test_takes_all_descriptors():
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
            while True:
                try:
                    files.append(open(os.devnull))
                except OSError:
                    break

        def test_last():
            while files:
                files.pop().close()
            kept.append(bytes(100))
    """).run("--heapsake-no-leaks")
    assert done.outcomes == {"test_first": "failed", "test_kills": "passed", "test_kills_while_it_is_asked": "failed", "test_nothing": "passed",
                             "test_takes_all_descriptors": "failed", "test_last": "failed"}, done.result
    assert "causes are not known" in done.texts["test_takes_all_descriptors"], done.result
    assert "leaves" in done.texts["test_last"] and "heapsake follow has ended" in done.texts["test_kills_while_it_is_asked"], done.result


FIXTURES = """
    import pytest

    log = []

    @pytest.fixture(scope="module")
    def wide():
        log.append("wide up")
        yield
        print("wide says goodbye")
        assert log.count("wide up") == 1
        raise RuntimeError("wide fails: " + ",".join(log))

    @pytest.fixture(params=["a", "b"])
    def narrow(request, wide):
        log.append("up")
        yield [request.param]
        log.append("down")

    kept = []

    @pytest.mark.heapsake(leaks=False, warmup=2, rounds=3)
    def test_rounds(narrow, record_property):
        print("hello", len(narrow))
        assert len(narrow) == 1
        record_property("size", len(narrow))
        narrow.append(1)
        kept.append(bytes(100))
"""


def test_rounds_have_fixtures_of_their_own(suites):
    done = suites.write(test_it=FIXTURES).run("--heapsake")
    assert done.result.out.count("leaves") >= 2 and done.outcomes["test_rounds[a]"] == "failed", done.result
    # the wide fixture's failure is an error of the last test: five rounds, each with setup and teardown
    assert "wide fails: wide up," + ",".join(["up", "down"] * 10) in done.out, done.result
    assert done.out.count("ERROR at teardown of test_rounds[b]") == 1 and "wide says goodbye" in done.out
    assert re.search(r"2 failed,.* 1 error", done.out), done.result
    assert done.out.count("hello 1") == 3, "output of rounds before the last one was shown"
    junit = (suites.folder / "junit.xml").read_text()
    assert junit.count('name="size"') == 2, junit


@pytest.mark.parametrize("what, status, said", [("raise KeyboardInterrupt", 2, "KeyboardInterrupt"), ("pytest.exit('so be it', 7)", 7, "so be it")])
def test_a_teardown_may_end_the_session(suites, what, status, said):
    """Also that of a fixture which several tests share."""
    done = suites.write(test_it=f"""
        import pytest

        @pytest.fixture(scope="module")
        def shared():
            yield
            {what}

        def test_first(shared):
            pass
    """, test_other="def test_not_run(): print('was run after all')").run("--heapsake-no-leaks", "-s")
    assert done.result.status == status and said in done.out and "was run" not in done.out, done.result


def test_a_marked_test_that_cannot_be_repeated_fails(suites):
    done = suites.write(test_it="""
        import pytest
        count = []
        kept = []
        @pytest.mark.heapsake(leaks=False)
        def test_once():
            count.append(1)
            assert len(count) == 1, "only once"
        @pytest.mark.heapsake(leaks=False, warmup=0, rounds=1)
        def test_once_is_enough():
            kept.append(bytes(3000))
    """).run("--heapsake")
    assert done.outcomes == {"test_once": "failed", "test_once_is_enough": "failed"}, done.result
    assert "cannot be judged: it failed when it was run again (round 2, call)" in done.texts["test_once"], done.result
    assert "only once" in done.texts["test_once"]
    assert "leaves" in done.texts["test_once_is_enough"]


def test_stopping_and_last_failed(suites):
    suites.write(app=APP, test_it="""
        import app
        def test_a(): pass
        def test_b(): app.login()
        def test_c(): pass
    """)
    first = suites.run("--heapsake-no-leaks", "-x", "-o", "cache_dir=cache")
    assert first.outcomes == {"test_a": "passed", "test_b": "failed"}, first.result
    second = suites.run("--heapsake-no-leaks", "--lf", "-o", "cache_dir=cache")
    assert second.outcomes == {"test_b": "failed"}, second.result


def test_workers_of_xdist(suites):
    pytest.importorskip("xdist")
    done = suites.write(app=APP, test_it="""
        import app, pytest
        @pytest.mark.parametrize("n", range(6))
        def test_clean(n): sorted(range(n))
        @pytest.mark.parametrize("n", range(2))
        def test_leaks(n): app.login()
    """).run("--heapsake-no-leaks", "-n", "2")
    assert done.result.status == 1
    for name, outcome in done.outcomes.items():
        assert outcome == ("failed" if "leaks" in name else "passed"), done.result
    assert len(done.outcomes) == 8
    assert "app.Session" in done.texts["test_leaks[0]"] and "module app → sessions" in done.texts["test_leaks[1]"]
    assert re.match(r"heapsake: 8 tests checked, 2 over a limit; trace: .*/pytest\.\d+\.hsk( and 1 other)?$", done.line), done.result


def test_a_test_that_has_limits_and_none_about_leaks_runs_once(suites):
    done = suites.write(test_it="""
        import pytest
        count = []
        @pytest.mark.heapsake(max_peak="5 MB")
        def test_it(): count.append(1)
        def test_count(): assert len(count) == 1
        @pytest.mark.heapsake(max_allocations=300, warmup=1)
        def test_warm():
            import xml.sax.handler
            count.append(1)
        def test_count_warm(): assert len(count) == 3
    """).run("--heapsake")
    assert set(done.outcomes.values()) == {"passed"} and len(done.outcomes) == 4, done.result


# ---- restarting ----


def only_line(result):
    lines = [line for line in result.err.splitlines() if line.strip()]
    assert len(lines) == 1, result
    return lines[0]


def test_the_command_is_missing(suites):
    suites.write(test_it="def test_it(): pass")
    named = suites.run("--heapsake", env=environment(HEAPSAKE="/nowhere/heapsake"))
    assert named.result.status == 4
    assert only_line(named.result).startswith("ERROR: --heapsake: HEAPSAKE=/nowhere/heapsake is no program: ")
    # the module from a folder of its own, so that no build is beside it
    shutil.copytree(ROOT / "python", suites.folder / "elsewhere")
    unnamed = suites.run("--heapsake", env=environment(HEAPSAKE=None, PYTHONPATH=suites.folder / "elsewhere",
                                                       PATH=os.path.dirname(sys.executable)))
    if unnamed.result.status == 0:
        pytest.skip("heapsake is installed beside this interpreter")
    assert unnamed.result.status == 4
    assert only_line(unnamed.result).startswith("ERROR: --heapsake: there is no program heapsake on PATH: "), unnamed.result


def test_a_run_that_does_not_trace_is_not_begun_again(suites):
    suites.write(test_it="def test_it(): pass")
    fake = suites.folder / "fake"
    fake.write_text('#!/bin/sh\necho started >>started\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    done = suites.run("--heapsake", env=environment(HEAPSAKE=fake))
    assert done.result.status == 4 and not done.outcomes, done.result
    assert "--heapsake: this process is not traced: heapsake run could not trace it, and has said why" in done.result.err
    assert (suites.folder / "started").read_text() == "started\n"


def test_arguments_and_status_are_passed_on(suites):
    (suites.folder / "a b").mkdir()
    (suites.folder / "a b" / "test_it.py").write_text("import sys\ndef test_it(): assert sys.flags.dont_write_bytecode\n")
    done = suites.run("--heapsake", "a b/test_it.py", "-k", "it and not other", "-W", "error::DeprecationWarning")
    assert done.result.status == 0 and list(done.outcomes.values()) == ["passed"], done.result
    assert suites.run("--heapsake", "-k", "no_such_name").result.status == 5


def test_what_runs_no_test_is_not_traced(suites):
    suites.write(test_it="def test_it(): pass")
    for option in ("--collect-only", "--help", "--markers", "--fixtures"):
        done = suites.run("--heapsake", option)
        assert done.result.status == 0 and not (suites.folder / ".heapsake").exists(), done.result


def test_traces_of_the_session_before_go(suites):
    suites.write(test_it="""
        import subprocess, sys
        def test_it(): subprocess.run([sys.executable, "-c", ""], check=True)
    """)
    folder = suites.folder / ".heapsake"
    for _ in range(2):
        done = suites.run("--heapsake")
        assert done.trace == folder / "pytest.hsk"
        assert len(list(folder.glob("*.hsk"))) == 2, "the session's and its child's"
    assert (folder / ".gitignore").read_text() == "*\n"
    named = suites.run("--heapsake", "--heapsake-output", "mine.hsk")
    assert named.trace == suites.folder / "mine.hsk"
    again = suites.run("--heapsake", "--heapsake-output", "mine.hsk")
    assert again.result.status != 0 and "mine.hsk" in again.result.err and "--force" in again.result.err, again.result


def test_options_of_the_ini_file(suites):
    suites.write(app=APP, test_it="import app\ndef test_it(): app.login()\n")
    (suites.folder / "own.ini").write_text("[pytest]\nheapsake = true\nheapsake_no_leaks = true\nheapsake_rounds = 3\n")
    done = suites.run("-c", "own.ini")
    assert done.outcomes == {"test_it": "failed"}, done.result
    assert Trace(done.trace).json("summary")["regions"][0]["occurrences"] == 4


@pytest.mark.parametrize("folder", ["", "tests"])
@pytest.mark.parametrize("option", [(), ("--heapsake-no-leaks",)])
def test_a_package_of_the_users_with_our_name(suites, folder, option):
    """The plugin needs nothing that is called so; neither does it keep the tests from importing theirs."""
    package = suites.folder / folder / "heapsake"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("THEIRS = []\n")
    (package / "test_it.py").write_text(
        "from heapsake import THEIRS\ndef test_it(): pass\ndef test_leaks(): THEIRS.append(bytes(100))\n")
    done = suites.run(*option)
    assert sorted(done.outcomes.values()) == (["failed", "passed"] if option else ["passed"] * 2), done.result
    assert not option or "kept by module heapsake → THEIRS" in done.out, done.result


def test_installed(suites, tmp_path):
    """As a package, from a copy of its sources, offline; pytest finds the plugin by itself."""
    pytest.importorskip("setuptools", minversion="61")
    pytest.importorskip("pip")
    shutil.copytree(ROOT / "python", tmp_path / "sources", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    site = tmp_path / "site"
    installed = running.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index",
                             "--target", site, tmp_path / "sources"], env=environment(PYTHONPATH=None), timeout=120)
    assert installed.status == 0, installed
    done = suites.write(test_it="def test_it(): pass").run("--heapsake-no-leaks", plugin=(), env=environment(PYTHONPATH=site))
    assert done.outcomes == {"test_it": "passed"} and "heapsake-0.1.0" in done.out, done.result
    assert done.line.startswith("heapsake: 1 test checked, 0 over a limit; trace: ")
