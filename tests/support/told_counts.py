"""The changes of counts that a trace holds, read without the analyzer."""

import struct
from dataclasses import dataclass

from . import chunks

EVENTS, NODES, PLACES, TYPES = 2, 3, 17, 13
COLUMNS = 10
WATCH, ENTRY_POINT, INSTRUMENTED, GOBJECT, PAIR = range(5)
PYTHON, NATIVE, TRUNCATED, SOURCE = 1, 2, 3, 4


@dataclass(frozen=True)
class Place:
    file: str
    line: int
    function: str
    module: str


@dataclass(frozen=True)
class Change:
    source: int
    watch: int        # of a watch; else 0
    ordinal: int      # of the object's block; None: loose
    address: int      # of a loose object; else 0
    type: int         # of a loose object; else 0
    delta: int        # 0: of a watch
    count: int
    node: int


def _varints(data):
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7f) << shift
        if byte & 0x80:
            shift += 7
        else:
            values.append(value)
            value = shift = 0
    return iter(values)


def _signed(value):
    return value >> 1 ^ -(value & 1)


def _changes_of(raw, ordinal):
    op_count, *sizes = struct.unpack_from(f"<I{COLUMNS}I", raw)
    at = 4 + 4 * COLUMNS + 4
    columns = []
    for size in sizes:
        columns.append(raw[at:at + size])
        at += size
    ops, nodes, types = columns[0], _varints(columns[3]), _varints(columns[6])
    counted, counts = _varints(columns[8]), _varints(columns[9])
    node = 0
    assert len(ops) == op_count
    for op in ops:
        kind = op & 7 | (op & 0x80) >> 4
        if kind == 1 or (kind == 6 and not op & 0x40):
            node += _signed(next(nodes))
        if kind == 6:
            next(types)
        if kind != 8:
            continue
        source, loose = op >> 3 & 7, bool(op & 0x40)
        about, count = next(counted), next(counts)
        node += _signed(next(nodes))
        type_number = next(types) if loose else 0
        if source != WATCH and not loose:
            ordinal += _signed(about)
        yield Change(source=source, watch=about if source == WATCH else 0,
                     ordinal=None if loose or source == WATCH else ordinal, address=about if loose else 0,
                     type=type_number, delta=0 if source == WATCH else -1 if count & 1 else 1, count=count >> 1, node=node)


class Counts:
    """All changes of a trace, the lines of source that told them, and the stacks: (kind, frame, parent) by node."""

    def __init__(self, path):
        self.changes, self.places, self.nodes, self.types = [], {}, {}, {}
        for kind, ordinal, raw in chunks.with_ordinals(path, EVENTS, NODES, PLACES, TYPES):
            if kind == EVENTS:
                self.changes.extend(_changes_of(raw, ordinal))
            elif kind == NODES:
                self._load_nodes(raw)
            elif kind == PLACES:
                self._load_places(raw)
            else:
                self._load_types(raw)

    def _load_nodes(self, raw):
        number, at = chunks.varint(raw, 0)
        while at < len(raw):
            kind, at = chunks.varint(raw, at)
            distance, at = chunks.varint(raw, at)
            frame = 0
            if kind in (PYTHON, NATIVE, SOURCE):
                frame, at = chunks.varint(raw, at)
            if kind == PYTHON:
                _, at = chunks.varint(raw, at)
            self.nodes[number] = (kind, frame, number - distance if distance else 0)
            number += 1

    def _string(self, raw, at):
        length, at = chunks.varint(raw, at)
        return raw[at:at + length].decode(errors="replace"), at + length

    def _load_places(self, raw):
        at = 0
        while at < len(raw):
            place, at = chunks.varint(raw, at)
            line, at = chunks.varint(raw, at)
            file, at = self._string(raw, at)
            function, at = self._string(raw, at)
            module, at = self._string(raw, at)
            self.places[place] = Place(file, line, function, module)

    def _load_types(self, raw):
        at = 0
        while at < len(raw):
            number, at = chunks.varint(raw, at)
            _, at = chunks.varint(raw, at)
            module, at = self._string(raw, at)
            name, at = self._string(raw, at)
            self.types[number] = f"{module}.{name}" if module else name

    def of(self, source):
        return [change for change in self.changes if change.source == source]

    def kinds(self, change):
        """The kinds of the frames of a change's stack, innermost first."""
        found, node = [], change.node
        while node:
            kind, _, parent = self.nodes[node]
            found.append(kind)
            node = parent
        return found

    def place(self, change):
        """The line of source that told it; None: its innermost frame is none."""
        kind, frame, _ = self.nodes.get(change.node, (0, 0, 0))
        return self.places[frame] if kind == SOURCE else None
