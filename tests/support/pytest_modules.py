"""pytest for interpreters that have none: that of the interpreter which runs these tests, which is pure Python."""

import importlib.util
from pathlib import Path

from . import building

# Its own modules and those that it imports; which ones there are depends on its version.
_MODULES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "attr", "attrs", "py")


def environment(python, folder, plugin=False):
    """
    The variables with which `python -m pytest` works; with `plugin`, --heapsake too. Where pytest is not installed its
    modules are linked into folder/site-packages, since a whole folder of another version's packages would bring too much.
    """
    paths, more = [], {}
    if plugin:
        paths.append(building.ROOT / "python")
        more["PYTEST_PLUGINS"] = "pytest_heapsake.plugin"
    if not python.has("pytest"):
        paths.append(_linked(Path(folder) / "site-packages"))
        more["PYTHONWARNINGS"] = "ignore::DeprecationWarning"  # an old pytest uses what a new interpreter deprecates
    if paths:
        more["PYTHONPATH"] = ":".join(map(str, paths))
    return more


def _linked(packages):
    packages.mkdir()
    for name in _MODULES:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            origin = Path(spec.origin)
            origin = origin.parent if origin.name == "__init__.py" else origin
            (packages / origin.name).symlink_to(origin)
    return packages
