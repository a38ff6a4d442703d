"""heapsake export: every format holds what the trace holds, site by site, whatever the sites are called."""

import json
import os
import re
import resource
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from support import building, exports, leak_programs, running, traces
from support.made_traces import made

GOLDEN = building.TESTS / "golden"
NATIVE_NAMES = "native_names.c"
LOST, BLOCKS = 4321, 100  # what it loses


def export(*words, **more):
    return traces.heapsake("export", *words, **more)


def agree(path, whats=exports.WHATS):
    """Every format of the trace says, stack by stack, what the events say, and the leaks what `leaks` says."""
    expected = exports.recounted(path)
    for what in whats:
        profile = exports.leaked(path) if what == "leaked" else expected[what]
        for format in exports.FORMATS:
            data = exports.exported(path, format, f"--what={what}")
            read = exports.READERS[format](data)
            wanted = exports.in_words_of(format, profile)
            if format == "folded":
                wanted = [(stack, size, None) for stack, size, _ in wanted]
            assert exports.summed(read) == exports.summed(wanted), (what, format)
            assert what == "leaked" or len(read) == len(exports.summed(read)), f"{what}, {format}: a site comes twice"
    blocks = exports.folded(exports.exported(path, "folded", "--weight=blocks"), "blocks")
    live = exports.in_words_of("folded", expected["live"])
    assert exports.summed(blocks) == exports.summed([(stack, None, count) for stack, _, count in live])
    return expected


# ---- the numbers ----


@pytest.mark.parametrize("name", ["format-1", "format-1-objects"])
def test_golden(name):
    """Threads, several domains, inherited blocks, arenas, native and Python frames in one stack, no stack at all."""
    path = GOLDEN / f"{name}.hsk"
    expected = agree(path, ("peak", "live", "allocated", "temporary"))
    assert all(expected.values())
    peak = json.loads(traces.heapsake("peak", "--json", path).ok().out)
    assert exports.summed(exports.jsonl(exports.exported(path, "jsonl", "--what=peak"))) == exports.summed(
        [(exports.frames_of(site["stack"]), site["bytes"], site["count"]) for site in peak["sites"]])
    summary = traces.Trace(path).summary
    assert exports.totals(exports.jsonl(exports.exported(path, "jsonl"))) == (
        summary["memory"]["live_bytes"], summary["memory"]["live_blocks"])
    allocated = exports.totals(exports.jsonl(exports.exported(path, "jsonl", "--what=allocated")))
    assert allocated == (summary["memory"]["allocated_bytes"],
                         sum(domain["allocations"] for name, domain in summary["domains"].items() if name != "arena"))


def test_leaked():
    path = GOLDEN / "format-1-graph.hsk"
    leaks = json.loads(traces.heapsake("leaks", "--json", "--min-confidence=0.5", path).ok().out)["leaks"]
    leaks = [leak for leak in leaks if leak["cause"]]
    assert len({leak["cause"] for leak in leaks}) >= 3
    for format in exports.FORMATS:
        data = exports.exported(path, format, "--what=leaked", warns=True)
        wanted = exports.in_words_of(format, exports.leaked(path))
        if format == "folded":
            wanted = [(stack, size, None) for stack, size, _ in wanted]
        assert exports.READERS[format](data) == wanted, format
    rows = exports.jsonl_rows(exports.exported(path, "jsonl", "--what=leaked", warns=True))
    told = [(leak["cause"], leak["type"], leak["confidence"], leak["bytes"], leak["stack"]) for leak in leaks]
    assert [(row["cause"], row["type"], row["confidence"], row["bytes"], row["stack"]) for row in rows] == told
    rows = exports.csv_rows(exports.exported(path, "csv", "--what=leaked", warns=True))
    assert [(row["cause"], row["type"] or None, float(row["confidence"])) for row in rows] == [one[:3] for one in told]
    samples = exports.Pprof(exports.exported(path, "pprof", "--what=leaked", warns=True)).samples
    assert [(sample["labels"]["cause"], sample["labels"].get("type")) for sample in samples] == [one[:2] for one in told]
    weak = exports.jsonl_rows(exports.exported(path, "jsonl", "--what=leaked", "--min-confidence=0", warns=True))
    assert len(weak) > len(rows)
    assert len(exports.leaked(path, "--min-confidence=0")) == len(weak)


