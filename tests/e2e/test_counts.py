"""Every allocation function, counted exactly: the target's truth against the trace, both as the difference of two runs."""

import pytest

MODES = """
    malloc_free malloc_keep calloc_keep calloc_overflow malloc_huge malloc_zero malloc_large malloc_4gib free_null
    realloc_null realloc_zero realloc_huge realloc_shrink realloc_grow realloc_large realloc_move realloc_chain
    reallocarray_keep posix_memalign_keep aligned_alloc_free memalign_keep valloc_free pvalloc_free usable_size
    through_libc
""".split()
MAPPING_MODES = "mmap_munmap mmap_keep mmap_fails munmap_fails mremap_fails mmap_reserve".split()
# Parts of mappings go: how many blocks that makes is not fixed, how many bytes remain is.
PARTIAL_MODES = "munmap_pieces munmap_across mremap_grow mremap_shrink".split()

KEYS = ("allocations", "frees", "allocated_bytes", "live_blocks", "live_bytes")


def difference(record, trace_file, argv, count, *options):
    """What `count` operations added: (per domain by the trace, per domain by the target)."""
    runs = []
    for number in (0, count):
        path = trace_file.with_name(f"{number}.hsk")
        traced = record([*argv, number], *options, path=path)
        traced.result.ok()
        traced.trace.whole(unknown_frees=0)
        runs.append(traced)
    none, some = runs
    seen, known = {}, {}
    for domain in ("malloc", "mmap"):
        seen[domain] = {key: some.trace.domain(domain)[key] - none.trace.domain(domain)[key] for key in KEYS}
        known[domain] = {key: some.truth[domain][key] - none.truth[domain][key] for key in KEYS}
    return seen, known


def test_truth_is_not_trivial(target, record, trace_file):
    """The comparison below can fail: something is counted at all."""
    seen, known = difference(record, trace_file, [target("counts.c"), "malloc_free"], 100)
    assert known["malloc"]["allocations"] == 100
    assert seen["malloc"]["allocations"] == 100


@pytest.mark.parametrize("mode", MODES + MAPPING_MODES)
def test_exact(target, record, trace_file, mode):
    seen, known = difference(record, trace_file, [target("counts.c"), mode], 1000)
    assert seen == known


@pytest.mark.parametrize("mode", PARTIAL_MODES)
def test_partial_mappings(target, record, trace_file, mode):
    seen, known = difference(record, trace_file, [target("counts.c"), mode], 200)
    assert seen["malloc"] == known["malloc"]
    assert seen["mmap"]["live_bytes"] == known["mmap"]["live_bytes"]
    assert seen["mmap"]["allocations"] >= known["mmap"]["allocations"]


def test_sbrk_still_works(target, same):
    same([target("counts.c"), "sbrk_works", 100])


def test_many_events(target, record, trace_file):
    """More than the rings hold, many times over: none is lost while the program waits for the recorder."""
    seen, known = difference(record, trace_file, [target("counts.c"), "malloc_free"], 2_000_000)
    assert seen == known


def test_peak_is_the_high_water_mark(target, record):
    traced = record([target("counts.c"), "malloc_keep", 4000])
    traced.result.ok()
    memory = traced.trace.summary["memory"]
    truth = traced.truth["malloc"]
    assert memory["peak_bytes"] >= truth["live_bytes"]
    assert memory["peak_bytes"] < truth["live_bytes"] + 300_000
    peak = traced.trace.peak
    assert peak["bytes"] == memory["peak_bytes"]
    assert peak["bytes"] == sum(site["bytes"] for site in peak["sites"])
    assert [site["bytes"] for site in peak["sites"]] == sorted((site["bytes"] for site in peak["sites"]), reverse=True)
    top = peak["sites"][0]
    assert top["bytes"] == truth["live_bytes"] and top["count"] == 4000
    assert top["stack"][0]["function"] == "malloc_keep"
    assert top["stack"][0]["file"].endswith("counts.c")
    assert "main" in [frame["function"] for frame in top["stack"]]


def test_stack_names_the_line(target, record):
    """The innermost frame is the line of the call itself, in the source."""
    source = target("counts.c")
    traced = record([source, "realloc_null", 10])
    from support.building import TARGETS
    lines = (TARGETS / "counts.c").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "realloc(NULL, 77)" in text)
    frames = [leak["stack"][0] for leak in traced.trace.leaks["leaks"] if leak["bytes"] == 770]
    assert [(frame["function"], frame["line"]) for frame in frames] == [("realloc_null", line)]
    assert frames[0]["language"] == "native"


def test_temporary_allocations(target, record, trace_file):
    few = record([target("counts.c"), "malloc_free", 0], path=trace_file.with_name("few.hsk"))
    many = record([target("counts.c"), "malloc_free", 5000])
    added = (many.trace.summary["memory"]["temporary_allocations"]
             - few.trace.summary["memory"]["temporary_allocations"])
    assert added == 5000


def test_leaks_are_what_lives_at_the_end(target, record):
    traced = record([target("counts.c"), "malloc_keep", 500])
    truth = traced.truth["malloc"]
    assert traced.trace.live_of("malloc_keep") == (truth["live_blocks"], truth["live_bytes"])
    gone = record([target("counts.c"), "valloc_free", 500], "--force")
    assert gone.trace.live_of("valloc_free") == (0, 0)


@pytest.mark.parametrize("mode", ["forms"])
def test_operator_new(target, record, trace_file, mode):
    seen, known = difference(record, trace_file, [target("cxx.cpp"), mode], 1000)
    assert seen == known


@pytest.mark.parametrize("mode", ["failing", "constructors", "crowd"])
def test_cxx_leaves_nothing(target, same, trace_file, mode):
    traced = same([target("cxx.cpp"), mode, 2000])
    by_the_program = [leak for leak in traced.trace.leaks["leaks"]
                      if "main" in (names := [frame["function"] for frame in leak["stack"]])
                      and not {"pthread_create", "__pthread_create_2_1"} & set(names)]  # libc keeps threads' own memory
    assert by_the_program == []
