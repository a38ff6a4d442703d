"""Replacement allocators: their malloc and their operator new are seen, once each."""

import ctypes.util
import json

import pytest

from support.running import clean_environment

ALLOCATORS = ["jemalloc", "tcmalloc_minimal", "mimalloc"]


def library(name):
    found = ctypes.util.find_library(name)
    if not found:
        pytest.skip(f"lib{name} is not installed")
    return found


def seen(traced, size):
    blocks = traced.trace.allocations(size)
    live = sum(leak["count"] for leak in traced.trace.leaks["leaks"]
               if any(frame["function"] == "take()" for frame in leak["stack"]))
    return len(blocks), live


@pytest.mark.parametrize("name", ALLOCATORS)
def test_operator_new_of_a_preloaded_allocator(target, same, name):
    traced = same([target("replaced.cpp"), 1000, 40], env=clean_environment(LD_PRELOAD=library(name)), check=False)
    truth = json.loads(traced.out.splitlines()[-1])
    assert seen(traced, 1234) == (truth["taken"], truth["kept"])
    assert traced.trace.summary["events"]["lost"] == 0


@pytest.mark.parametrize("name", ALLOCATORS)
def test_malloc_of_a_linked_allocator(target, same, name):
    program = target("counts.c", "-Wl,--no-as-needed", f"-l:{library(name)}")
    traced = same([program, "malloc_keep", 1000], check=False)
    assert traced.trace.domain("malloc")["live_blocks"] >= 1000


def test_the_cxx_librarys_own_is_seen_at_malloc(target, same):
    traced = same([target("replaced.cpp"), 1000, 40])
    truth = json.loads(traced.out.splitlines()[-1])
    assert seen(traced, 1234) == (truth["taken"], truth["kept"])
