"""
pytest --heapsake: this process becomes `heapsake run ... -- pytest --heapsake`, with the same arguments.

Once: what the new process says in RESTARTED is taken out of the environment when it has begun, and one that is not traced all the
same says so and ends. Workers of pytest-xdist are children of a traced process, and traced themselves.
"""

import os
import sys

import pytest

RESTARTED = "HEAPSAKE_PYTEST_RESTARTED"
FOLDER = ".heapsake"
NAME = "pytest.hsk"

_restarted = os.environ.pop(RESTARTED, None) is not None


def _runs_tests(option):
    """Not one of the options that only show something."""
    return not any(getattr(option, name, False) for name in (
        "help", "version", "collectonly", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow", "setupplan"))


def is_wanted(config, option):
    """Are tests to be run that are to be traced? `option`: what of the command line is known."""
    from .demands import ini_flag

    asked = option.heapsake or option.heapsake_no_leaks or ini_flag(config, "heapsake")
    return bool(asked and _runs_tests(option))


def is_asked(early_config):
    """Is this process to become another one?"""
    from _heapsake import marks

    return (is_wanted(early_config, early_config.known_args_namespace) and not _restarted and not marks.tracing()
            and "PYTEST_XDIST_WORKER" not in os.environ)


def why_not():
    """Of a process that should be traced, and is not."""
    if not sys.platform.startswith("linux"):
        return "heapsake is for Linux"
    if _restarted:
        return "heapsake run could not trace it, and has said why"
    if "PYTEST_XDIST_WORKER" in os.environ:
        return "a worker on another machine, or --children=none"
    return "the plugin was loaded too late to begin anew: install it (pip install ./python), or use -p pytest_heapsake.plugin"


def restart(early_config):
    """Does not return."""
    from _heapsake.gate.command import CommandError, find_command

    if not sys.platform.startswith("linux"):
        raise pytest.UsageError("--heapsake: " + why_not())
    try:
        command = find_command()
    except CommandError as error:
        raise pytest.UsageError(f"--heapsake: {error}") from None
    option = early_config.known_args_namespace
    arguments = [command, "run", "--quiet"]
    if option.heapsake_output:
        arguments += ["-o", option.heapsake_output]
    else:
        arguments += ["--force", "-o", str(_trace(early_config.rootpath))]
    if not option.heapsake_exit_snapshot:
        arguments.append("--no-exit-snapshot")
    if option.heapsake_native:
        arguments.append("--native")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.environ[RESTARTED] = "1"
    try:
        os.execv(command, arguments + ["--"] + _own_command_line())
    except OSError as error:
        raise pytest.UsageError(f"--heapsake: {command}: {error.strerror}") from None


def _own_command_line():
    original = getattr(sys, "orig_argv", None)
    if original:
        return [sys.executable] + original[1:]
    import subprocess

    flags = subprocess._args_from_interpreter_flags()  # before 3.10
    module = ["-m", "pytest"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
    return [sys.executable] + flags + module + sys.argv[1:]


def _trace(root):
    """A file in the folder of the last session's traces, which go; not those of a session that still runs."""
    folder = root / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        ignored = folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n")
        for trace in folder.glob("pytest*.hsk"):
            if not _is_written(trace):
                trace.unlink()
    except OSError as error:
        raise pytest.UsageError(f"--heapsake: {error.filename or folder}: {error.strerror}: name a file with --heapsake-output") from None
    trace = folder / NAME
    return trace if not trace.exists() else folder / f"pytest.session-{os.getpid()}.hsk"


def _is_written(trace):
    """A recorder holds a lock on what it writes."""
    import fcntl

    with open(trace, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