def test_native_program(record, target):
    """Sums by function of a C program whose numbers are known."""
    traced = record([target(NATIVE_NAMES)])
    traced.result.ok()
    agree(traced.trace.path)
    for format in exports.FORMATS:
        read = exports.READERS[format](exports.exported(traced.trace.path, format, "--what=leaked"))
        assert [(size, count) for stack, size, count in read if "asked_for" in str(stack[0])] == [
            (LOST * BLOCKS, None if format == "folded" else BLOCKS)], read


def test_python_program(one_python, record):
    code = "import sys; kept = [bytearray(1000 + i) for i in range(50)]; also = {str(i): [i] for i in range(500)}"
    traced = record([one_python.path, "-I", "-S", "-c", code])
    traced.result.ok()
    agree(traced.trace.path, ("peak", "live", "allocated", "temporary"))


def test_python_leak(one_python, record):
    case = leak_programs.Case(one_python, leak_programs.PROGRAMS[1], "module_dict")
    traced = record(case.argv)
    traced.result.ok()
    truth, path = traced.truth, traced.trace.path
    rows = exports.csv_rows(exports.exported(path, "csv", "--what=leaked"))
    assert any(row["cause"] == truth["cause"] and row["type"] == truth["type"] and row["function"] == truth["function"]
               for row in rows), rows
    for format in exports.FORMATS:
        read = exports.READERS[format](exports.exported(path, format, "--what=leaked"))
        assert [row[1] for row in read] == [size for _, size, _ in exports.leaked(path)]
        peak = exports.totals(exports.READERS[format](exports.exported(path, format, "--what=peak")))
        assert peak[0] == traced.trace.peak["bytes"] and peak[1] in (traced.trace.peak["count"], None)


# ---- pprof ----


def build_id(path):
    done = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True)
    return re.search(r"Build ID: ([0-9a-f]+)", done.stdout)[1]


def test_pprof(record, target):
    """Where native code lies, what was inlined there, and what the profile says of itself."""
    program = target(NATIVE_NAMES)
    traced = record([program])
    traced.result.ok()
    profile = exports.Pprof(exports.exported(traced.trace.path, "pprof"))
    assert profile.default == "bytes" and profile.period == 1 and profile.period_type == ("bytes", "bytes")
    summary = traced.trace.summary["process"]
    assert profile.duration / 1e9 == pytest.approx(summary["duration"])
    assert profile.time / 1e9 == pytest.approx(summary["start_time"])
    version = traces.heapsake("--version").ok().out.strip()
    assert version in profile.comments and f"trace: {traced.trace.path}" in profile.comments
    executable = next(iter(profile.mappings.values()))
    assert executable["file"] == str(program) and executable["has_functions"] and executable["offset"] == 0
    if shutil.which("readelf"):
        assert executable["build_id"] == build_id(program)
    lost = [sample for sample in profile.samples if sample["values"] == [BLOCKS, LOST * BLOCKS]]
    assert len(lost) == 1, profile.samples
    inner, caller = lost[0]["locations"][:2]
    assert [function["name"] for function, _ in inner["lines"]] == ["asked_for", "lose_one"]
    assert [function["name"] for function, _ in caller["lines"]] == ["main"]
    source = (building.TARGETS / NATIVE_NAMES).read_text().splitlines()
    for location in (inner, caller):
        assert profile.mappings[location["mapping"]] == executable and location["address"]
        for function, line in location["lines"]:
            assert Path(function["file"]).name == NATIVE_NAMES
            assert f"line of {function['name']} " in source[line - 1]
    libc = [mapping for mapping in profile.mappings.values() if "libc.so" in mapping["file"]]
    assert libc and all(re.fullmatch("[0-9a-f]{8,}", mapping["build_id"]) for mapping in libc)


