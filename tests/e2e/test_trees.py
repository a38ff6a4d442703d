"""Trees of real processes: each has a file that is whole, and `summary` of the first shows them all, under their parents."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from support import cgroups, running, traces
from support.building import TARGETS
from support.running import until

TREE = TARGETS / "py_tree.py"
MIB = 1 << 20


class Tree:
    """What `summary` says of all processes of a trace."""

    def __init__(self, trace):
        self.trace = trace
        self.processes = trace.summary["processes"]
        self.totals = trace.summary["process_totals"]
        self.by_pid = {process["pid"]: process for process in self.processes}
        assert len(self.by_pid) == len(self.processes), "two processes have one pid"
        self.root = self.processes[0]
        assert self.root["file"] == trace.path.name

    def parent(self, pid):
        return self.by_pid[pid]["parent_pid"]

    def exit(self, pid):
        exit = self.by_pid[pid]["exit"]
        return exit["status"], exit["signal"]

    def images(self):
        for process in self.processes:
            yield from process["images_before"]
            yield process

    def whole(self):
        """Every file is there, is shown once, ended properly and says what its row says; the sums are theirs."""
        named = [image["file"] for image in self.images()]
        there = [path.name for path in self.trace.path.parent.glob("*.hsk")]
        assert sorted(named) == sorted(there)
        for image in self.images():
            assert image["problem"] is None and image["complete"] is True, image
            trace = traces.Trace(self.trace.path.with_name(image["file"]), self.trace.made_by)
            trace.whole()
            own = trace.summary
            assert image["argv"] == own["process"]["argv"]
            assert image["exit"] == own["process"]["exit"]
            assert image["events"] == own["events"]["total"]
            for key in ("peak_bytes", "live_bytes", "live_blocks", "allocated_bytes"):
                assert image[key] == own["memory"][key], (key, image)
        for process in self.processes:
            for image in process["images_before"]:
                assert image["ended_by"] == "exec", image
            assert process["ended_by"] in ("exit", "signal"), process
            assert process is self.root or process["parent_file"] in [one["file"] for one in self.processes], process
        everything = list(self.images())
        totals = self.totals
        assert (totals["processes"], totals["traces"]) == (len(self.processes), len(everything))
        assert totals["missing"] == totals["unfinished"] == 0
        for key in ("allocations", "frees", "events", "allocated_bytes"):
            assert totals[key] == sum(image[key] for image in everything), key
        assert totals["live_bytes"] == sum(process["live_bytes"] for process in self.processes)
        assert totals["peak_bytes_at_most"] == sum(
            max(image["peak_bytes"] for image in [process, *process["images_before"]]) for process in self.processes)
        return self

    def text(self):
        return traces.heapsake("summary", self.trace.path).ok().out


def told(traced):
    """What the processes said of themselves, by name."""
    lines = [json.loads(line) for line in traced.out.splitlines()]
    named = {line["who"]: line for line in lines}
    assert len(named) == len(lines)
    return named


def tree_of(traced, status=0):
    assert traced.status == status, f"{traced.result}"
    return Tree(traced.trace).whole()


def test_pipeline(record, one_python):
    code = "kept = [bytes(2000) for _ in range(100)]; print(len(kept))"
    traced = record(["sh", "-c", '"$0" -c "$1" | cat; exit 3', one_python.path, code])
    tree = tree_of(traced, 3)
    assert traced.out == "100\n"
    assert len(tree.processes) == 3
    by_name = {process["argv"][-1]: process for process in tree.processes}
    python, cat = by_name[code], by_name["cat"]
    for process in (python, cat):
        assert process["parent_pid"] == tree.root["pid"]
        assert tree.exit(process["pid"]) == (0, None)
        assert all(image["argv"][0] == "sh" for image in process["images_before"])  # where the shell forks
    assert python["python_version"] and python["peak_bytes"] > 200_000
    assert tree.exit(tree.root["pid"]) == (3, None)
    # Children are told in the order in which they began.
    starts = [[*process["images_before"], process][0]["start_time"] for process in tree.processes[1:]]
    assert starts == sorted(starts)
    text = tree.text()
    assert "Processes\n" in text
    assert text.index(f"{python['pid']}   python") > text.index(f"{tree.root['pid']} sh")


def test_one_process_is_no_tree(record, target):
    traced = record([target("counts.c"), "malloc_keep", 10])
    assert "processes" not in traced.trace.summary and "process_totals" not in traced.trace.summary
    assert "Processes" not in traces.heapsake("summary", traced.trace.path).ok().out


def test_subprocess(record, one_python):
    code = ("import os, subprocess, sys\n"
            "inner = 'import os, sys; print(os.getpid(), os.getppid()); sys.exit(4)'\n"
            "done = subprocess.run([sys.executable, '-c', inner], stdout=subprocess.PIPE, text=True)\n"
            "print(os.getpid(), done.returncode, done.stdout)")
    traced = record([one_python.path, "-c", code])
    tree = tree_of(traced)
    parent, status, child, childs_parent = map(int, traced.out.split())
    assert status == 4 and childs_parent == parent == tree.root["pid"]
    assert set(tree.by_pid) == {parent, child}
    assert tree.parent(child) == parent and tree.exit(child) == (4, None)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(record, one_python, method):
    if not one_python.has("_multiprocessing"):
        pytest.skip("this interpreter has no multiprocessing")
    traced = record([one_python.path, TREE, "multiprocessing", method], timeout=120)
    named = told(traced)
    main = named.pop("main")
    assert main["exits"] == [0, 0, 0] and len(named) == 3
    # Servers and trackers of multiprocessing may end after the program.
    for child in traced.trace.children():
        traces.settled(child)
    tree = tree_of(traced)
    assert tree.root["pid"] == main["pid"]
    for line in named.values():
        assert tree.parent(line["pid"]) == line["parent"], line
        assert tree.exit(line["pid"]) == (0, None)
    if method == "forkserver":
        servers = {line["parent"] for line in named.values()}
        assert len(servers) == 1 and main["pid"] not in servers
        assert tree.parent(servers.pop()) == main["pid"]
    else:
        assert {line["parent"] for line in named.values()} == {main["pid"]}


def test_parents_that_end_at_once(record, one_python):
    """A child may be met when its parent's trace is finished already: it has its place all the same."""
    traced = record([one_python.path, TREE, "orphans", 20], timeout=120)
    named = told(traced)
    assert len(named) == 20
    for child in traced.trace.children():
        traces.settled(child)
    tree = tree_of(traced)
    assert len(tree.processes) == 1 + 2 * 20
    for line in named.values():
        assert tree.parent(line["pid"]) == line["parent"]
        assert tree.parent(line["parent"]) == tree.root["pid"]


