"""The preload library as a file: what it exports, needs and contains."""

import re
import subprocess
from pathlib import Path

import pytest

from support import running, traces
from support.building import ROOT

EXPORTS = Path(__file__).with_name("exports.txt")


def tool(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


def test_export_list():
    """Every exported name is a decision: tests/shim/exports.txt lists them."""
    lines = tool("nm", "-D", "--defined-only", traces.preload_library()).splitlines()
    found = sorted(line.split()[-1] for line in lines)
    wanted = [line for line in EXPORTS.read_text().splitlines() if line and not line.startswith("#")]
    assert found == sorted(wanted)


def test_exports_have_no_version():
    """A named version node on malloc would silently end the interposition."""
    lines = tool("nm", "-D", "--defined-only", "--with-symbol-versions", traces.preload_library()).splitlines()
    assert not [line for line in lines if "@" in line]


def test_needs_libc_alone():
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", tool("readelf", "-dW", traces.preload_library())))
    assert "libc.so.6" in needed
    assert needed <= {"libc.so.6", "ld-linux-x86-64.so.2"}


def test_no_unwinder_of_its_own():
    names = {line.split()[-1].split("@")[0] for line in tool("nm", "-D", traces.preload_library()).splitlines()}
    assert not [name for name in names if name.startswith("_Unwind_")]


def test_thread_local_storage():
    """Initial-exec, and small enough for glibc's surplus."""
    names = tool("nm", "-D", "--undefined-only", traces.preload_library())
    assert "__tls_get_addr" not in names
    headers = tool("readelf", "-lW", traces.preload_library())
    tls = re.search(r"^\s+TLS\s+\S+ \S+ \S+ \S+ (0x\w+)", headers, re.M)
    assert tls, headers
    assert 0 < int(tls.group(1), 16) < 512
    assert "STATIC_TLS" in tool("readelf", "-dW", traces.preload_library())


def test_hardened():
    headers = tool("readelf", "-lW", traces.preload_library())
    assert "GNU_RELRO" in headers
    assert not re.search(r"^\s+GNU_STACK.*RWE", headers, re.M)
    assert not re.search(r"^\s+LOAD.*RWE", headers, re.M)
    dynamic = tool("readelf", "-dW", traces.preload_library())
    assert "TEXTREL" not in dynamic
    assert "NOW" in dynamic
    assert "RUNPATH" not in dynamic and "RPATH" not in dynamic


def test_loaders_lock():
    """It is taken where a thread of our own patches, or looks through, all modules, and in hooks of functions that take it themselves."""
    sources = {path.name: path.read_text() for path in (ROOT / "preload").rglob("*.c")}
    assert {name for name, text in sources.items() if "dl_iterate_phdr(" in text} == {"loader_lock.c"}
    assert {name for name, text in sources.items() if "loader_lock_held(" in text} == {
        "loader_lock.c", "attach.c", "hook_got.c", "hook_replaced.c", "modules_seen.c", "python.c"}


def test_no_stdio_and_no_allocation():
    """The hot path's rules, as far as imports can show them."""
    names = {line.split()[-1].split("@")[0]
             for line in tool("nm", "-D", "--undefined-only", traces.preload_library()).splitlines()}
    forbidden = {"printf", "fprintf", "snprintf", "vsnprintf", "sprintf", "fopen", "fwrite", "puts", "fputs", "perror",
                 "strdup", "asprintf", "getline", "pthread_mutex_lock", "system", "popen", "syslog"}
    assert not names & forbidden
    own = {"malloc", "calloc", "realloc", "free"}
    assert not names & own, "the library's own calls to the allocator would come back to its hooks"


@pytest.mark.parametrize("times", [1])
def test_loadable_by_dlopen(target, times):
    done = running.run([target("open_late.c", "-ldl"), traces.preload_library()])
    assert done.ok().out == "opened\n"
    assert done.err == ""


def test_preloaded_without_recorder(target, tmp_path):
    """When no recorder can be started the program runs as if nothing had been preloaded."""
    alone = tmp_path / "libheapsake.so"
    alone.write_bytes(traces.preload_library().read_bytes())
    done = running.run([target("counts.c"), "malloc_free", "1000"],
                       env=running.clean_environment(LD_PRELOAD=alone, PATH="/usr/bin:/bin"), cwd=tmp_path)
    done.ok()
    assert len(done.err.splitlines()) <= 1
    assert list(tmp_path.glob("*.hsk")) == []


def test_stale_session(target, tmp_path):
    """A session name that nobody listens to: no harm, no long wait."""
    done = running.run([target("counts.c"), "malloc_free", "1000"],
                       env=running.clean_environment(LD_PRELOAD=traces.preload_library(),
                                                     HEAPSAKE_SESSION="nobody-listens-here"), cwd=tmp_path, timeout=20)
    done.ok()
    assert done.seconds < 8