@pytest.fixture(scope="session")
def go_pprof():
    if not shutil.which("go") or subprocess.run(["go", "tool", "-n", "pprof"], capture_output=True).returncode:
        pytest.skip("go is not installed")

    def top(path, sample):
        """{function: (flat, cumulative)} in bytes or blocks."""
        environment = {**running.clean_environment(), "HOME": str(path.parent)}
        done = running.run(["go", "tool", "pprof", "-top", f"-sample_index={sample}", "-unit=B", "-nodefraction=0",
                            "-edgefraction=0", "-nodecount=1000000", path], env=environment).ok()
        rows = re.findall(r"^ +(\d+)B? +[\d.]+% +[\d.]+% +(\d+)B? +[\d.]+% +(.*?)(?: \(inline\))?$", done.out, re.M)
        return {name: (int(flat), int(cumulative)) for flat, cumulative, name in rows}
    return top


@pytest.mark.parametrize("what", ["live", "peak", "leaked"])
def test_go_opens_pprof(go_pprof, record, target, tmp_path, what):
    traced = record([target(NATIVE_NAMES)])
    traced.result.ok()
    file = tmp_path / "app.pb.gz"
    export("--format=pprof", f"--what={what}", "-o", file, traced.trace.path).ok()
    profile = exports.leaked(traced.trace.path) if what == "leaked" else exports.recounted(traced.trace.path)[what]
    for sample, column in (("bytes", 1), ("objects", 2)):
        flat, cumulative = {}, {}
        for row in exports.in_words_of("pprof", profile):
            flat[row[0][0][0]] = flat.get(row[0][0][0], 0) + row[column]
            for name in {frame[0] for frame in row[0]}:
                cumulative[name] = cumulative.get(name, 0) + row[column]
        assert go_pprof(file, sample) == {name: (flat.get(name, 0), of) for name, of in cumulative.items()}


# ---- stacks ----


def test_stacks_of_one_language(one_python, record):
    code = "kept = [bytearray(1000 + i) for i in range(50)]"
    traced = record([one_python.path, "-I", "-S", "-c", code], "--native")
    traced.result.ok()
    path = traced.trace.path
    whole = exports.jsonl_rows(exports.exported(path, "jsonl"))
    for language in ("python", "native"):
        sums = {}
        for row in whole:
            stack = tuple(tuple(frame.items()) for frame in row["stack"] if frame["language"] in (language, "missing"))
            one = sums.setdefault(stack, [0, 0])
            one[0] += row["bytes"]
            one[1] += row["count"]
        rows = exports.jsonl_rows(exports.exported(path, "jsonl", f"--stacks={language}"))
        assert {tuple(tuple(frame.items()) for frame in row["stack"]): [row["bytes"], row["count"]]
                for row in rows} == sums
        assert len(rows) == len(sums) < len(whole)
        for format in exports.FORMATS[:-1]:
            read = exports.READERS[format](exports.exported(path, format, f"--stacks={language}"))
            profile = [(exports.frames_of(row["stack"]), row["bytes"], row["count"]) for row in rows]
            wanted = exports.summed(exports.in_words_of(format, profile))
            assert {stack: one[0] for stack, one in exports.summed(read).items()} == {
                stack: one[0] for stack, one in wanted.items()}, (language, format)
    native = exports.Pprof(exports.exported(path, "pprof", "--stacks=native"))
    assert sum(bool(location["mapping"]) for location in native.locations.values()) > len(native.locations) / 2
    python = exports.Pprof(exports.exported(path, "pprof", "--stacks=python"))
    assert not any(location["address"] for location in python.locations.values())
    leaks = exports.csv_rows(exports.exported(path, "csv", "--stacks=python", "--what=leaked"))
    assert [int(row["bytes"]) for row in leaks] == [size for _, size, _ in exports.leaked(path)]


def test_stacks_that_are_not_there(one_python, record, target, tmp_path):
    native = record([target(NATIVE_NAMES)]).trace.path
    python = record([one_python.path, "-c", "x = [bytearray(1000) for i in range(9)]"], path=tmp_path / "py.hsk").trace.path
    for path, language in ((native, "python"), (python, "native")):
        done = export("--format=csv", "-o", "-", f"--stacks={language}", path)
        assert done.status == traces.EXIT_UNUSABLE and done.out == ""
        assert re.fullmatch(rf"heapsake: .*: has no {language} frames: .*--stacks={language}.*\n", done.err, re.I)


