"""The chunks of a trace, read without the analyzer: what the recorder has written, whatever the reports make of it."""

import ctypes
import ctypes.util
import struct

import pytest

HEADER = struct.Struct("<IHHIIQQQQIIII")
MAGIC = 0x4b4e4843
GRAPH, SNAPSHOT, NOTE = 14, 15, 10
FIELDS = {96: "number", 97: "reason", 98: "time", 99: "event", 100: "nodes", 101: "edges", 102: "pause", 103: "resident",
          104: "walk", 105: "copied", 106: "whole", 107: "problem", 108: "parts"}


def _zstd():
    name = ctypes.util.find_library("zstd")
    if not name:
        pytest.skip("libzstd is not installed")
    library = ctypes.CDLL(name)
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
    library.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    return library


def chunks(path, *types):
    """(type, raw bytes) of the chunks of these types, in the order of the file."""
    for kind, _, raw in with_ordinals(path, *types):
        yield kind, raw


def with_ordinals(path, *types):
    """(type, ordinal of the first allocation, raw bytes) of the same."""
    library, data, at = _zstd(), path.read_bytes(), 32
    while at + HEADER.size <= len(data):
        magic, kind, _, stored, raw, _, _, _, ordinal, *_ = HEADER.unpack_from(data, at)
        if magic != MAGIC:
            return
        at += HEADER.size
        if kind in types:
            frames, out = data[at:at + stored], b""
            while frames:
                size = library.ZSTD_findFrameCompressedSize(frames, ctypes.c_size_t(len(frames)))
                room = library.ZSTD_getFrameContentSize(frames, ctypes.c_size_t(len(frames)))
                buffer = ctypes.create_string_buffer(max(room, 1))
                got = library.ZSTD_decompress(buffer, ctypes.c_size_t(room), frames, ctypes.c_size_t(size))
                assert got == room
                out += buffer.raw[:got]
                frames = frames[size:]
            assert len(out) == raw
            yield kind, ordinal, out
        at += stored


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def fields(data):
    """(tag, text) of each field."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        length, at = varint(data, at)
        yield tag, data[at:at + length].decode(errors="replace")
        at += length


def snapshots(path):
    """The snapshots of a trace: their fields by name, and what parts of the graph there are."""
    found, parts = [], {}
    for kind, raw in chunks(path, GRAPH, SNAPSHOT):
        if kind == GRAPH:
            number, at = varint(raw, 0)
            part, _ = varint(raw, at)
            parts.setdefault(number, []).append(part)
            continue
        one = {"problems": []}
        for tag, text in fields(raw):
            if FIELDS.get(tag) == "problem":
                one["problems"].append(text)
            elif tag in FIELDS:
                one[FIELDS[tag]] = text if FIELDS[tag] == "reason" else int(text)
        one["graph"] = parts.get(one["number"], [])
        found.append(one)
    return found


def whole_snapshots(path):
    """The same, and asserts that each is whole and all its parts are there."""
    found = snapshots(path)
    for one in found:
        assert one.get("whole") == 1, one
        assert one["graph"] == list(range(one["parts"])), one
    return found
