"""The graph of a snapshot: names, corrections and the balance of refcounts, against what the program says of itself."""

import collections

import pytest

from support import graphs
from support.building import TARGETS

KINDS = {"attribute": graphs.ATTRIBUTE, "key": graphs.KEY, "value": graphs.VALUE, "index": graphs.INDEX,
         "item": graphs.ITEM, "local": graphs.LOCAL, "cell": graphs.CELL, "special": graphs.SPECIAL, "weak": graphs.WEAK,
         "reference": graphs.REFERENCE}
NAMED = {graphs.ATTRIBUTE, graphs.KEY, graphs.VALUE, graphs.LOCAL, graphs.CELL, graphs.SPECIAL}
TRACKED, FROZEN, IMMORTAL, STATIC, WEAK, OPAQUE = 1, 2, 4, 8, 32, 64
TYPE_GC = 1
TYPE = 128
SECRETS = {"not a name", "4111", "int 4111"}


class Graph:
    """The last snapshot of a trace, with what the tests ask of it."""

    def __init__(self, path):
        found = graphs.snapshots(path)
        assert found, "no snapshot"
        self.snapshot = found[max(found)]
        assert self.snapshot.fields["whole"] == 1 and not self.snapshot.problems
        self.objects = self.snapshot.of_kind(graphs.OBJECT)
        self.by_address = {node.address: node for node in self.objects}
        self.counted, self.pointed = collections.Counter(), collections.Counter()
        for node in self.snapshot.nodes.values():
            for kind, _, target in node.edges:
                self.pointed[target] += 1
                self.counted[target] += kind <= graphs.SPECIAL

    def edges(self, node):
        """Each as (kind, name or number, target)."""
        return [(kind, self.snapshot.strings[argument] if kind in NAMED else argument, target)
                for kind, argument, target in node.edges]

    def unexplained(self, node):
        return node.refcount - self.counted[node.number]

    def type_name(self, node):
        kind = self.snapshot.types[node.type]
        return f"{kind['module']}.{kind['name']}" if kind["module"] else kind["name"]


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory):
    """Each interpreter's graph of py_graph.py, recorded once."""
    from support import traces
    known = {}

    def get(python):
        if python.path not in known:
            path = tmp_path_factory.mktemp("graph") / "t.hsk"
            traced = traces.record(path, [python.path, TARGETS / "py_graph.py"], timeout=120)
            traced.result.ok()
            known[python.path] = traced.truth, Graph(path)
        return known[python.path]
    return get


def test_names(python, graph_of):
    truth, graph = graph_of(python)
    wrong = []
    for name, holder, target, kind, text, _ in truth["cases"]:
        if holder == id(None) or name == "local of a frame":
            continue
        node, aim = graph.by_address.get(holder), graph.by_address.get(target)
        if not node or not aim:
            wrong.append((name, "not in the graph"))
            continue
        to = [edge[:2] for edge in graph.edges(node) if edge[2] == aim.number]
        wanted = (KINDS[kind], text) if text is not None else (KINDS[kind], 0)
        if wanted not in to:
            wrong.append((name, wanted, to, graph.type_name(node)))
    assert not wrong


def test_balance_of_each(python, graph_of):
    truth, graph = graph_of(python)
    wrong = []
    for name, _, target, _, _, unexplained in truth["cases"]:
        aim = graph.by_address.get(target)
        if unexplained is not None and graph.unexplained(aim) != unexplained:
            wrong.append((name, aim.refcount, graph.counted[aim.number], unexplained))
    assert not wrong


def test_links_of_an_lru_cache(python, graph_of):
    """They are no containers to the collector: their ring is told all the same, so that none has a reference too many."""
    _, graph = graph_of(python)
    links = [node for node in graph.snapshot.nodes.values()
             if node.type in graph.snapshot.types and graph.type_name(node) == "functools._lru_list_elem"]
    assert len(links) >= 5
    assert not [node for node in links if graph.unexplained(node)]


