"""Options and markers. Imported by every pytest: what a traced session needs is imported in one alone."""

import pytest

MARKER = (
    "heapsake(max_peak=SIZE, max_allocations=N, max_leaked=SIZE, leaks=False, no_leaks=CAUSES, filter_fn=FUNCTION, "
    "current_thread_only=False, warmup=N, rounds=N, thorough=False): limits on the test's memory; they count when pytest is traced: --heapsake"
)


def _number(text):
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        import argparse

        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return value


def pytest_addoption(parser):
    from _heapsake.gate.limits import ROUNDS, WARMUP

    group = parser.getgroup("heapsake", "memory: what tests allocate and leave behind (heapsake)")
    group.addoption("--heapsake", action="store_true", default=False,
                    help="run the tests traced by heapsake, and hold them to the limits of their markers")
    group.addoption("--heapsake-no-leaks", action="store_true", default=False,
                    help="no test may leave anything behind, as if each had the marker heapsake(leaks=False); means --heapsake")
    group.addoption("--heapsake-warmup", type=_number, metavar="N", default=None,
                    help=f"rounds of a test after which what stays behind counts (default: {WARMUP})")
    group.addoption("--heapsake-rounds", type=_number, metavar="N", default=None,
                    help=f"rounds that must each leave it behind, to be a leak (default: {ROUNDS}; fewer when nothing stays)")
    group.addoption("--heapsake-thorough", action="store_true", default=False,
                    help="find what every second run leaves, too: each test whose leaks are asked about runs three times at least")
    group.addoption("--heapsake-output", metavar="FILE", default=None,
                    help="write the trace to FILE, which must not exist (default: .heapsake/pytest.hsk, written anew)")
    group.addoption("--heapsake-exit-snapshot", action="store_true", default=False,
                    help="take a snapshot when the session ends, too, for `heapsake leaks` and `heapsake check` on its trace")
    group.addoption("--heapsake-native", action="store_true", default=False,
                    help="native frames also in the stacks of Python code")
    parser.addini("heapsake", "as --heapsake", type="bool", default=False)
    parser.addini("heapsake_no_leaks", "as --heapsake-no-leaks, in sessions that are traced", type="bool", default=False)
    parser.addini("heapsake_warmup", "as --heapsake-warmup", default=str(WARMUP))
    parser.addini("heapsake_rounds", "as --heapsake-rounds", default=str(ROUNDS))
    parser.addini("heapsake_thorough", "as --heapsake-thorough", type="bool", default=False)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config):
    # The outermost wrapper: before pytest takes the standard streams.
    from . import restart

    if restart.is_asked(early_config):
        restart.restart(early_config)
    yield


def pytest_configure(config):
    config.addinivalue_line("markers", MARKER)
    from _heapsake import marks

    from . import restart

    if marks.tracing():
        from .session import TracedSession

        config.pluginmanager.register(TracedSession(config), "heapsake-session")
    elif restart.is_wanted(config, config.option):
        raise pytest.UsageError("--heapsake: this process is not traced: " + restart.why_not())


def pytest_collection_modifyitems(items):
    """A marker that makes no sense is an error whether or not it counts in this session."""
    from .demands import marked

    for item in items:
        marked(item)