def test_deep_stacks(tmp_path):
    depth = 1300
    lines = ["stack s0 f0 deep.py 1"]
    lines += [f"stack s{number} f{number} deep.py {number + 1} s{number - 1}" for number in range(1, depth)]
    path = made(tmp_path / "deep.hsk", "\n".join([*lines, f"block b 77 stack=s{depth - 1}"]) + "\n")
    stack = tuple((f"f{number}", "deep.py", number + 1, None) for number in reversed(range(depth)))
    for format in exports.FORMATS:
        read = exports.READERS[format](exports.exported(path, format))
        wanted = exports.in_words_of(format, [(stack, 77, 1)])[0]
        assert read == [wanted if format != "folded" else (wanted[0], 77, None)]


# ---- names that are not to be trusted ----

NAMES = [b"semi;colon and space 12", b"it's \"quoted\", is it", b"new\nline\r\n\ttab\x0b\x0c", b"\x1b[31mred\x1b]0;title\x07",
         b"no \xff\xc3 UTF-8 \xed\xa0\x80", b"=cmd|' /C calc'!A0", b"+1", b"@SUM(1)", b"-2+3", b"", b" ", b",", b"\\",
         b"</script><script>alert(1)</script>", b"%s%n{0}$(id)`id`", "Größe \u202e\u2028\u0085".encode(),
         b"l" * 100_000, b"\xf0\x9f\x98\x80\xc2\x80", b"# comment", b"a\\x0ab"]


def quoted(name):
    """A word of a description for make_graph."""
    return "'" + "".join(f"\\x{byte:02x}" for byte in name) + "'"


def harmless(name):
    """As reports show bytes: no control characters, and what is no UTF-8 as \\xNN."""
    shown, at = "", 0
    while at < len(name):
        for length in (1, 2, 3, 4):
            try:
                character = name[at:at + length].decode("utf-8")
                break
            except UnicodeDecodeError:
                character = None
        if character is None or ord(character) < 0x20 or 0x7f <= ord(character) < 0xa0:
            shown, length = shown + f"\\x{name[at]:02x}", 1
            if character and ord(character) >= 0x80:  # its second byte is none that may stand alone
                shown, length = shown + f"\\x{name[at + 1]:02x}", 2
        else:
            shown += character
        at += length
    return shown


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A trace with a site for each of the names; each site has a size of its own."""
    lines = []
    for number, name in enumerate(NAMES):
        lines += [f"stack outer{number} {quoted(name)} {quoted(name)} 7",
                  f"stack inner{number} inner{number} file.py 8 outer{number}",
                  f"block b{number} {1000 + number} stack=outer{number}", f"block c{number} 1 stack=inner{number}"]
    folder = os.fsencode(tmp_path_factory.mktemp("hostile"))
    return made(Path(os.fsdecode(folder + b"/tr\nace;\"\x1b\xff.hsk")), "\n".join(lines) + "\n")


def test_hostile_names_in_text(hostile):
    """Nothing but the format's own line ends is a control character; lines, rows and frames are as many as there are."""
    for format in ("folded", "csv", "speedscope", "jsonl"):
        text = exports.exported(hostile, format).decode("utf-8")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), format
        if format in ("folded", "csv"):
            assert not re.search(r"[\x80-\x9f]", text), format
            assert text.count("\n") == 2 * len(NAMES) + (format == "csv")
    sites = exports.summed(exports.folded(exports.exported(hostile, "folded")))
    for number, name in enumerate(NAMES):
        shown = harmless(name).replace(";", ":")
        frame = f"{shown or 'unknown'} ({shown}:7)" if shown else "unknown"
        assert sites[(frame,)] == [1000 + number, None]
        assert sites[(f"inner{number} (file.py:8)", frame)] == [1, None]


def test_hostile_names_in_csv(hostile):
    rows = {int(row["bytes"]): row for row in exports.csv_rows(exports.exported(hostile, "csv"))}
    for number, name in enumerate(NAMES):
        guard = "'" if name[:1] in (b"=", b"+", b"-", b"@") else ""
        row = rows[1000 + number]
        assert row["function"] == row["file"] == guard + harmless(name)
        assert not row["stack"].startswith(("=", "+", "-", "@")) and len(row["stack"].split(";")) == 1


