"""heapsake symbolize: names of native frames that were missing when the trace was finished, added later."""

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from support import building, chunks, running, traces
from support.traces import the_recorder

SOURCE = building.TARGETS / "native_names.c"
SIZE, BLOCKS = 4321, 100
SYMBOLS, INDEX = 6, 12


def line_of(function):
    return next(number for number, line in enumerate(SOURCE.read_text().splitlines(), 1)
                if f"/* line of {function} */" in line)


NAMED = [(name, SOURCE.name, line_of(name)) for name in ("asked_for", "lose_one", "main")]


def build_id(path):
    """Of an ELF file, from its note."""
    data = path.read_bytes()
    at = data.index(b"\x03\0\0\0GNU\0")
    return data[at + 8:at + 8 + int.from_bytes(data[at - 4:at], "little")].hex()


class Stripped:
    """A program without names, and where its names are; both can be moved and deleted."""

    def __init__(self, program, folder):
        folder.mkdir(parents=True)
        self.program, self.whole, self.debug = (folder / name for name in ("app", "app.whole", "app.only"))
        shutil.copy(program, self.whole)
        subprocess.run(["objcopy", "--only-keep-debug", self.whole, self.debug], check=True)
        subprocess.run(["strip", "-o", self.program, self.whole], check=True)
        self.build_id = build_id(self.program)
        assert build_id(self.debug) == self.build_id

    def hide(self):
        """Nothing of it is left where it was, and what was recorded knows its path alone."""
        for path in (self.program, self.whole, self.debug):
            path.rename(path.with_name("gone-" + path.name))
        elsewhere = self.program.parent.with_name("elsewhere")
        self.program.parent.rename(elsewhere)
        self.program_now, self.whole_now, self.debug_now = (elsewhere / f"gone-{path.name}" for path in
                                                            (self.program, self.whole, self.debug))


@pytest.fixture
def stripped(target, tmp_path):
    if not shutil.which("objcopy"):
        pytest.skip("binutils is not installed")
    return Stripped(target(SOURCE.name), tmp_path / "app")


@pytest.fixture
def nameless(stripped, trace_file):
    """The trace of a program without names, whose files are gone since."""
    traces.record(trace_file, [stripped.program]).trace.whole()
    stripped.hide()
    return trace_file


def symbolize(path, *options, status=0, **more):
    """What it says, as JSON; with a status other than 0 its Result."""
    done = traces.heapsake("symbolize", "--json", *options, path, **more)
    assert done.status == status, f"{done}"
    return json.loads(done.out) if status == 0 else done


def frames_of_blocks(path):
    """The frames of the program's own blocks."""
    leaks = traces.Trace(path).leaks["leaks"]
    # a register or two may still point to the last of them
    [leak] = [leak for leak in leaks if leak["count"] >= BLOCKS - 2 and leak["bytes"] == leak["count"] * SIZE]
    return leak["stack"]


def names_of_blocks(path):
    return [(frame["function"], os.path.basename(frame["file"] or ""), frame["line"])
            for frame in frames_of_blocks(path)][:len(NAMED)]


def module_of(said, name="app"):
    [module] = [module for module in said["modules"] if os.path.basename(module["module"]) == name]
    return module


def check_named(path):
    assert names_of_blocks(path) == NAMED
    assert all(frame["module"].endswith("/app") for frame in frames_of_blocks(path)[:len(NAMED)])


# ---- where names are found ----

def by_build_id(folder, app):
    place = folder / ".build-id" / app.build_id[:2] / f"{app.build_id[2:]}.debug"
    return place, app.debug_now


def by_path(folder, app):
    return folder / str(app.program)[1:], app.whole_now


def by_debug_path(folder, app):
    return folder / (str(app.program)[1:] + ".debug"), app.debug_now


def anywhere(folder, app):
    return folder / "some" / "where" / "else", app.debug_now