def test_daemon_outlives_its_parent(trace_file, one_python, tmp_path, started):
    """While it lives it is in the tree as not finished, and afterwards like the others."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = started([*traces.command(trace_file), one_python.path, TREE, "daemon", fifo])
    writer = None
    try:
        done = running.finish(process, timeout=30)
        assert done.status == 0, f"{done}"
        named = {line["who"]: line for line in map(json.loads, done.out.splitlines())}
        daemon, between = named["daemon"]["pid"], named["between"]["pid"]

        def opened():
            try:
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return None
        writer = until(opened, what="the daemon's start")
        assert running.alive(daemon)
        trace = traces.settled(traces.Trace(trace_file))
        traces.settled(trace.child_of_pid(between))
        tree = Tree(trace)
        assert tree.by_pid[daemon]["complete"] is False and tree.by_pid[daemon]["peak_bytes"] is None
        assert tree.totals["unfinished"] == 1
        assert re.search(rf"{daemon} .*not finished", tree.text())
    finally:
        if writer is not None:
            os.close(writer)
    traces.settled(trace.child_of_pid(daemon))
    tree = Tree(traces.Trace(trace_file)).whole()
    assert set(tree.by_pid) == {tree.root["pid"], between, daemon}
    assert tree.parent(daemon) == between and tree.parent(between) == tree.root["pid"]
    assert tree.exit(daemon) == (3, None)


def test_workers_come_and_go(record, one_python):
    traced = record([one_python.path, TREE, "workers", one_python.path], timeout=120)
    named = told(traced)
    main = named.pop("main")
    assert main["exits"] == [-signal.SIGTERM, -signal.SIGKILL, -signal.SIGTERM, 5, 6]
    tree = tree_of(traced)
    assert set(tree.by_pid) == {main["pid"], *(line["pid"] for line in named.values())}
    expected = {"term 0": (None, 15), "kill 1": (None, 9), "term 2": (None, 15), "exit 3": (5, None),
                "exec 4": (6, None)}
    for name, line in named.items():
        process = tree.by_pid[line["pid"]]
        assert process["parent_pid"] == main["pid"]
        assert tree.exit(line["pid"]) == expected[name]
        assert process["exit"]["out_of_memory"] is False
        assert len(process["images_before"]) == (name == "exec 4"), process
    before = tree.by_pid[named["exec 4"]["pid"]]["images_before"][0]
    assert before["argv"][1:] == [str(TREE), "workers", one_python.path] and before["live_bytes"] >= 100 * 4000
    assert "out of memory" not in tree.text()


def test_images_of_the_first_process(record, one_python):
    traced = record(["env", "sh", "-c", 'true; exec "$0" -c "import os; os._exit(7)"', one_python.path])
    tree = tree_of(traced, 7)
    assert [image["argv"][0] for image in tree.root["images_before"]] == ["env", "sh"]
    for process in tree.processes[1:]:
        assert process["parent_pid"] == tree.root["pid"]


def test_an_untraced_one_between(record, one_python):
    """--children=python: the parent is the nearest ancestor that is traced."""
    code = "import subprocess, sys; subprocess.run(['sh', '-c', '\"$0\" -c 1; true', sys.executable])"
    traced = record([one_python.path, "-c", code], "--children=python")
    tree = tree_of(traced)
    assert len(tree.processes) == 2
    assert tree.processes[1]["parent_file"] == tree.root["file"]


def test_many(record, one_python):
    """The text shows the first ones, JSON all."""
    traced = record([one_python.path, TREE, "many", 80], "--no-snapshot", timeout=120)
    assert traced.status == 0, f"{traced.result}"
    tree = Tree(traced.trace)
    assert len(tree.processes) == 81 and tree.totals["missing"] == 0
    rows = re.findall(r"^ +\d+ +python.*\.hsk$", tree.text(), re.M)
    more = re.search(r"^  and (\d+) more \(--json has all\)$", tree.text(), re.M)
    assert len(rows) + int(more.group(1)) == 81 and len(rows) >= 20


def test_missing_and_strange_files(record, one_python):
    """The tree says what it cannot read, and is no less of a summary for it."""
    traced = record([one_python.path, TREE, "workers", one_python.path], timeout=120)
    named = told(traced)
    tree = tree_of(traced)
    files = {name: traced.trace.path.with_name(tree.by_pid[line["pid"]]["file"]) for name, line in named.items()}
    files["term 0"].unlink()
    files["kill 1"].write_bytes(b"no trace at all")
    files["term 2"].unlink()
    os.mkfifo(files["term 2"])
    files["exit 3"].write_bytes(files["exit 3"].read_bytes()[:-100])
    again = traces.record(traced.trace.path.with_name("other.hsk"), ["true"])
    os.replace(again.trace.path, files["exec 4"])
    files["exec 4"].with_suffix(".0.hsk").unlink()
    tree = Tree(traces.Trace(traced.trace.path))
    problems = {name: tree.by_pid[named[name]["pid"]]["problem"] for name in files if name != "exec 4"}
    assert problems == {"main": None, "term 0": "missing", "kill 1": "unreadable", "term 2": "unreadable",
                        "exit 3": None}
    strange = [process for process in tree.processes if process["file"] == files["exec 4"].name]
    assert [process["problem"] for process in strange] == ["of another recording"]
    assert tree.by_pid[named["exit 3"]["pid"]]["complete"] is False
    assert tree.totals["missing"] == 4
    assert f"{files['term 0'].name}: missing" in tree.text()


def test_another_run_into_the_same_folder(record, one_python, trace_file):
    """Children that an earlier recording has left under the same name are not this one's."""
    first = record([one_python.path, TREE, "many", 3])
    second = record([one_python.path, TREE, "many", 2], "--force")
    assert first.status == second.status == 0
    assert len(list(trace_file.parent.iterdir())) == 6
    assert len(Tree(second.trace).processes) == 3


