"""Traces that no program has left: what tests/unit/make_graph.h makes of a description."""

import subprocess

from .building import build_folder


def made(path, description):
    """The trace at `path`, of a description in bytes or as text, which stays beside it."""
    text = path.with_suffix(".text")
    text.write_bytes(description if isinstance(description, bytes) else description.encode())
    subprocess.run([build_folder() / "tests" / "make_graph", text, path], check=True)
    return path
