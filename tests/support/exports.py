"""
What `heapsake export` writes, read by other means than it was written by, each format as its own documentation has it;
and the same numbers added up from the events of a trace.

A profile is a list of (stack, bytes, count); a stack is a tuple of frames, the innermost first, in the words that the format
has for them.
"""

import collections
import csv
import gzip
import io
import json
import subprocess

from . import running, traces

FORMATS = ("pprof", "folded", "speedscope", "csv", "jsonl")
WHATS = ("peak", "live", "leaked", "allocated", "temporary")

csv.field_size_limit(1 << 30)


def exported(path, format, *options, warns=False):
    """The bytes on standard output. `warns`: something is said on standard error, too."""
    words = [traces.heapsake_binary(), "export", f"--format={format}", "-o", "-", *options, path]
    done = subprocess.run(running.text(words), env=running.clean_environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=running.TIMEOUT)
    assert done.returncode == 0 and bool(done.stderr) == warns, (words, done.returncode, done.stderr)
    return done.stdout


# ---- pprof: proto/profile.proto in github.com/google/pprof, and the encoding of Protocol Buffers ----


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            assert value < 1 << 64
            return value, at


def message(data):
    """{field number: [values]} of a message: numbers, or bytes."""
    fields, at = collections.defaultdict(list), 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
        else:
            assert tag & 7 == 2, f"wire type {tag & 7}"
            length, at = _varint(data, at)
            assert at + length <= len(data)
            value, at = data[at:at + length], at + length
        fields[tag >> 3].append(value)
    return fields


def _packed(parts):
    values = []
    for part in parts:
        at = 0
        while at < len(part):
            value, at = _varint(part, at)
            values.append(value)
    return values


class Pprof:
    """
    A profile, after all that profile.proto demands of one has been looked at: ids are unique and not 0, whatever is
    referred to is there, samples have as many values as there are sample types.
    """

    def __init__(self, data):
        assert data[:2] == b"\x1f\x8b"
        top = message(gzip.decompress(data))
        assert set(top) <= set(range(1, 17)), sorted(top)
        self.strings = [text.decode("utf-8") for text in top[6]]
        assert self.strings[0] == "" and len(set(self.strings)) == len(self.strings)
        self.sample_types = [self._value_type(part) for part in top[1]]
        self.period_type = self._value_type(top[11][0])
        self.period, self.time, self.duration = ((top[field] or [0])[0] for field in (12, 9, 10))
        self.default = self.strings[top[14][0]]
        self.comments = [self.strings[index] for index in _packed(top[13])]
        self.mappings = self._by_id(top[3], lambda m: {
            "start": self._one(m, 2), "limit": self._one(m, 3), "offset": self._one(m, 4),
            "file": self.strings[self._one(m, 5)], "build_id": self.strings[self._one(m, 6)],
            "has_functions": self._one(m, 7)})
        self.functions = self._by_id(top[5], lambda m: {
            "name": self.strings[self._one(m, 2)], "system_name": self.strings[self._one(m, 3)],
            "file": self.strings[self._one(m, 4)]})
        self.locations = self._by_id(top[4], self._location)
        self.samples = [self._sample(message(part)) for part in top[2]]
        assert self.default in [kind for kind, _ in self.sample_types]

    @staticmethod
    def _one(fields, number):
        assert len(fields[number]) <= 1
        return fields[number][0] if fields[number] else 0

    def _value_type(self, part):
        fields = message(part)
        return self.strings[self._one(fields, 1)], self.strings[self._one(fields, 2)]

    def _by_id(self, parts, make):
        found = {}
        for part in parts:
            fields = message(part)
            number = self._one(fields, 1)
            assert number and number not in found
            found[number] = make(fields)
        return found

    def _location(self, fields):
        mapping, address = self._one(fields, 2), self._one(fields, 3)
        if mapping:
            assert self.mappings[mapping]["start"] <= address <= self.mappings[mapping]["limit"]
        lines = [message(part) for part in fields[4]]
        assert lines
        return {"mapping": mapping, "address": address,
                "lines": [(self.functions[self._one(line, 1)], self._one(line, 2)) for line in lines]}

    def _sample(self, fields):
        locations, values = _packed(fields[1]), _packed(fields[2])
        assert locations and len(values) == len(self.sample_types)
        labels = [message(part) for part in fields[3]]
        return {"locations": [self.locations[number] for number in locations], "values": values,
                "labels": {self.strings[self._one(label, 1)]: self.strings[self._one(label, 2)] for label in labels}}

    def profile(self):
        """Frames are (function, file, line)."""
        assert self.sample_types == [("objects", "count"), ("bytes", "bytes")]
        return [(tuple((function["name"], function["file"], line) for location in sample["locations"]
                       for function, line in location["lines"]), sample["values"][1], sample["values"][0])
                for sample in self.samples]