def test_class_attribute(python, graph_of):
    truth, graph = graph_of(python)
    node = graph.by_address[truth["class"]]
    namespace = next(target for kind, name, target in graph.edges(node) if (kind, name) == (graphs.SPECIAL, "__dict__"))
    entry = graph.by_address[truth["entry"]]
    assert (graph_key := (graphs.KEY, "entry", entry.number)) in graph.edges(graph.snapshot.nodes[namespace]), graph_key


def test_frame_is_a_root_with_its_line(python, graph_of):
    truth, graph = graph_of(python)
    address = next(target for name, _, target, *_ in truth["cases"] if name == "local of a frame")
    strings = graph.snapshot.strings
    frames = [node for node in graph.snapshot.of_kind(graphs.ROOT) if node.root == graphs.ROOT_FRAME]
    frame = next(node for node in frames if strings[node.name] == "main")
    assert strings[frame.where] == truth["file"]
    with open(truth["file"]) as lines:
        assert lines.read().splitlines()[frame.line - 1].strip() == "os._exit(0)"
    assert (graphs.LOCAL, "in_frame", graph.by_address[address].number) in graph.edges(frame)
    assert {strings[node.name] for node in frames} == {"main", "<module>"}


def test_flags(python, graph_of):
    truth, graph = graph_of(python)
    flags = {name: graph.by_address[address].flags for name, address in
             (("frozen", truth["frozen"]), ("tracked", truth["tracked"]), ("leak", truth["leak"]))}
    if flags["frozen"] & TRACKED:  # up to 3.13, a dict that holds nothing to collect is not
        assert flags["frozen"] & FROZEN
    assert flags["tracked"] & (TRACKED | FROZEN) == TRACKED
    assert flags["leak"] & (TRACKED | FROZEN) == TRACKED
    weak = next(target for name, _, target, *_ in truth["cases"] if name == "weak reference")
    assert graph.by_address[weak].flags & WEAK


def test_traverse_that_crashes(python, graph_of):
    """The object is opaque; its class and all others are told as ever."""
    truth, graph = graph_of(python)
    node = graph.by_address[truth["broken"]]
    assert node.flags & OPAQUE
    assert [name for kind, name, _ in graph.edges(node) if kind == graphs.SPECIAL] == ["__class__"]
    assert sum(one.flags & OPAQUE != 0 and graph.type_name(one) == "__main__.Broken" for one in graph.objects) == 1


def test_values_stay_secret(python, graph_of):
    _, graph = graph_of(python)
    assert not SECRETS & set(graph.snapshot.strings.values())


def test_values_when_asked_for(python, record):
    traced = record([python.path, TARGETS / "py_graph.py"], "--record-values", timeout=120)
    traced.result.ok()
    assert SECRETS <= set(Graph(traced.trace.path).snapshot.strings.values())


def test_classes_without_instances(python, record):
    """They are types of nothing, and have a name all the same."""
    graph = Graph(record([python.path, "-c", "class Bare: pass\nclass Meta(type): pass\nclass Odd(metaclass=Meta): pass"],
                         ).trace.path)
    for name in ("Bare", "Odd"):
        number, = (at["node"] for at in graph.snapshot.types.values() if at["name"] == name)
        assert graph.snapshot.nodes[number].flags & TYPE


CACHES = """
import functools
class Key:
    pass
full = functools.lru_cache(100)(lambda key: [key])
for _ in range(150):
    full(Key())
one = functools.lru_cache(5)(lambda key: [key])
one(1)
empty = functools.lru_cache(5)(lambda key: [key])
endless = functools.lru_cache(None)(lambda key: [key])
endless(1)
"""


