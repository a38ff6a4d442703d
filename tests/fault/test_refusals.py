"""What cannot be traced, and where no trace can be written: said in one line, and the program runs wherever it can."""

import os
import resource
import shlex

import pytest

from support import running, traces


def own_lines(text):
    return [line for line in text.splitlines() if line.startswith("heapsake: ")]


def test_existing_file(target, trace_file):
    trace_file.write_text("precious")
    done = running.run([*traces.command(trace_file), target("counts.c"), "malloc_free", "10"])
    assert trace_file.read_text() == "precious"
    assert len(own_lines(done.err)) == 1 and "--force" in done.err, f"{done}"
    assert done.status in (0, 2, 3)
    forced = traces.record(trace_file, [target("counts.c"), "malloc_free", "10"], "--force")
    forced.result.ok()
    forced.trace.whole()


def test_existing_trace_is_not_spoiled(target, trace_file):
    first = traces.record(trace_file, [target("counts.c"), "malloc_keep", "10"])
    before = trace_file.read_bytes()
    traces.record(trace_file, [target("counts.c"), "malloc_keep", "20"])
    assert trace_file.read_bytes() == before
    assert first.trace.live_of("malloc_keep")[0] == 10


@pytest.mark.parametrize("force", [False, True])
def test_symbolic_link(target, trace_file, tmp_path, force):
    """Never through a symlink, dangling or not, with --force or without."""
    for name, content in (("dangling", None), ("existing", "precious")):
        aim = tmp_path / name
        if content:
            aim.write_text(content)
        link = trace_file.with_name(f"{name}.hsk")
        link.symlink_to(aim)
        done = running.run([*traces.command(link, *(["--force"] if force else [])), target("counts.c"), "malloc_free",
                            "10"])
        assert done.status in (0, 2, 3)
        assert (aim.read_text() if content else not aim.exists()) == (content or True)
        if not force:
            assert link.is_symlink() and len(own_lines(done.err)) == 1, f"{done}"


def test_folder_as_output(target, tmp_path):
    done = running.run([*traces.command(tmp_path), target("counts.c"), "malloc_free", "10"])
    assert len(own_lines(done.err)) == 1 and done.status in (0, 2, 3), f"{done}"
    assert len(done.err.splitlines()) == 1


def test_folder_that_is_not_there(target, tmp_path):
    done = running.run([*traces.command(tmp_path / "no" / "t.hsk"), target("counts.c"), "malloc_free", "10"])
    assert len(own_lines(done.err)) == 1 and done.status in (0, 2, 3), f"{done}"


def test_no_permission(open_folder, as_nobody):
    """A folder without write permission: one line; the program runs untraced, with its own status and output."""
    closed = open_folder / "closed"
    closed.mkdir(mode=0o555)
    words = [open_folder / "build/analyzer/heapsake", "run", "-o", closed / "t.hsk", "--", open_folder / "program"]
    done = running.run(as_nobody([*words, "malloc_keep", "10"]), cwd="/")
    assert len(own_lines(done.err)) == 1 and "t.hsk" in done.err, f"{done}"
    assert done.status == 0 and '"allocations": 10' in done.out, f"{done}"
    assert list(closed.iterdir()) == []


def test_as_another_user(open_folder, as_nobody):
    """Without any right but to its own folder, tracing works."""
    mine = open_folder / "mine"
    mine.mkdir()
    mine.chmod(0o777)
    words = [open_folder / "build/analyzer/heapsake", "run", "-o", mine / "t.hsk", "--", open_folder / "program"]
    done = running.run(as_nobody([*words, "malloc_keep", "10"]), cwd="/")
    done.ok()
    summary = running.run(as_nobody([open_folder / "build/analyzer/heapsake", "summary", "--json", mine / "t.hsk"]),
                          cwd="/").ok()
    assert '"complete": true' in summary.out


def test_static_executable(target, trace_file):
    """Nothing can be preloaded into it: said before it runs, and it runs."""
    program = target("counts.c", "-static")
    plain = running.run([program, "malloc_keep", "10"]).ok()
    done = running.run([*traces.command(trace_file), program, "malloc_keep", "10"])
    assert done.status == 0 and done.out == plain.out, f"{done}"
    assert len(own_lines(done.err)) == 1 and "static" in done.err, f"{done}"


