"""The snapshots of a trace, read from docs/TRACE_FORMAT.md alone: a second opinion beside the analyzer's reader."""

import ctypes
import ctypes.util
import struct
from dataclasses import dataclass, field
from pathlib import Path

CHUNK_GRAPH, CHUNK_SNAPSHOT = 14, 15
STRING, TYPE, OBJECT, BLOCK, ROOT = 1, 2, 3, 4, 5
(REFERENCE, ATTRIBUTE, KEY, VALUE, INDEX, ITEM, LOCAL, CELL, SPECIAL, WEAK, BORROWED, HIDDEN, OWNS, POINTER,
 INTERIOR) = range(15)
ROOT_FRAME, ROOT_DATA, ROOT_STACK, ROOT_REGISTERS, ROOT_INTERPRETER, ROOT_TLS = range(1, 7)
FIELDS = {96: "number", 97: "reason", 98: "time", 99: "event", 100: "nodes", 101: "edges", 102: "pause",
          103: "resident", 104: "walk", 105: "copied", 106: "whole", 107: "problem", 108: "parts"}


@dataclass
class Node:
    number: int
    kind: int
    address: int = 0
    ordinal: int | None = None
    size: int = 0
    flags: int = 0
    type: int = 0
    refcount: int = 0
    root: int = 0
    name: int = 0
    where: int = 0
    line: int = 0
    edges: list = field(default_factory=list)  # (kind, argument, target)


@dataclass
class Snapshot:
    number: int
    strings: dict = field(default_factory=lambda: {0: ""})
    types: dict = field(default_factory=dict)
    nodes: dict = field(default_factory=dict)
    fields: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)
    parts: int = 0
    raw_bytes: int = 0

    def of_kind(self, kind):
        return [node for node in self.nodes.values() if node.kind == kind]

    def by_ordinal(self, ordinal):
        return next((node for node in self.nodes.values() if node.ordinal == ordinal), None)

    def referrers(self, number, kinds=None):
        return [(node, edge) for node in self.nodes.values() for edge in node.edges
                if edge[2] == number and (kinds is None or edge[0] in kinds)]


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def varint(self):
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                return value
            shift += 7

    def signed(self):
        return unzigzag(self.varint())

    def string(self):
        length = self.varint()
        self.at += length
        assert self.at <= len(self.data)
        return self.data[self.at - length:self.at].decode("utf-8", "replace")


def unzigzag(value):
    return value >> 1 ^ -(value & 1)


def decompress(stored, raw_bytes):
    zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    zstd.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    out = ctypes.create_string_buffer(raw_bytes or 1)
    assert zstd.ZSTD_decompress(out, raw_bytes, stored, len(stored)) == raw_bytes
    return out.raw[:raw_bytes]


def chunks(path):
    data = Path(path).read_bytes()
    at = struct.unpack_from("<I", data, 12)[0]
    while at + 64 <= len(data):
        magic, kind, _, stored, raw = struct.unpack_from("<IHHII", data, at)
        if magic != 0x4b4e4843:
            return
        if kind in (CHUNK_GRAPH, CHUNK_SNAPSHOT):
            yield kind, decompress(data[at + 64:at + 64 + stored], raw)
        at += 64 + stored


class Part:
    """One GRAPH chunk, into a snapshot."""

    def __init__(self, reader, snapshot):
        self.reader, self.snapshot = reader, snapshot
        self.number = self.address = self.ordinal = 0

    def node(self, kind):
        self.number += self.reader.signed()
        return self.snapshot.nodes.setdefault(self.number, None), Node(self.number, kind)

    def place(self, kind):
        known, node = self.node(kind)
        coded = self.reader.varint()
        self.address += unzigzag(coded >> 1) * (1 if coded & 1 else 8)
        node.address = self.address
        coded = self.reader.varint()
        if coded:
            self.ordinal += unzigzag(coded - 1)
            node.ordinal = self.ordinal
        else:
            node.size = self.reader.varint()
        return known, node

    def edges(self, known, node):
        """Of a node that was described before, edges and flags are added."""
        if known:
            assert known.kind == node.kind
            known.flags |= node.flags
            node = known
        self.snapshot.nodes[node.number] = node
        target = node.number
        for _ in range(self.reader.varint()):
            kind = self.reader.varint()
            target += self.reader.signed()
            node.edges.append((kind & 15, kind >> 4, target))

    def read(self):
        reader, snapshot = self.reader, self.snapshot
        while reader.at < len(reader.data):
            head = reader.varint()
            kind = head & 7
            if kind == STRING:
                number = reader.varint()
                assert number not in snapshot.strings
                snapshot.strings[number] = reader.string()
            elif kind == TYPE:
                number = reader.varint()
                snapshot.types[number] = dict(flags=reader.varint(), size=reader.varint(), node=reader.varint() - 1,
                                              module=reader.string(), name=reader.string())
            elif kind == OBJECT:
                known, node = self.place(kind)
                node.flags, node.type, node.refcount = head >> 3, reader.varint(), reader.varint()
                self.edges(known, node)
            elif kind == BLOCK:
                self.edges(*self.place(kind))
            else:
                assert kind == ROOT
                known, node = self.node(kind)
                node.root = head >> 3
                node.name, node.where, node.line = reader.varint(), reader.varint(), reader.varint()
                self.edges(known, node)


def snapshots(path):
    """All of a trace, by their numbers."""
    found = {}
    for kind, raw in chunks(path):
        reader = Bytes(raw)
        if kind == CHUNK_GRAPH:
            number, part = reader.varint(), reader.varint()
            snapshot = found.setdefault(number, Snapshot(number))
            assert part == snapshot.parts
            snapshot.parts += 1
            snapshot.raw_bytes += len(raw)
            Part(reader, snapshot).read()
            continue
        fields = {}
        problems = []
        while reader.at < len(raw):
            tag = FIELDS.get(reader.varint())
            value = reader.string()
            if tag == "problem":
                problems.append(value)
            elif tag:
                fields[tag] = value if tag == "reason" else int(value)
        snapshot = found.setdefault(fields["number"], Snapshot(fields["number"]))
        snapshot.fields, snapshot.problems = fields, problems
    return found