APPLICATION = """
import os

kept = []


def application(environ, start_response):
    kept.append(bytes(10_000))
    body = f"{os.getpid()} {os.getppid()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
REQUESTS, REQUESTS_OF_A_WORKER = 24, 5


def test_gunicorn(started, one_python, trace_file, tmp_path):
    """Two workers that are replaced after some requests; none is lost, and each has its file."""
    if not one_python.has("gunicorn"):
        pytest.skip("gunicorn is not installed for this interpreter")
    (tmp_path / "served.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = started([*traces.command(trace_file), one_python.path, "-m", "gunicorn.app.wsgiapp", "--workers", "2",
                           "--max-requests", str(REQUESTS_OF_A_WORKER), "--graceful-timeout", "30",
                           "--worker-tmp-dir", tmp_path, "--bind", f"fd://{listening.fileno()}", "served:application"],
                          cwd=tmp_path, pass_fds=[listening.fileno()], stdout=subprocess.DEVNULL,
                          stderr=open(tmp_path / "log", "wb"))
        workers, masters = set(), set()
        for _ in range(REQUESTS):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.status == 200
            worker, master = map(int, answer.read().split())
            workers.add(worker)
            masters.add(master)
            connection.close()
    assert len(masters) == 1 and len(workers) >= REQUESTS // REQUESTS_OF_A_WORKER
    master = masters.pop()
    os.kill(master, signal.SIGTERM)
    done = running.finish(process)
    said = (tmp_path / "log").read_text()
    assert done.status == 0, said
    tree = Tree(traces.Trace(trace_file, said)).whole()
    assert tree.root["pid"] == master
    assert workers < set(tree.by_pid)
    for pid in workers:
        assert tree.parent(pid) == master
        # Who is on the way out by itself when the master says SIGTERM has no handler for it any more.
        assert tree.exit(pid) in ((0, None), (None, signal.SIGTERM))
        assert tree.by_pid[pid]["live_bytes"] >= 10_000


@pytest.mark.parametrize("witness", ["counter and log", "counter"])
def test_out_of_memory(trace_file, one_python, witness, needs_root):
    """In a cgroup with a limit: the child that takes too much is named, the one that a person killed is not."""
    less = []
    if witness == "counter":  # where the log may be read by those alone who have the right
        less = ["setpriv", "--bounding-set", "-syslog,-sys_admin", "--inh-caps", "-syslog,-sys_admin"]
        if running.run([*less, "true"]).status:
            pytest.skip("setpriv cannot drop rights here")
    try:
        with cgroups.memory_cgroup(witness[-3:], 128 * MIB) as inside:
            traced = running.run([*inside, *less, *traces.command(trace_file), one_python.path, TREE, "eat", "1000"])
    except cgroups.NoCgroup as trouble:
        pytest.skip(str(trouble))
    done = traces.Traced(traced, trace_file)
    named = told(done)
    assert named["main"]["exits"] == [-signal.SIGKILL, -signal.SIGKILL], f"{traced}"
    tree = tree_of(done)
    eater, killed = (tree.by_pid[named[who]["pid"]] for who in ("eater", "killed"))
    assert eater["exit"] == {"status": None, "signal": 9, "out_of_memory": True, "memory_limit": 128 * MIB}
    assert killed["exit"] == {"status": None, "signal": 9, "out_of_memory": False, "memory_limit": None}
    assert eater["peak_bytes"] > 64 * MIB
    assert re.search(rf"{eater['pid']} .* out of memory ", tree.text())
    own = traces.heapsake("summary", trace_file.with_name(eater["file"])).ok().out
    assert "killed by the kernel for lack of memory (cgroup limit 128 MiB)" in own


def test_the_program_itself_is_out_of_memory(trace_file, one_python, needs_root):
    """The exit status, the closing screen and the trace all say so; the recorder is still there to write it."""
    try:
        with cgroups.memory_cgroup("self", 128 * MIB) as inside:
            done = running.run([*inside, *traces.command(trace_file), one_python.path, "-c",
                                "kept = [b'x' * (1 << 20) for _ in range(1000)]"])
    except cgroups.NoCgroup as trouble:
        pytest.skip(str(trouble))
    assert done.status == 128 + signal.SIGKILL, f"{done}"
    assert "killed by the kernel for lack of memory (cgroup limit 128 MiB)" in done.err
    trace = traces.Trace(trace_file, done).whole()
    assert trace.summary["process"]["exit"] == {"status": None, "signal": 9, "out_of_memory": True,
                                                "memory_limit": 128 * MIB}