def test_entries_of_a_cache(python, record):
    """Each is held by the dict and by the entry before it, the first one by the cache, which holds itself by nothing."""
    graph = Graph(record([python.path, "-c", CACHES]).trace.path)
    of_type = collections.defaultdict(list)
    for node in graph.objects:
        of_type[graph.type_name(node)].append(node)
    assert len(of_type["functools._lru_list_elem"]) >= 101 and len(of_type["functools._lru_cache_wrapper"]) >= 4
    for name in ("functools._lru_list_elem", "functools._lru_cache_wrapper", "__main__.Key"):
        assert {graph.unexplained(node) for node in of_type[name]} == {0}, name


WAITING = """
import os
class Held:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
class Items(list):
    pass
def innermost():
    os._exit(0)
def outer(held):
    with held:
        for one in Items([1]):
            return [held, innermost()]
outer(Held())
"""


def test_what_a_waiting_frame_has_on_its_stack(python, record):
    """A with statement's way out, a loop's iterator, the items of a list to be: all of them are told."""
    traced = record([python.path, "-c", WAITING], timeout=120)
    traced.result.ok()
    graph = Graph(traced.trace.path)
    held = {node.number for node in graph.objects if graph.type_name(node) in ("__main__.Held", "__main__.Items")}
    assert len(held) == 2
    around = [node for node in graph.objects
              if node.number in held or any(target in held for kind, _, target in node.edges if kind <= graphs.SPECIAL)]
    assert any(graph.type_name(node) == "list_iterator" for node in around)
    assert [(graph.type_name(node), node.refcount) for node in around if graph.unexplained(node)] == []


MODULES = """json logging asyncio argparse unittest email http.client http.server urllib.request xml.dom.minidom
xml.etree.ElementTree sqlite3 decimal fractions statistics datetime calendar random hashlib hmac zipfile tarfile gzip bz2
lzma csv configparser pathlib tempfile shutil glob subprocess threading multiprocessing concurrent.futures queue socket ssl
selectors select signal inspect dis ast tokenize typing dataclasses enum contextlib functools itertools collections heapq
bisect copy pickle struct textwrap string re difflib pprint traceback linecache platform uuid secrets base64 codecs locale
gettext""".split()

BUSY = """
import ctypes, sys
for name in %r:
    try:
        __import__(name)
    except ImportError:
        pass
class Attributes:
    def __init__(self, i):
        self.number, self.name, self.items = i, "n%%d" %% i, [i]
class Slots:
    __slots__ = ("one", "two")
    def __init__(self, i):
        self.one, self.two = [i], (i,)
def generate(i):
    local = [i]
    yield local
def close(i):
    cell = [i]
    return lambda: cell
kept = []
for i in range(4000):
    generator = generate(i)
    next(generator)
    kept += [Attributes(i), Slots(i), close(i), generator]
    if i %% 10 == 0:
        try:
            raise ValueError(i)
        except ValueError as error:
            kept.append(error)
        kept.append(Attributes(i))
        kept[-1].__dict__
leaked = [1, 2, 3]
ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked))
print(id(leaked))
del leaked, generator
"""


def test_nothing_but_the_leak_is_unexplained(python, record):
    """Sixty modules, 20 000 instances, and one list with a reference too many."""
    traced = record([python.path, "-c", BUSY % MODULES], timeout=240)
    traced.result.ok()
    graph = Graph(traced.trace.path)
    assert len(graph.objects) > 100_000
    lost = [node for node in graph.objects
            if graph.snapshot.types[node.type]["flags"] & TYPE_GC and not node.flags & IMMORTAL
            and graph.unexplained(node) > 0 and not graph.pointed[node.number]]
    assert [(graph.type_name(node), node.address) for node in lost] == [("list", int(traced.out))]
    too_many = [(graph.type_name(node), node.refcount, graph.counted[node.number]) for node in graph.objects
                if graph.snapshot.types[node.type]["flags"] & TYPE_GC and not node.flags & (IMMORTAL | STATIC)
                and graph.unexplained(node) < 0]
    assert not too_many
