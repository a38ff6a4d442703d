"""Compiling targets: once per source, flags and compiler, shared by all test processes."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
TARGETS = TESTS / "targets"

COMMON = ("-D_GNU_SOURCE", "-g", "-O1", "-fno-omit-frame-pointer", "-fno-builtin", "-Wall", "-Wextra",
          "-Wno-use-after-free", "-pthread")


def build_folder():
    return (ROOT / os.environ.get("HEAPSAKE_BUILD", "build")).resolve()


class CannotBuild(Exception):
    pass


def compiled(source, *flags, name=None, compiler=None, folder=None):
    """
    The executable (or, with -shared, the library) of tests/targets/<source>. Flags come behind the source,
    so -l works. Raises CannotBuild with the compiler's words.
    """
    path = TARGETS / source
    compiler = compiler or ("g++" if path.suffix == ".cpp" else "gcc")
    if not shutil.which(compiler):
        raise CannotBuild(f"{compiler} is not installed")
    words = [compiler, "-std=gnu++17" if path.suffix == ".cpp" else "-std=gnu17", *COMMON]
    if "-shared" in flags:
        words.append("-fPIC")
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    key = hashlib.sha256()
    headers = [TARGETS / "truth.h", *sorted((ROOT / "include/heapsake").glob("*.h"))]
    for part in (path.read_bytes(), *(one.read_bytes() for one in headers), repr((words, flags)).encode(), version):
        key.update(part)
    into = (folder or build_folder() / "test-targets") / key.hexdigest()[:16]
    product = into / (name or path.stem)
    into.mkdir(parents=True, exist_ok=True)
    with open(into / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not product.exists():
            unfinished = product.with_suffix(".unfinished")
            done = subprocess.run([*words, "-o", unfinished, path, *flags], capture_output=True, text=True)
            if done.returncode:
                raise CannotBuild(done.stderr)
            unfinished.rename(product)
    return product


def extension(source, python, *flags):
    """
    The extension module made of tests/targets/<source> for an interpreter (support.interpreters), alone in its folder.
    Raises CannotBuild when there are no headers for it.
    """
    include = python.include_folder
    if not include:
        raise CannotBuild(f"Python.h of {python.name} is not installed")
    return compiled(source, "-shared", f"-I{include}", "-Wno-cast-function-type", *flags, name=Path(source).stem + ".so")
