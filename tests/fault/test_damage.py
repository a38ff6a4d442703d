"""Damaged, foreign and missing traces: one line that says what is wrong, never a crash, and all that can be saved."""

import random
import shutil
import struct

import pytest

from support import traces

COMMANDS = ["summary", "leaks", "peak", "dump", "verify"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, target):
    folder = tmp_path_factory.mktemp("whole")
    traced = traces.record(folder / "t.hsk", [target("noise.c"), "60000"])
    traced.result.ok()
    traced.trace.whole()
    return traced.trace


def read_with_everything(path, *, opens=None):
    """Every command reads it, or refuses it with one line; verify --json is a document whenever it opens."""
    for command in COMMANDS:
        for options in ([], ["--json"]):
            done = traces.heapsake(command, *options, path, timeout=30)
            assert done.status in (traces.EXIT_DONE, traces.EXIT_UNUSABLE), f"{done}"
            if done.status == traces.EXIT_UNUSABLE and command != "verify":
                assert done.err.startswith("heapsake: "), f"{done}"
            assert len(done.err.splitlines()) <= 3, f"{done}"
            if opens is not None and command != "verify":
                assert (done.status == 0) == opens, f"{done}"


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8, 0.95, 0.999])
def test_truncated(whole, tmp_path, part):
    data = whole.path.read_bytes()
    path = tmp_path / "cut.hsk"
    path.write_bytes(data[:int(len(data) * part)])
    verify = traces.heapsake("verify", "--json", path)
    assert '"complete": false' in verify.out
    trace = traces.Trace(path)
    found = trace.verify
    assert found["complete"] is False and found["problems"]
    if part > 0.5:
        assert 0 < trace.summary["events"]["total"] <= whole.summary["events"]["total"]
        assert trace.summary["trace"]["complete"] is False
    read_with_everything(path)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 31, 32, 33, 95, 96, 97, 200, 1000])
def test_hardly_anything_left(whole, tmp_path, length):
    path = tmp_path / "cut.hsk"
    path.write_bytes(whole.path.read_bytes()[:length])
    read_with_everything(path)
    if length < 32:
        done = traces.heapsake("summary", path)
        assert done.status == traces.EXIT_UNUSABLE and len(done.err.splitlines()) == 1, f"{done}"


@pytest.mark.parametrize("seed", range(30))
def test_flipped_bits(whole, tmp_path, seed):
    chance = random.Random(seed)
    data = bytearray(whole.path.read_bytes())
    for _ in range(chance.choice((1, 1, 3, 20))):
        # half of them near the ends, where headers are
        place = chance.randrange(len(data)) if chance.random() < 0.5 else \
            chance.choice((chance.randrange(300), len(data) - 1 - chance.randrange(300)))
        data[place] ^= 1 << chance.randrange(8)
    path = tmp_path / "flipped.hsk"
    path.write_bytes(data)
    read_with_everything(path)


def test_flip_in_the_middle_is_noticed_and_confined(whole, tmp_path):
    """One damaged chunk: verify names it, the others' events are all there."""
    data = bytearray(whole.path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path = tmp_path / "flipped.hsk"
    path.write_bytes(data)
    verify = traces.Trace(path).verify
    assert verify["complete"] is False and verify["damaged_chunks"] == 1 and verify["problems"]
    assert verify["chunks"] >= 3
    assert 0 < verify["recovered_events"] < whole.summary["events"]["total"]


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_and_repeated_pieces(whole, tmp_path, seed):
    chance = random.Random(seed)
    data = whole.path.read_bytes()
    pieces = [data[:32]]
    for _ in range(10):
        start = chance.randrange(len(data))
        pieces.append(data[start:start + chance.randrange(1, 50_000)])
    path = tmp_path / "shuffled.hsk"
    path.write_bytes(b"".join(pieces))
    read_with_everything(path)


def test_newer_version(whole, tmp_path):
    data = bytearray(whole.path.read_bytes())
    version, = struct.unpack_from("<I", data, 8)
    struct.pack_into("<I", data, 8, version + 1)
    path = tmp_path / "newer.hsk"
    path.write_bytes(data)
    for command in COMMANDS:
        done = traces.heapsake(command, path)
        assert done.status == traces.EXIT_UNUSABLE, f"{done}"
        assert len(done.err.splitlines()) == 1 and "version" in done.err and path.name in done.err, f"{done}"


def test_unknown_incompatible_feature(whole, tmp_path):
    data = bytearray(whole.path.read_bytes())
    struct.pack_into("<Q", data, 24, 1 << 40)
    path = tmp_path / "feature.hsk"
    path.write_bytes(data)
    done = traces.heapsake("summary", path)
    assert done.status == traces.EXIT_UNUSABLE and len(done.err.splitlines()) == 1, f"{done}"
    struct.pack_into("<Q", data, 24, 0)
    struct.pack_into("<Q", data, 16, 1 << 40)  # a compatible one may be ignored
    path.write_bytes(data)
    traces.heapsake("summary", path).ok()


@pytest.mark.parametrize("content", [b"", b"not a trace at all\n" * 1000, b"\x8bHEAPSK\n", b"\x7fELF" + bytes(5000),
                                     bytes(100_000)], ids=["empty", "text", "magic", "elf", "zeros"])
def test_not_a_trace(tmp_path, content):
    path = tmp_path / "other.hsk"
    path.write_bytes(content)
    for command in COMMANDS:
        done = traces.heapsake(command, path)
        assert done.status == traces.EXIT_UNUSABLE, f"{done}"
        assert len(done.err.splitlines()) == 1 and done.err.startswith("heapsake: ") and path.name in done.err, f"{done}"
        assert command == "verify" or done.out == "", f"{done}"


def test_no_file(tmp_path):
    for path in (tmp_path / "missing.hsk", tmp_path, "/dev/null"):
        for command in COMMANDS:
            done = traces.heapsake(command, path, timeout=20)
            assert done.status == traces.EXIT_UNUSABLE, f"{done}"
            assert len(done.err.splitlines()) == 1 and done.err.startswith("heapsake: "), f"{done}"


def test_opens_elsewhere(whole, tmp_path, target):
    """A trace explains itself: names and lines are still there when the program is gone."""
    program = tmp_path / "gone"
    shutil.copy(target("counts.c"), program)
    traced = traces.record(tmp_path / "t.hsk", [program, "malloc_keep", "77"])
    program.unlink()
    assert traced.trace.live_of("malloc_keep")[0] == 77
