"""`meson install` puts everything where distributions expect it, and the installed tree works from any folder."""

import shutil
import subprocess

import pytest

from support import running, traces
from support.building import ROOT, build_folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    if not shutil.which("meson"):
        pytest.skip("meson is not installed")
    folder = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["meson", "install", "-C", build_folder(), "--no-rebuild", "--quiet", "--destdir", folder],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, = folder.rglob("bin/heapsake")
    return found.parent.parent


def test_bootstrap_tells_its_usage():
    done = running.run([ROOT / "bootstrap", "--help"]).ok()
    assert "./bootstrap demo" in done.out and "./bootstrap test" in done.out
    wrong = running.run([ROOT / "bootstrap", "everything"])
    assert wrong.status == 2 and "./bootstrap demo" in wrong.err


def test_files(installed):
    names = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert "bin/heapsake" in names
    assert "include/heapsake/trace_format.h" in names
    assert "include/heapsake/python/Python.h" in names
    assert len([name for name in names if name.startswith("lib") and name.endswith("heapsake/libheapsake.so")]) == 1
    for command in ("run", "summary", "leaks", "peak", "dump", "verify"):
        assert f"share/man/man1/heapsake-{command}.1" in names, sorted(names)
    assert "share/man/man1/heapsake.1" in names
    assert any("completion" in name for name in names)


def test_works_anywhere(installed, target, tmp_path):
    """Moved as a whole, it finds its library beside itself."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(installed, moved)
    trace = tmp_path / "t.hsk"
    done = running.run([moved / "bin" / "heapsake", "run", "-o", trace, "--", target("counts.c"), "malloc_keep", "33"],
                       cwd=tmp_path)
    done.ok()
    assert traces.Trace(trace).whole().live_of("malloc_keep")[0] == 33
    done = running.run([moved / "bin" / "heapsake", "--python-include"], cwd=tmp_path).ok()
    assert done.out == f"{moved}/include/heapsake/python\n"


@pytest.mark.slow  # builds everything again, with sanitizers: some minutes
def test_sanitized(tmp_path):
    """The analyzer side under AddressSanitizer and UndefinedBehaviorSanitizer: unit tests, damaged traces, recordings."""
    build = tmp_path / "build"
    subprocess.run(["meson", "setup", "-Db_sanitize=address,undefined", "-Dbuildtype=debugoptimized", build], cwd=ROOT,
                   check=True, capture_output=True)
    subprocess.run(["ninja", "-C", build], check=True, capture_output=True)
    environment = running.clean_environment(HEAPSAKE_BUILD=build, UBSAN_OPTIONS="halt_on_error=1", ASAN_OPTIONS="detect_leaks=1")
    done = running.run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit",
                        "tests/fault/test_damage.py", "tests/e2e/test_counts.py", "tests/e2e/test_processes.py"],
                       env=environment, cwd=ROOT, timeout=1800)
    assert done.status == 0, done.out[-5000:]