def test_static_child(target, record):
    """A static program among the children of a traced one runs as ever."""
    program = target("counts.c", "-static")
    traced = record(["sh", "-c", '"$0" malloc_keep 10; echo then $?', program])
    assert traced.status == 0 and traced.out.endswith("then 0\n")
    traced.trace.whole()


def test_static_image_in_the_end(target, record):
    """A shell that execs a static program: the shell's trace is whole, the program ran."""
    program = target("counts.c", "-static")
    traced = record(["sh", "-c", 'exec "$0" malloc_keep 10', program])
    assert traced.status == 0 and '"allocations": 10' in traced.out


def test_set_uid_program(open_folder, as_nobody, needs_root):
    """The loader preloads nothing into it: one line, and it runs."""
    program = open_folder / "program"
    program.chmod(0o4755)
    if running.run(as_nobody(["sh", "-c", f'test -u "{program}"'])).status:
        pytest.skip("set-uid bits do not hold here")
    mine = open_folder / "mine"
    mine.mkdir()
    mine.chmod(0o777)
    words = [open_folder / "build/analyzer/heapsake", "run", "-o", mine / "t.hsk", "--", program]
    done = running.run(as_nobody([*words, "malloc_keep", "10"]), cwd="/")
    assert done.status == 0 and '"allocations": 10' in done.out, f"{done}"
    assert len(own_lines(done.err)) == 1 and "set-user" in done.err.lower().replace("setuid", "set-user").replace(
        "set-uid", "set-user"), f"{done}"


def test_not_executable(trace_file, tmp_path):
    path = tmp_path / "plain"
    path.write_text("no program")
    done = running.run([*traces.command(trace_file), path])
    assert done.status in (2, 3, 126) and len(done.err.splitlines()) == 1, f"{done}"


def test_script_whose_interpreter_is_missing(trace_file, tmp_path):
    """The kernel's ENOENT would speak of the script, which is there."""
    path = tmp_path / "script"
    path.write_text("#!/no/such/interpreter -x\n")
    path.chmod(0o755)
    done = running.run([*traces.command(trace_file), path])
    assert done.status == 2 and len(done.err.splitlines()) == 1 and "/no/such/interpreter" in done.err, f"{done}"
    assert not trace_file.exists()


def test_script_without_interpreter_line(trace_file, tmp_path):
    """As a shell's execvp has it: run by sh."""
    path = tmp_path / "script"
    path.write_text("echo ran as a script\n")
    path.chmod(0o755)
    done = running.run([*traces.command(trace_file), path])
    assert done.out == "ran as a script\n" or (done.status in (2, 3, 126) and len(done.err.splitlines()) == 1), f"{done}"


def test_library_is_missing(open_folder):
    """heapsake without its library: one line, and the program runs."""
    (open_folder / "build/preload/libheapsake.so").unlink()
    words = [open_folder / "build/analyzer/heapsake", "run", "-o", open_folder / "t.hsk", "--", open_folder / "program"]
    done = running.run([*words, "malloc_keep", "10"], cwd=open_folder)
    assert len(own_lines(done.err)) == 1 and "libheapsake.so" in done.err, f"{done}"
    assert done.status in (0, 3)


@pytest.mark.parametrize("output", ["-", ""])
def test_output_that_is_no_file(target, tmp_path, output):
    """Standard output is the program's."""
    done = running.run([*traces.command(output), target("counts.c"), "malloc_free", "10"], cwd=tmp_path)
    assert done.status == traces.EXIT_USAGE and len(done.err.splitlines()) == 1, f"{done}"
    assert done.out == "" and not list(tmp_path.iterdir())


@pytest.mark.parametrize("descriptors", range(4, 17))
def test_few_descriptors(trace_file, descriptors):
    """However few there are, the program runs, and says what it has to say."""
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    words = [*traces.command(trace_file), "sh", "-c", "echo ran; exit 7"]
    done = running.run(words, preexec_fn=limit, timeout=20)
    assert done.status == 7 and done.out == "ran\n", f"{done}"
    if trace_file.exists():
        traces.Trace(trace_file).whole()
    else:
        assert own_lines(done.err), f"{done}"


