"""The little of a trace that needs no decompression: its chunks' headers (include/heapsake/trace_format.h)."""

import struct
from dataclasses import dataclass

MAGIC = b"\x8bHEAPSK\n"
CHUNK = struct.Struct("<4sHHIIQQQQIIII")
EVENTS = 2


@dataclass
class Chunk:
    type: int
    stored_bytes: int
    raw_bytes: int
    time_first: float   # seconds
    time_last: float
    event_count: int


def chunks(path):
    found = []
    with open(path, "rb") as file:
        head = file.read(32)
        if head[:8] != MAGIC:
            raise ValueError(f"{path}: no trace")
        file.seek(struct.unpack_from("<I", head, 12)[0])
        while len(header := file.read(CHUNK.size)) == CHUNK.size:
            magic, kind, _, stored, raw, _, first, last, _, _, events, _, _ = CHUNK.unpack(header)
            if magic != b"CHNK":
                break
            found.append(Chunk(kind, stored, raw, first / 1e9, last / 1e9, events))
            file.seek(stored, 1)
    return found


def events_until(path, seconds):
    """How many events a reader decodes for the state at that time: those of every chunk that began before it."""
    return sum(chunk.event_count for chunk in chunks(path) if chunk.type == EVENTS and chunk.time_first <= seconds)