def test_hostile_names_in_json(hostile):
    rows = {row["bytes"]: row for row in exports.jsonl_rows(exports.exported(hostile, "jsonl"))}
    names = {1000 + number: re.sub(rb"\xff|\xc3(?= )|\xed\xa0\x80", lambda bad: "\ufffd".encode() * len(bad[0]), name)
             .decode() or None for number, name in enumerate(NAMES)}
    assert {size: row["stack"][0]["function"] for size, row in rows.items() if size > 1} == names
    sites = {size: stack for stack, size, _ in exports.speedscope(exports.exported(hostile, "speedscope"))}
    assert {size: stack[0][0] for size, stack in sites.items() if size > 1} == {
        size: name or "unknown" for size, name in names.items()}


def test_hostile_names_in_pprof(hostile):
    profile = exports.Pprof(exports.exported(hostile, "pprof"))
    assert not any(re.search(r"[\x00-\x1f\x7f-\x9f]", string) for string in profile.strings)
    sites = {size: stack for stack, size, _ in profile.profile()}
    for number, name in enumerate(NAMES):
        assert sites[1000 + number] == ((harmless(name) or "unknown", harmless(name), 7),)
    assert any(comment.endswith('/tr\\x0aace;"\\x1b\\xff.hsk') for comment in profile.comments)


@pytest.mark.parametrize("name", NAMES, ids=[str(number) for number in range(len(NAMES))])
def test_hostile_types(name, tmp_path):
    """Names of types stand beside leaks."""
    description = (GOLDEN / "format-1-graph.txt").read_text()
    assert "app.User" in description
    path = made(tmp_path / "types.hsk", re.sub(r"\bapp\.User\b", lambda _: quoted(b"app.U" + name), description))
    rows = exports.jsonl_rows(exports.exported(path, "jsonl", "--what=leaked", warns=True))
    types = [row["type"] for row in rows]
    assert [kind for kind in types if kind and kind.startswith("app.U")]
    if b"\xff" not in name:  # what is no UTF-8 cannot be told from JSON any more; long names are cut in `leaks`, too
        shown = [harmless(kind.encode()) if kind else None for kind in types]
        cells = exports.csv_rows(exports.exported(path, "csv", "--what=leaked", warns=True))
        assert shown == [row["type"] or None for row in cells]
        samples = exports.Pprof(exports.exported(path, "pprof", "--what=leaked", warns=True)).samples
        assert shown == [sample["labels"].get("type") for sample in samples]
    for format in ("folded", "speedscope"):
        assert exports.READERS[format](exports.exported(path, format, "--what=leaked", warns=True))


def test_hostile_module(record, target, tmp_path):
    """A program's file can be called anything that has no slash and no NUL."""
    folder = os.fsencode(tmp_path) + b"/mo;d\n"
    os.mkdir(folder)
    program = folder + b"/we\x1bird \xff\"'=.so"
    shutil.copy(os.fsencode(target(NATIVE_NAMES)), program)
    if shutil.which("strip"):
        subprocess.run([b"strip", program], check=True)
    path = record([os.fsdecode(program)]).trace.path
    for format in exports.FORMATS:
        read = exports.READERS[format](exports.exported(path, format))
        assert any(size == LOST * BLOCKS for _, size, _ in read), format
    profile = exports.Pprof(exports.exported(path, "pprof"))
    assert next(iter(profile.mappings.values()))["file"] == harmless(program)


# ---- files ----


@pytest.fixture
def golden(tmp_path):
    path = tmp_path / "app.hsk"
    shutil.copy(GOLDEN / "format-1.hsk", path)
    return path


@pytest.mark.parametrize("format", exports.FORMATS)
def test_file(golden, tmp_path, format):
    file = tmp_path / "out"
    done = export(f"--format={format}", "-o", file, golden).ok()
    assert done.err == "" and done.out.startswith(f"Written to {file}: live at the end (") and str(file) in done.out[20:]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes() == exports.exported(golden, format) == exports.exported(golden, format)
    assert sorted(tmp_path.iterdir()) == [golden, file]