@pytest.mark.parametrize("layout", [by_build_id, by_path, by_debug_path, anywhere])
def test_folder(stripped, nameless, tmp_path, layout):
    """With the program gone, as on another machine, its names come from a folder of debug files, and stay."""
    before = frames_of_blocks(nameless)
    assert all(frame["function"].startswith("0x") and frame["file"] is None for frame in before[:2]), before
    folder = tmp_path / "debug files"
    place, file = layout(folder, stripped)
    place.parent.mkdir(parents=True)
    file.rename(place)
    said = symbolize(nameless, "--debug-dir", folder)
    module = module_of(said)
    assert module["source"] == str(place) and module["build_id"] == stripped.build_id
    assert module["functions_before"] < module["functions"] == module["frames"]
    assert module["lines"] >= 2 and module["improved"] >= 2 and not module["refused"]
    assert said["written"] == str(nameless)
    shutil.rmtree(folder)
    check_named(nameless)
    traces.Trace(nameless).whole()


def test_recorded_path(stripped, trace_file, tmp_path):
    """The file at its own path, with its names: it was stripped when it ran."""
    traces.record(trace_file, [stripped.program])
    assert symbolize(trace_file)["written"] is None
    stripped.whole.rename(stripped.program)
    assert module_of(symbolize(trace_file))["source"] == str(stripped.program)
    check_named(trace_file)


def test_symbol_table_then_debug_information(stripped, nameless, tmp_path):
    """Functions first and lines later; the better file wins, wherever it lies."""
    worse, better = tmp_path / "worse", tmp_path / "better"
    for folder in (worse, better):
        folder.mkdir()
    subprocess.run(["objcopy", "--strip-debug", stripped.whole_now, worse / "app"], check=True)
    module = module_of(symbolize(nameless, "--debug-dir", worse))
    assert module["source_tells"] == "all functions" and module["lines"] == 0
    assert module["functions"] == module["frames"] and "no debug information" in module["missing"]
    assert [frame["function"] for frame in frames_of_blocks(nameless)[:2]] == ["lose_one", "main"]
    stripped.debug_now.rename(better / "names")
    assert module_of(symbolize(nameless, "--debug-dir", worse, "--debug-dir", better))["functions"] >= 3
    check_named(nameless)


def test_shared_supplement(target, trace_file, tmp_path):
    """Packages share what their files have in common (dwz): names come from both, and those of the second one later."""
    if not shutil.which("dwz") or not shutil.which("objcopy"):
        pytest.skip("dwz or binutils is not installed")
    apps = [Stripped(target(SOURCE.name), tmp_path / "one"),
            Stripped(target(SOURCE.name, "-DBLOCKS=101"), tmp_path / "two")]
    debug = tmp_path / "debug"
    (debug / "common").mkdir(parents=True)
    files = [shutil.copy(app.debug, debug / f"app{number}.debug") for number, app in enumerate(apps)]
    done = subprocess.run(["dwz", "-m", debug / "common" / "supplement", "-r", *files], capture_output=True)
    if done.returncode or not (debug / "common" / "supplement").exists():
        pytest.skip("dwz finds nothing to share")
    traces.record(trace_file, [apps[0].program])
    (debug / "common").rename(debug / "later")
    symbolize(trace_file, "--debug-dir", debug)
    (debug / "later").rename(debug / "common")
    symbolize(trace_file, "--debug-dir", debug)
    check_named(trace_file)


