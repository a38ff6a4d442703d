"""A memory cgroup of our own, inside the one that we are in."""

import contextlib
import os
from pathlib import Path

from . import running


class NoCgroup(Exception):
    """None can be made here, and why."""


def _mounts():
    """(type, options, folder) of each mount."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ")[:3]
        yield kind, options.split(","), before.split(" ")[3:5]


def _own_folder():
    """The folder of our own memory cgroup, and whether it is of version 1."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    version_1 = [path for _, controllers, path in lines if "memory" in controllers.split(",")]
    version_2 = [path for _, controllers, path in lines if not controllers]
    for kind, options, (root, folder) in _mounts():
        if (kind == "cgroup" and "memory" in options and version_1) or \
                (kind == "cgroup2" and version_2 and not version_1):
            path = (version_1 or version_2)[0]
            root = "" if root == "/" else root
            if not path.startswith(root) or "/.." in path:
                continue
            return Path(folder, path[len(root):].lstrip("/")), kind == "cgroup"
    raise NoCgroup("the memory controller is not mounted")


@contextlib.contextmanager
def memory_cgroup(name, limit):
    """
    A cgroup with that limit in bytes, without swap; gives the words that begin a command in it. It goes when everything
    in it has ended.
    """
    own, first_version = _own_folder()
    folder = own / f"heapsake-test-{os.getpid()}-{name}"
    try:
        if not first_version and "memory" not in (own / "cgroup.subtree_control").read_text().split():
            (own / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
    except OSError as trouble:
        raise NoCgroup(f"no cgroup can be made: {trouble}") from None
    try:
        try:
            (folder / ("memory.limit_in_bytes" if first_version else "memory.max")).write_text(str(limit))
            swap = folder / ("memory.memsw.limit_in_bytes" if first_version else "memory.swap.max")
            if swap.exists():
                swap.write_text(str(limit) if first_version else "0")
        except OSError as trouble:
            raise NoCgroup(f"the cgroup takes no limit: {trouble}") from None
        yield ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(folder / "cgroup.procs")]
    finally:
        running.until(lambda: _removed(folder), what="the end of everything in the cgroup")


def _removed(folder):
    try:
        folder.rmdir()
        return True
    except OSError:
        return False