# ---- the others ----


def folded(data, weight="bytes"):
    """Frames are texts. Of bytes and count only the one is known that was asked for; the other is None."""
    found = []
    for line in data.decode("utf-8").split("\n")[:-1]:
        stack, number = line.rsplit(" ", 1)
        assert stack and number.isdigit()
        frames = tuple(reversed(stack.split(";")))
        assert all(frames)
        found.append((frames, int(number), None) if weight == "bytes" else (frames, None, int(number)))
    return found


# src/lib/file-format-spec.ts of github.com/jlfwong/speedscope: (key, type, is it optional)
_SPEEDSCOPE_FILE = (("$schema", str, False), ("shared", dict, False), ("profiles", list, False), ("name", str, True),
                    ("activeProfileIndex", int, True), ("exporter", str, True))
_SPEEDSCOPE_FRAME = (("name", str, False), ("file", str, True), ("line", int, True), ("col", int, True))
_SPEEDSCOPE_PROFILE = (("type", str, False), ("name", str, False), ("unit", str, False), ("startValue", int, False),
                       ("endValue", int, False), ("samples", list, False), ("weights", list, False))


def _shaped(value, shape):
    assert isinstance(value, dict) and set(value) <= {key for key, _, _ in shape}, value
    for key, kind, optional in shape:
        assert (optional and key not in value) or type(value[key]) is kind, (key, value.get(key))


def speedscope(data):
    """Frames are (name, file, line)."""
    file = json.loads(data.decode("utf-8"))
    _shaped(file, _SPEEDSCOPE_FILE)
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert 0 <= file["activeProfileIndex"] < len(file["profiles"]) and list(file["shared"]) == ["frames"]
    frames = file["shared"]["frames"]
    for frame in frames:
        _shaped(frame, _SPEEDSCOPE_FRAME)
    for profile, unit in zip(file["profiles"], ("bytes", "none"), strict=True):
        _shaped(profile, _SPEEDSCOPE_PROFILE)
        assert profile["type"] == "sampled" and profile["unit"] == unit
        assert len(profile["samples"]) == len(profile["weights"]) and profile["startValue"] == 0
        assert profile["endValue"] == sum(profile["weights"])
        assert all(type(index) is int and 0 <= index < len(frames) for sample in profile["samples"] for index in sample)
    of_bytes, of_blocks = file["profiles"]
    assert of_bytes["samples"] == of_blocks["samples"]
    return [(tuple((frames[index]["name"], frames[index].get("file"), frames[index].get("line")) for index in
                   reversed(sample)), weight, blocks)
            for sample, weight, blocks in zip(of_bytes["samples"], of_bytes["weights"], of_blocks["weights"])]


def csv_rows(data):
    """The rows as dicts; every row has every column and no more."""
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    for row in rows:
        assert None not in row and None not in row.values(), row
    return rows


def csv_profile(data):
    """Frames are texts, as in folded stacks."""
    return [(tuple(reversed(row["stack"].removeprefix("'").split(";"))), int(row["bytes"]), int(row["count"]))
            for row in csv_rows(data)]


def jsonl_rows(data):
    lines = data.decode("utf-8").split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]