def test_file_that_exists(golden, tmp_path):
    file = tmp_path / "out"
    file.write_text("mine")
    file.chmod(0o644)
    refused = export("--format=csv", "-o", file, golden)
    assert refused.status == traces.EXIT_UNUSABLE and refused.out == "" and file.read_text() == "mine"
    assert refused.err == f"heapsake: {file}: exists already: choose another name with -o, or replace it with --force\n"
    export("--format=csv", "--force", "-o", file, golden).ok()
    assert file.read_text().startswith("bytes,") and stat.S_IMODE(file.stat().st_mode) == 0o600
    for other, says in ((tmp_path, "not a regular file"), (Path("/dev/null"), "not a regular file"),
                        (golden, "is the trace itself")):
        before = golden.read_bytes()
        refused = export("--format=csv", "--force", "-o", other, golden)
        assert refused.status == traces.EXIT_UNUSABLE and says in refused.err and refused.err.count("\n") == 1
        assert golden.read_bytes() == before and other.exists()
    link = tmp_path / "link"
    link.symlink_to(file)
    assert export("--format=csv", "--force", "-o", link, golden).status == traces.EXIT_UNUSABLE
    assert export("--format=csv", "-o", tmp_path / "no" / "such", golden).status == traces.EXIT_UNUSABLE


@pytest.mark.parametrize("format", exports.FORMATS)
def test_file_that_cannot_be_finished(hostile, tmp_path, format):
    """Nothing is left of it, and what was there stays."""
    file = tmp_path / "out"
    file.write_text("mine")
    done = export(f"--format={format}", "--force", "-o", file, hostile,
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400)), start_new_session=True)
    assert done.status == traces.EXIT_UNUSABLE and done.out == "" and "cannot write" in done.err
    assert file.read_text() == "mine" and list(tmp_path.iterdir()) == [file]


def test_standard_output_that_takes_nothing(golden):
    with open("/dev/full", "wb") as full:
        for format in exports.FORMATS:
            done = running.finish(running.start([traces.heapsake_binary(), "export", f"--format={format}", "-o", "-", golden],
                                                stdout=full))
            assert done.status == traces.EXIT_UNUSABLE
            assert done.err == "heapsake: standard output: cannot write: No space left on device\n"


def test_usage(golden, tmp_path):
    for words, says in ((["-o", "-", golden], "which format"), (["--format=csv", golden], "where to"),
                        (["--format=xml", "-o", "-", golden], "is not one of"), (["--format=csv", "-o", "-"], "no trace"),
                        (["--format=csv", "-o", "-", golden, golden], "one trace"),
                        (["--format=csv", "-o", "-", "--what=all", golden], "is not one of")):
        done = export(*words)
        assert done.status == traces.EXIT_USAGE and says in done.err and done.out == "" and done.err.count("\n") == 1
    assert export("--format=csv", "-o", tmp_path / "x", tmp_path / "none.hsk").status == traces.EXIT_UNUSABLE
    assert not (tmp_path / "x").exists()


def test_pprof_is_not_for_terminals(golden):
    outside, inside = os.openpty()
    try:
        for format, status in (("pprof", traces.EXIT_USAGE), ("folded", 0)):
            done = running.finish(running.start([traces.heapsake_binary(), "export", f"--format={format}", "-o", "-", golden],
                                                stdout=inside))
            assert done.status == status
    finally:
        os.close(inside)
        os.close(outside)


def test_incomplete_traces():
    """What is there is exported, and what is missing is said; without a snapshot there are no leaks to export."""
    for name in ("format-1-cut.hsk", "format-1-damaged.hsk"):
        for what in ("live", "peak", "allocated", "temporary"):
            for format in exports.FORMATS:
                data = exports.exported(GOLDEN / name, format, f"--what={what}", warns=True)
                assert exports.READERS[format](data)
        assert any(name in comment and "chunks" in comment
                   for comment in exports.Pprof(exports.exported(GOLDEN / name, "pprof", warns=True)).comments)
    done = export("--format=csv", "-o", "-", "--what=leaked", GOLDEN / "format-1.hsk")
    assert done.status == traces.EXIT_UNUSABLE and done.out == "" and "has no snapshot" in done.err


def test_nothing_to_export(tmp_path):
    path = made(tmp_path / "empty.hsk", "block b 10\nfree b\n")
    for format in exports.FORMATS:
        assert exports.READERS[format](exports.exported(path, format)) == []
