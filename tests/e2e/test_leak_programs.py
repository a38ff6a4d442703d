"""The programs of tests/targets/leaks, untraced: what they say of themselves is so."""

import json

import pytest

from support import leak_programs, running

# Runs a program in __main__, then counts the instances of each type, once as they are and once collected.
COUNT = """
import sys
del sys.argv[0]
sys.path[0] = sys.argv[0].rpartition("/")[0]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
def instances():
    import collections, gc
    types = [type(one) for one in gc.get_objects()]
    return collections.Counter(f"{one.__module__}.{one.__qualname__}".removeprefix("builtins.") for one in types)
import gc, json
gc.unfreeze()
before = instances()
gc.collect()
print(json.dumps([before, instances()]))
"""


@pytest.mark.parametrize("case", leak_programs.cases(), ids=lambda case: case.name)
def test_truth(case):
    environment = leak_programs.environment_of(case)
    done = running.run([case.python.path, "-c", COUNT, *case.argv[1:]], env=environment).ok()
    assert done.err == ""
    truth, (before, after) = map(json.loads, done.out.splitlines())
    if truth["cause"] is None:
        # Nothing but what is in use, or in a pool that has a limit.
        assert all(count <= 250 for name, count in after.items() if name.startswith(("__main__.", "leaky."))), after
    elif truth["cause"] != "fragmentation" and "." in (truth["type"] or ""):
        assert before[truth["type"]] == truth["count"], (truth, before)
