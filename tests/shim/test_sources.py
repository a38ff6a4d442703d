"""Rules about the sources that a compiler does not check."""

import re
import subprocess

import pytest

from support.building import ROOT

QUOTED = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
ANGLED = re.compile(r"^\s*#\s*include\s*<([^>]+)>", re.M)


def sources(folder):
    return sorted(path for path in (ROOT / folder).rglob("*.[ch]"))


def resolved(path, name, roots):
    for base in (path.parent, *(ROOT / root for root in roots)):
        found = (base / name).resolve()
        if found.exists():
            return found
    return None


@pytest.mark.parametrize("folder", ["preload", "analyzer"])
def test_include_boundary(folder):
    """preload and analyzer include themselves and include/, never each other."""
    files = sources(folder)
    assert len(files) > 5
    for path in files:
        for name in QUOTED.findall(path.read_text()):
            found = resolved(path, name, (folder, "include"))
            assert found, f"{path.relative_to(ROOT)} includes {name}: not found in {folder}/ or include/"
            top = found.relative_to(ROOT).parts[0]
            assert top in (folder, "include"), f"{path.relative_to(ROOT)} includes {name} of {top}/"


def test_include_folder_stands_alone():
    for path in sources("include"):
        for name in QUOTED.findall(path.read_text()):
            found = resolved(path, name, ("include",))
            assert found and found.relative_to(ROOT).parts[0] == "include", f"{path.relative_to(ROOT)}: {name}"


# docs/ARCHITECTURE.md, "Who may include whom".
ANALYZER_FOLDERS = {
    "base": {"base"},
    "symbols": {"base", "symbols"},
    "record": {"base", "symbols", "record", "trace/chunk_pack.h", "command.h"},
    "amend": {"base", "symbols", "trace", "amend"},
    "trace": {"base", "trace"},
    "model": {"base", "trace", "symbols", "model"},
    "report": {"base", "trace", "symbols", "amend", "model", "report", "command.h", "options.h"},
}
# Files that may include more than their folder: they say something to people.
ANALYZER_FILES = {
    r"record/(closing|cmd_\w+|preflight_\w+)\.c": {"report/out_text.h", "report/out_json.h"},
    r"record/watch_spec\.c": {"report/leak_subject.h"},
    r"(trace|amend)/cmd_\w+\.c": ANALYZER_FOLDERS["report"],
}


@pytest.mark.parametrize("folder", sorted(ANALYZER_FOLDERS))
def test_analyzer_folders(folder):
    for path in sources(f"analyzer/{folder}"):
        allowed = ANALYZER_FOLDERS[folder].union(
            *(more for which, more in ANALYZER_FILES.items() if re.fullmatch(which, f"{folder}/{path.name}")))
        for name in QUOTED.findall(path.read_text()):
            found = resolved(path, name, ("analyzer", "include")).relative_to(ROOT)
            if found.parts[0] == "include":
                assert folder != "base" or found.name == "compiler.h", f"{path.relative_to(ROOT)} includes {name}"
                continue
            inside = found.relative_to("analyzer")
            assert inside.parts[0] in allowed or str(inside) in allowed, f"{path.relative_to(ROOT)} includes {name}"


def test_preload_knows_no_library():
    """Only libc's headers: whatever else the analyzer uses is none of the preload's."""
    foreign = ("zstd", "jansson", "elfutils/", "libelf", "gelf", "dwarf", "libunwind", "demangle", "zlib", "Python.h",
               "cmocka")
    for path in sources("preload"):
        for name in ANGLED.findall(path.read_text()):
            assert not name.startswith(foreign), f"{path.relative_to(ROOT)} includes <{name}>"


def tracked():
    done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True)
    if done.returncode:
        pytest.skip("not a git checkout: the list of the project's files is unknown")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_places_of_one_machine():
    """No path of somebody's machine, and no host of a package mirror, in any file of the project."""
    pattern = re.compile(rb"(?<![\w.$}])/(?:" + b"|".join((b"wor" + b"k", b"roo" + b"t", b"home/[a-z]", b"Users")) + rb")/")
    for path in tracked():
        if path.suffix in (".hsk", ".png"):
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            assert not pattern.search(line), f"{path.relative_to(ROOT)}:{number}: {line[:200]!r}"


def test_shell_scripts_parse():
    scripts = [path for path in tracked() if path.read_bytes()[:64].split(b"\n")[0] in (b"#!/bin/sh", b"#!/bin/bash")]
    assert len(scripts) >= 2
    for path in scripts:
        shell = path.read_bytes().split(b"\n")[0][2:].decode()
        subprocess.run([shell, "-n", path], check=True)
