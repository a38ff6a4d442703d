"""
200 large objects, each with a small one behind it that survives. Freed, the large ones leave holes that the system does not get
back: the heap cannot shrink below its last survivor (`heap`), an arena of pymalloc goes when its last block
goes (`arenas`). `mapped`: each large one is a mapping of its own, and nothing stays.
"""

import gc
import os

from leak_workload import requests, tell, variant

KEPT = [None] * 200
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident():
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * PAGE


def make_document(number):
    return bytes([number % 251]) * 100_000  # below the size from which malloc maps


def make_mapped_document(number):
    return bytes([number % 251]) * 300_000


def make_summary(number):
    return bytes([number % 251]) * 2000     # above 512: from malloc's heap too


def make_parts(number):
    return [(number, part) for part in range(1500)]


def make_label(number):
    return ("label", number)                # as large as a part, so from the same pools


MAKERS = {"heap": (make_document, make_summary), "arenas": (make_parts, make_label),
          "mapped": (make_mapped_document, make_summary)}


def fill(how):
    """
    The documents; the small ones are in KEPT. Others like them come first and go with the documents: they take what was
    free before, where the first survivors would lie side by side and keep nothing.
    """
    make_large, make_small = MAKERS[how]
    documents = [make_small(number) for number in range(400)]
    for number in range(len(KEPT)):
        documents.append(make_large(number))
        KEPT[number] = make_small(number)
    return documents


def main(how):
    for number in requests(300):
        if number == 100:
            gc.collect()
            before = resident()
            documents = fill(how)
            highest = resident()
            del documents
            gc.collect()
    kept, filled = resident() - before, highest - before
    assert filled > 18_000_000, filled
    if how == "mapped":
        assert kept < filled / 3, (kept, filled)
        tell()
    else:
        assert kept > filled * 0.9, (kept, filled)
        tell("fragmentation", MAKERS[how][1], type="tuple" if how == "arenas" else "bytes", count=len(KEPT),
             kept_bytes=18_000_000)


main(variant(*MAKERS))
