"""pytest for interpreters that have none: that of the interpreter which runs these tests, which is pure Python."""

import importlib.util
from pathlib import Path

# Its own modules and those that it imports; which ones there are depends on its version.
_MODULES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "attr", "attrs", "py")


def environment(python, folder):
    """
    The variables with which `python -m pytest` works: {} where it is installed. Else the modules are linked into
    folder/site-packages, since a whole folder of another version's packages would bring too much.
    """
    if python.has("pytest"):
        return {}
    packages = Path(folder) / "site-packages"
    packages.mkdir()
    for name in _MODULES:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            origin = Path(spec.origin)
            origin = origin.parent if origin.name == "__init__.py" else origin
            (packages / origin.name).symlink_to(origin)
    # an old pytest uses what a new interpreter deprecates
    return {"PYTHONPATH": str(packages), "PYTHONWARNINGS": "ignore::DeprecationWarning"}