def test_another_build(stripped, nameless, target, tmp_path):
    """Files that have the right names and another build-id: none is used, and each is told."""
    other = Stripped(target(SOURCE.name, "-DBLOCKS=101"), tmp_path / "other")
    folder = tmp_path / "debug"
    wrong = [stripped.program, folder / str(stripped.program)[1:],
             folder / (str(stripped.program)[1:] + ".debug"),
             folder / ".build-id" / stripped.build_id[:2] / f"{stripped.build_id[2:]}.debug"]
    for place in wrong:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(other.whole, place)
    before = nameless.read_bytes()
    module = module_of(symbolize(nameless, "--debug-dir", folder))
    assert module["improved"] == 0 and module["source"] is None
    for place in wrong[:3]:
        assert sum(text.startswith(f"{place} is of another build") and other.build_id in text
                   for text in module["refused"]) == 1, module
    assert "no file of build-id " + stripped.build_id in module["missing"]
    assert nameless.read_bytes() == before
    text = traces.heapsake("symbolize", "--debug-dir", folder, nameless).ok().out
    assert "is of another build" in text and "--debug-dir" in text and "is unchanged" in text


# ---- what is written ----

def all_chunks(path, *but):
    kinds = [kind for kind in range(1, 64) if kind not in but]
    return list(chunks.with_ordinals(path, *kinds))


def test_only_symbols_change(stripped, nameless, tmp_path):
    """Every other chunk is what it was, and a second run changes nothing."""
    original, named, again = nameless.read_bytes(), tmp_path / "named.hsk", tmp_path / "again.hsk"
    folder = stripped.debug_now.parent
    said = symbolize(nameless, "--debug-dir", folder, "-o", named)
    assert said["written"] == str(named) and nameless.read_bytes() == original
    assert named.stat().st_mode & 0o777 == 0o600
    assert all_chunks(named, SYMBOLS, INDEX) == all_chunks(nameless, SYMBOLS, INDEX)
    assert len(all_chunks(named)) == len(all_chunks(nameless))
    symbolize(nameless, "--debug-dir", folder)
    assert nameless.read_bytes() == named.read_bytes() != original
    assert symbolize(nameless, "--debug-dir", folder)["written"] is None
    said = symbolize(nameless, "--debug-dir", folder, "-o", again)
    assert said["totals"]["improved"] == 0
    assert again.read_bytes() == nameless.read_bytes() == named.read_bytes()
    check_named(again)


def test_in_place(stripped, nameless, tmp_path):
    """Mode and links stay, and nothing lies beside it."""
    nameless.chmod(0o640)
    link = tmp_path / "link.hsk"
    link.symlink_to(nameless)
    symbolize(link, "--debug-dir", stripped.debug_now.parent)
    assert link.is_symlink() and nameless.stat().st_mode & 0o777 == 0o640
    assert os.listdir(nameless.parent) == [nameless.name]
    check_named(link)


def test_names_are_kept(target, trace_file, tmp_path):
    """Files that tell less than the trace does take nothing from it."""
    app = Stripped(target(SOURCE.name), tmp_path / "app")
    shutil.copy(app.whole, app.program)
    traces.record(trace_file, [app.program])
    check_named(trace_file)
    before = trace_file.read_bytes()
    subprocess.run(["strip", app.program], check=True)
    for path in (app.whole, app.debug):
        path.unlink()
    symbolize(trace_file, "--debug-dir", app.program.parent)
    check_named(trace_file)
    assert trace_file.read_bytes() == before


def test_inlined_calls_are_kept(stripped, nameless, tmp_path):
    """A file that knows functions alone does not end inlined calls."""
    symbolize(nameless, "--debug-dir", stripped.debug_now.parent)
    check_named(nameless)
    before = nameless.read_bytes()
    worse = tmp_path / "worse"
    worse.mkdir()
    subprocess.run(["objcopy", "--strip-debug", stripped.whole_now, worse / "app"], check=True)
    symbolize(nameless, "--debug-dir", worse)
    assert nameless.read_bytes() == before