def test_chosen_library_is_missing(target, trace_file):
    """The message names the file that HEAPSAKE_LIBRARY asks for, and the program runs."""
    done = running.run([*traces.command(trace_file), target("counts.c"), "malloc_keep", "10"],
                       env=running.clean_environment(HEAPSAKE_LIBRARY="/no/such/library.so"))
    assert len(own_lines(done.err)) == 1 and "/no/such/library.so" in done.err, f"{done}"
    assert done.status == 0 and '"allocations": 10' in done.out, f"{done}"


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"], ["manual", "run"]])
def test_help_that_cannot_be_written(words):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = running.run([traces.heapsake_binary(), *words], stdout=full)
    assert done.status == traces.EXIT_UNUSABLE and "No space left" in done.err, f"{done}"
    assert len(own_lines(done.err)) == 1, f"{done}"


def test_closing_line_is_for_a_shell(target, tmp_path):
    """The last line of the closing screen is a command line, whatever the file is called."""
    path = tmp_path / "it's a trace.hsk"
    traced = traces.record(path, [target("counts.c"), "malloc_keep", "10"])
    words = shlex.split(traced.err.splitlines()[-1])
    assert words == ["heapsake", "leaks", str(path)]


def test_preloaded_says_why(target, trace_file):
    """A bare LD_PRELOAD tells the recorder's own reason, not only that there is one."""
    words = [target("counts.c"), "malloc_keep", "10"]
    trace_file.write_text("precious")
    done = traces.preloaded(trace_file, words)
    assert done.status == 0 and '"allocations": 10' in done.out, f"{done}"
    assert len(done.err.splitlines()) == 1 and "exists already" in done.err, f"{done}"
    assert trace_file.read_text() == "precious"
    done = traces.preloaded(trace_file.with_name("other.hsk"), words, options="--native --no-such-option")
    assert len(done.err.splitlines()) == 1 and "--no-such-option" in done.err, f"{done}"


def test_preloaded_with_many_options(target, trace_file):
    """All words of HEAPSAKE_OPTIONS are heard, however many and wherever."""
    words = [target("counts.c"), "malloc_keep", "10"]
    many = "  --native " * 300 + " " * 5000
    done = traces.preloaded(trace_file, words, options=many + "--no-such-option" + " " * 5000)
    assert len(done.err.splitlines()) == 1 and "--no-such-option" in done.err, f"{done}"
    path = trace_file.with_name("o" * 200 + ".hsk")
    done = traces.preloaded(trace_file, words, options=f"{many}--output {path} {many}")
    assert done.status == 0 and done.err == "", f"{done}"
    assert traces.settled(traces.Trace(path)).live_of("malloc_keep")[0] == 10


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_preloaded_without_standard_streams(target, trace_file, closed):
    """The recorder's own descriptors do not get into the places of those that the program has closed."""
    program = target("counts.c")
    running.run(["sh", "-c", f'exec env LD_PRELOAD="$1" HEAPSAKE_OUTPUT="$2" "$0" malloc_keep 10 {closed}', program,
                 traces.preload_library(), trace_file])
    trace = traces.settled(traces.Trace(trace_file))
    assert trace.live_of("malloc_keep")[0] == 10


def test_names_taken_by_children(target, trace_file):
    """A child's name that exists already gets a suffix and stops nothing; foreign files stay as they are."""
    words = [*traces.command(trace_file), target("processes.c"), "fork_many", "5"]
    for number in range(2, 40000, 1):
        if number % 97 == 0:
            trace_file.with_name(f"t.{number}.hsk").write_text("foreign")
    done = running.run(words)
    assert done.status == 0, f"{done}"
    for path in trace_file.parent.glob("t.*.hsk"):
        number = int(path.name.split(".")[1])
        if number % 97 == 0 and path.name.count(".") == 2:
            assert path.read_text() == "foreign"


def test_umask_and_mode(target, trace_file):
    """Traces are 0600, whatever the umask."""
    old = os.umask(0)
    try:
        traces.record(trace_file, [target("processes.c"), "fork"]).result.ok()
    finally:
        os.umask(old)
    files = list(trace_file.parent.iterdir())
    assert len(files) == 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