def jsonl(data):
    """Frames are (function, file, line, module)."""
    return [(frames_of(row["stack"]), row["bytes"], row["count"]) for row in jsonl_rows(data)]


READERS = {"pprof": lambda data: Pprof(data).profile(), "folded": folded, "speedscope": speedscope, "csv": csv_profile,
           "jsonl": jsonl}


# ---- what must be in them ----


def frames_of(stack):
    """A stack of the reports' JSON."""
    return tuple((frame["function"], frame["file"], frame["line"], frame["module"]) for frame in stack)


def folded_frame(frame):
    function, file, line, module = frame
    place = f"{file}:{line}" if file and line else file or (module or "").rsplit("/", 1)[-1]
    return (function or "unknown") + (f" ({place})" if place else "")


def _pprof_frame(frame):
    function, file, line, module = frame
    if not file and module and function.startswith("0x"):
        function += f" in {module.rsplit('/', 1)[-1]}"
    return function, file or "", line or 0


def _speedscope_frame(frame):
    return frame[0], frame[1] or frame[3], frame[2]


IN_WORDS_OF = {"pprof": (_pprof_frame, ("(no stack)", "", 0)), "folded": (folded_frame, "(no stack)"),
               "speedscope": (_speedscope_frame, ("(no stack)", None, None)), "csv": (folded_frame, "(no stack)"),
               "jsonl": (lambda frame: frame, None)}


def in_words_of(format, profile):
    """The same profile with frames as the format's reader has them."""
    frame, nothing = IN_WORDS_OF[format]
    return [(tuple(map(frame, stack)) or ((nothing,) if nothing else ()), size, count) for stack, size, count in profile]


def summed(profile):
    """{stack: [bytes, count]}; what is not known (None) stays so."""
    sums = {}
    for stack, size, count in profile:
        one = sums.setdefault(stack, [None if size is None else 0, None if count is None else 0])
        one[0] = None if size is None else one[0] + size
        one[1] = None if count is None else one[1] + count
    return sums


def totals(profile):
    """(bytes, count)"""
    return tuple(sum(part) if None not in part else None for part in ([row[1] for row in profile],
                                                                      [row[2] for row in profile]))


def recounted(path):
    """{what: profile} from the events of a trace, all but "leaked"."""
    done = traces.heapsake("dump", "--json", "--stacks", path).ok()
    events = [json.loads(line) for line in done.out.splitlines()]
    found = {"allocated": [], "temporary": [], "live": None}
    live, last = {}, {}  # by ordinal; by thread: ordinal of an allocation that was its last event
    now = peak = peak_at = 0
    for number, event in enumerate(events):
        if event["event"] == "alloc":
            last[event["thread"]] = event["ordinal"]
            if event["domain"] == "arena":
                continue
            live[event["ordinal"]] = block = frames_of(event["stack"]), event["size"], 1
            found["allocated"].append(block)
            now += event["size"]
            if now > peak:
                peak, peak_at = now, number
        elif event["event"] == "free":
            block = live.pop(event["ordinal"], None)  # none: inherited, not seen, or an arena
            if block:
                now -= block[1]
                if last.get(event["thread"]) == event["ordinal"]:
                    found["temporary"].append(block)
            last[event["thread"]] = None
        elif event["event"] == "mark" and event["mark"] == "finalize":
            found["live"] = list(live.values())
    if found["live"] is None:
        found["live"] = list(live.values())
    alive = {}
    for event in events[:peak_at + 1]:
        if event["event"] == "alloc" and event["domain"] != "arena":
            alive[event["ordinal"]] = frames_of(event["stack"]), event["size"], 1
        elif event["event"] == "free":
            alive.pop(event["ordinal"], None)
    return {**found, "peak": list(alive.values())}


def leaked(path, *options):
    """The profile of the leaks with a cause, as `heapsake leaks` tells them."""
    options = options or ("--min-confidence=0.5",)
    leaks = json.loads(traces.heapsake("leaks", "--json", *options, path).ok().out)["leaks"]
    return [(frames_of(leak["stack"]), leak["bytes"], leak["count"]) for leak in leaks if leak["cause"]]