@pytest.mark.parametrize("part", [0.999, 0.97, 0.9, 0.8, 0.7])
def test_cut_off(stripped, nameless, part, tmp_path):
    """What is left of a trace gets its names, is no more complete than it was, and loses nothing."""
    data = nameless.read_bytes()
    cut, named, again = (tmp_path / f"{name}.hsk" for name in ("cut", "named", "again"))
    cut.write_bytes(data[:int(len(data) * part)])
    done = traces.heapsake("symbolize", "--json", "--debug-dir", stripped.debug_now.parent, "-o", named, cut)
    assert done.status == 0 and "truncated" in done.err, f"{done}"
    before, after = traces.Trace(cut).verify, traces.Trace(named).verify
    assert before["complete"] is after["complete"] is False
    for key in ("recovered_events", "damaged_chunks"):
        assert before[key] == after[key], (before, after)
    if json.loads(done.out)["totals"]["improved"]:
        assert NAMED[1] in [(frame["function"], os.path.basename(frame["file"] or ""), frame["line"])
                            for leak in traces.Trace(named).leaks["leaks"] for frame in leak["stack"]]
    symbolize(named, "--debug-dir", stripped.debug_now.parent, "-o", again)
    assert again.read_bytes() == named.read_bytes()


def test_damaged(stripped, nameless, tmp_path):
    """Bytes flipped, lost or put in anywhere: as much is readable afterwards as before."""
    data = nameless.read_bytes()
    damaged, named = tmp_path / "damaged.hsk", tmp_path / "named.hsk"
    for number, at in enumerate(range(40, len(data) - 40, len(data) // 24)):
        now = bytearray(data)
        if number % 3 == 0:
            now[at] ^= 4
        elif number % 3 == 1:
            del now[at:at + 30]
        else:
            now[at:at] = b"CHNK" * 9
        damaged.write_bytes(now)
        symbolize(damaged, "--debug-dir", stripped.debug_now.parent, "-o", named)
        before, after = traces.Trace(damaged).verify, traces.Trace(named).verify
        assert before["complete"] is after["complete"] is False
        for key in ("recovered_events", "damaged_chunks"):
            assert before[key] == after[key], (number, before, after)
        named.unlink()


# ---- trouble ----

def test_still_being_written(started, trace_file, stripped):
    """Refused while the recorder writes; once that is killed, what it left is a trace that was cut off."""
    process = started([*traces.command(trace_file), "cat"], stdin=subprocess.PIPE)
    recorder = the_recorder(process, trace_file)
    running.until(lambda: trace_file.exists() and trace_file.stat().st_size > 32, what="the first chunk")
    done = symbolize(trace_file, "-o", trace_file.with_name("other.hsk"), status=3)
    assert done.err.count("\n") == 1 and "still being written" in done.err
    assert os.listdir(trace_file.parent) == [trace_file.name]
    os.kill(recorder, 9)
    running.until(lambda: traces.heapsake("symbolize", trace_file).status == 0, what="the end of the recorder")
    assert traces.Trace(trace_file).verify["complete"] is False
    process.stdin.close()
    process.wait(timeout=running.TIMEOUT)


def test_wrong_usage(nameless, tmp_path):
    before = nameless.read_bytes()
    taken = tmp_path / "taken.hsk"
    taken.write_text("mine")
    for words, status, said in [
            (["symbolize"], 2, "no trace given"),
            (["symbolize", nameless, nameless], 2, "one trace at a time"),
            (["symbolize", "--debug-dir", tmp_path / "nowhere", nameless], 3, "cannot be searched"),
            (["symbolize", "--debug-dir", taken, nameless], 3, "cannot be searched"),
            (["symbolize", "-o", taken, nameless], 3, "exists already"),
            (["symbolize", "-o", tmp_path / "no" / "t.hsk", nameless], 3, "cannot create"),
            (["symbolize", "-o", tmp_path, "--force", nameless], 3, "not a regular file"),
            (["symbolize", "--debuginfod", nameless], 3, "DEBUGINFOD_URLS"),
            (["symbolize", taken], 3, "not a heapsake trace"),
            (["symbolize", tmp_path / "missing.hsk"], 3, "cannot open")]:
        done = traces.heapsake(*words, env=running.clean_environment(DEBUGINFOD_URLS=None))
        assert done.status == status and said in done.err and done.err.count("\n") == 1 and not done.out, f"{done}"
    assert nameless.read_bytes() == before and taken.read_text() == "mine"
    symbolize(nameless, "-o", taken, "--force")
    assert taken.read_bytes() == before


def on_a_disk(tmp_path, kib, trace, script, *words):
    """Runs a shell script in a mount namespace with a tmpfs of that size: $1 is a copy of the trace on it."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    for folder in (disk, kept):
        folder.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    if not shutil.which("unshare") or running.run([*unshare, "mount", "-t", "tmpfs", "none", disk]).status:
        pytest.skip("no tmpfs can be mounted here: neither root nor user namespaces")
    script = f'mount -t tmpfs -o size={kib}k none "$1" || exit 77; disk=$1; kept=$2; cp "$3" "$disk/t.hsk" || exit 77; ' \
             f'shift 3; {script}; status=$?; rm -f "$disk/fill"; ls "$disk" >"$kept/list"; cp "$disk/t.hsk" "$kept"; ' \
             'exit $status'
    done = running.run([*unshare, "sh", "-c", script, "sh", disk, kept, trace, *words])
    assert done.status != 77, f"{done}"
    return done, (kept / "t.hsk").read_bytes(), (kept / "list").read_text().split()


@pytest.mark.parametrize("script, said", [
    pytest.param('cat /dev/zero >"$disk/fill" 2>"$kept/full"; "$@" "$disk/t.hsk"', "No space left",
                 id="full"),
    pytest.param('mount -o remount,ro "$disk"; "$@" "$disk/t.hsk"; status=$?; mount -o remount,rw "$disk"; '
                 '(exit $status)', "Read-only", id="read-only"),
    pytest.param('(ulimit -f 1; "$@" "$disk/t.hsk")', "too large", id="limited"),
])
def test_no_room(stripped, nameless, tmp_path, script, said):
    """Nothing can be written: one line says so, and the trace is what it was, alone in its folder."""
    original = nameless.read_bytes()
    done, kept, names = on_a_disk(tmp_path, 256, nameless, script, traces.heapsake_binary(), "symbolize",
                                  "--debug-dir", stripped.debug_now.parent)
    assert done.status == 3 and done.err.count("\n") == 1 and said in done.err, f"{done}"
    assert not done.out and kept == original and names == ["t.hsk"]


def test_killed(target, trace_file, tmp_path):
    """SIGKILL at any moment: the old trace or the new one, whole."""
    app = Stripped(target(SOURCE.name, "-DBLOCKS=200000"), tmp_path / "app")
    traces.record(trace_file, [app.program])
    app.hide()
    old, new = trace_file.read_bytes(), trace_file.with_name("new.hsk")
    words = [traces.heapsake_binary(), "symbolize", "--debug-dir", app.debug_now.parent, "-o", new, trace_file]
    began = time.monotonic()
    running.run(words).ok()
    takes = time.monotonic() - began
    named = new.read_bytes()
    new.unlink()
    assert named != old
    for i in range(25):
        process = running.start([*words[:4], trace_file])
        time.sleep(takes * i / 20)
        running.end(process)
        assert trace_file.read_bytes() in (old, named)
        left = set(os.listdir(trace_file.parent)) - {trace_file.name}
        assert all(re.fullmatch(r"t\.hsk\.\d+\.\d+\.new", name) for name in left)
        trace_file.write_bytes(old)
    traces.Trace(trace_file).whole()


def test_two_at_once(target, trace_file, tmp_path):
    """Neither spoils what the other does."""
    app = Stripped(target(SOURCE.name), tmp_path / "app")
    traces.record(trace_file, [app.program])
    app.hide()
    words = [traces.heapsake_binary(), "symbolize", "--debug-dir", app.debug_now.parent, trace_file]
    for _ in range(10):
        both = [running.start(words) for _ in range(2)]
        done = [running.finish(process) for process in both]
        assert {one.status for one in done} <= {0, 3} and any(one.status == 0 for one in done), done
        check_named(trace_file)
    traces.Trace(trace_file).whole()


# ---- servers ----

class Server:
    """What a debuginfod server answers, from this machine alone."""

    def __init__(self, files):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                if self.path not in files:
                    self.send_error(404)
                    return
                data = files[self.path].read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def served(tmp_path):
    """served({path: file}) is a server, and the environment in which it is asked."""
    servers = []

    def go(files):
        servers.append(Server(files))
        environment = running.clean_environment(
            DEBUGINFOD_URLS=servers[-1].url, DEBUGINFOD_CACHE_PATH=tmp_path / f"cache{len(servers)}",
            DEBUGINFOD_TIMEOUT=20, no_proxy="127.0.0.1", http_proxy=None, HOME=tmp_path)
        return servers[-1], environment
    yield go
    for one in servers:
        one.server.shutdown()
        one.server.server_close()


def ask_servers(path, environment, *options):
    done = traces.heapsake("symbolize", "--json", "--debuginfod", *options, path, env=environment)
    if done.status == 3 and ("libdebuginfod" in done.err or "was built with" in done.err):
        pytest.skip("libdebuginfod is not installed")
    assert done.status == 0, f"{done}"
    return json.loads(done.out)


@pytest.mark.parametrize("kind", ["debuginfo", "executable"])
def test_debuginfod(stripped, nameless, served, kind):
    """Asked with the option alone; the executable, where nobody has debug information, is better than nothing."""
    file = stripped.debug_now if kind == "debuginfo" else stripped.whole_now
    server, environment = served({f"/buildid/{stripped.build_id}/{kind}": file})
    before = nameless.read_bytes()
    assert symbolize(nameless, env=environment)["written"] is None
    assert not server.asked and nameless.read_bytes() == before
    module = module_of(ask_servers(nameless, environment))
    assert module["fetched"] and module["source"]
    assert f"/buildid/{stripped.build_id}/{kind}" in server.asked
    check_named(nameless)


def test_debuginfod_lies(stripped, nameless, target, served, tmp_path):
    """The file of another build from a server is not used either; nor is what is no file at all."""
    other = Stripped(target(SOURCE.name, "-DBLOCKS=101"), tmp_path / "other")
    for file in (other.whole, SOURCE):
        server, environment = served({f"/buildid/{stripped.build_id}/{kind}": file for kind in
                                      ("debuginfo", "executable")})
        before = nameless.read_bytes()
        module = module_of(ask_servers(nameless, environment))
        assert server.asked and module["improved"] == 0 and module["source"] is None
        assert nameless.read_bytes() == before


def test_debuginfod_has_not(stripped, nameless, served):
    server, environment = served({})
    module = module_of(ask_servers(nameless, environment))
    assert server.asked and "nor has a server it" in module["missing"]
    environment["DEBUGINFOD_URLS"] = "http://127.0.0.1:1"
    environment["DEBUGINFOD_CACHE_PATH"] += "-none"
    assert "no server could be asked" in module_of(ask_servers(nameless, environment))["missing"]


# ---- what reports say ----

def test_summary_names_the_command(stripped, nameless):
    def spots():
        return [text for text in traces.Trace(nameless).summary["blind_spots"] if "heapsake symbolize" in text]
    assert len(spots()) == 1
    lacking = int(spots()[0].split()[0])
    said = symbolize(nameless)["totals"]
    assert lacking == said["frames"] - said["functions"] > 0
    symbolize(nameless, "--debug-dir", stripped.debug_now.parent)
    left = symbolize(nameless)["totals"]
    assert [int(text.split()[0]) for text in spots()] == [left["frames"] - left["functions"]][:len(spots())]
