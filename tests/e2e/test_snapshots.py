"""Snapshots of C programs: what the child finds, and that the program notices nothing of it."""

import pytest

from support import graphs

(GLOBAL, STATIC, INTERIOR, CHAINED, LOST, LOST_HEAD, LOST_TAIL, LOCAL, THREAD_STACK, THREAD_TLS, THREAD_KEY, MAIN_TLS,
 MAIN_KEY, ENDED, MAPPED, UNREADABLE) = range(3001, 3017)


class Roots:
    """The exit snapshot of a trace, asked by the sizes of blocks."""

    def __init__(self, traced):
        found = graphs.snapshots(traced.trace.path)
        assert len(found) == 1
        self.snapshot = found[1]
        self.ordinals = {each["size"]: each["ordinal"] for each in traced.trace.allocations(*range(3001, 3017))}

    def node(self, size):
        return self.snapshot.by_ordinal(self.ordinals[size]).number

    def referrers(self, size):
        """What points to the block: kinds of roots, and sizes of blocks, each with the kind of the edge."""
        sizes = {ordinal: size for size, ordinal in self.ordinals.items()}
        return sorted((node.root if node.kind == graphs.ROOT else sizes.get(node.ordinal, "other"), edge[0])
                      for node, edge in self.snapshot.referrers(self.node(size)))


@pytest.mark.parametrize("way", ["return", "exit", "_exit"])
def test_every_kind_of_root(target, record, way):
    traced = record([target("snapshots.c"), "graph", way])
    assert traced.status == 3, f"{traced.result}"
    traced.trace.whole()
    roots = Roots(traced)
    fields = roots.snapshot.fields
    assert (fields["reason"], fields["whole"], roots.snapshot.problems) == ("exit", 1, [])
    assert fields["nodes"] == len(roots.snapshot.nodes)
    assert fields["edges"] == sum(len(node.edges) for node in roots.snapshot.nodes.values())
    assert roots.referrers(GLOBAL) == [(graphs.ROOT_DATA, graphs.POINTER)]
    assert roots.referrers(STATIC) == [(graphs.ROOT_DATA, graphs.POINTER)]
    assert roots.referrers(INTERIOR) == [(graphs.ROOT_DATA, graphs.INTERIOR)]
    assert roots.referrers(CHAINED) == [(GLOBAL, graphs.POINTER)]
    assert roots.referrers(LOST) == []
    assert roots.referrers(LOST_HEAD) == []
    assert roots.referrers(LOST_TAIL) == [(LOST_HEAD, graphs.POINTER)]
    # main() has returned, and what it left on the stack is no root; exit() and _exit() were called from it
    assert roots.referrers(LOCAL) == ([] if way == "return" else [(graphs.ROOT_STACK, graphs.POINTER)])
    assert (graphs.ROOT_STACK, graphs.POINTER) in roots.referrers(THREAD_STACK)
    assert (graphs.ROOT_TLS, graphs.POINTER) in roots.referrers(THREAD_TLS)
    assert (graphs.ROOT_TLS, graphs.POINTER) in roots.referrers(THREAD_KEY)
    assert roots.referrers(MAIN_TLS) == [(graphs.ROOT_TLS, graphs.POINTER)]
    assert roots.referrers(MAIN_KEY) == [(graphs.ROOT_TLS, graphs.POINTER)]
    assert roots.referrers(MAPPED) == [("other", graphs.POINTER)]
    # a mapping without permission to read: the child survives it and goes on
    assert roots.referrers(UNREADABLE) == []


def test_the_program_notices_nothing(target, record):
    """Neither its wait() nor SIGCHLD nor its atfork handlers, while one snapshot follows the other."""
    traced = record([target("snapshots.c"), "quiet", 3], "--snapshot-every=0.3")
    assert traced.status == 0, f"{traced.result}"
    assert traced.truth == {"children": 0, "signals": 0, "forks": 0}
    traced.trace.whole()
    found = graphs.snapshots(traced.trace.path)
    every = [each for each in found.values() if each.fields["reason"] == "every"]
    assert len(every) >= 2
    # that of the end ends the one before it, when a loaded machine has not come to its end
    *others, before, last = found.values()
    assert all(each.fields["whole"] == 1 for each in [*others, last])
    assert last.fields["reason"] == "exit" and (before.fields.get("whole") == 1 or before.problems)


def test_no_snapshot_when_not_wanted(target, record):
    traced = record([target("snapshots.c"), "graph", "exit"], "--no-snapshot")
    assert traced.status == 3
    assert graphs.snapshots(traced.trace.path) == {}


@pytest.mark.parametrize("mode", ["fork", "vfork_exit"])
def test_children_have_snapshots_of_their_own(target, record, mode):
    """A forked child takes its own at its end; a vfork child is a guest, and takes none."""
    traced = record([target("processes.c"), mode])
    assert traced.status == 0, f"{traced.result}"
    own = graphs.snapshots(traced.trace.path)
    assert [each.fields["reason"] for each in own.values()] == ["exit"]
    for child in traced.trace.children():
        assert [each.fields["reason"] for each in graphs.snapshots(child.path).values()] == ["exit"]
    assert len(traced.trace.children()) == (0 if mode == "vfork_exit" else 1)


ROTATED = """
import collections
queues = [collections.deque(range(200)) for _ in range(100)]
for queue in queues:
    for _ in range(1000):
        queue.append(queue.popleft())
"""


def test_rotated_deques(python, record):
    """The last block of each links back to an earlier one, as it did when it was used before: the walk comes to an end."""
    traced = record([python.path, "-c", ROTATED])
    traced.result.ok()
    fields = graphs.snapshots(traced.trace.path)[1].fields
    assert fields["whole"] == 1 and fields["walk"] < 20e9, fields
