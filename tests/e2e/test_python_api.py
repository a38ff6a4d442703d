"""The Python module: watches that a program asks for itself, and nothing without a tracer."""

import json

from support import counts, running
from support.building import ROOT
from support.running import clean_environment

PROGRAM = """
import heapsake, json, sys
class Item: pass
item = Item()
said = [heapsake.tracing(), heapsake.watch(item)]
held = [item, item]
held.pop()
said += [heapsake.unwatch(item), heapsake.unwatch(item)]
try:
    said.append(heapsake.watch(None if sys.version_info >= (3, 12) else 1 << 70))
except OSError as error:
    said.append(error.errno)
print(json.dumps(said))
"""


def environment():
    return clean_environment(PYTHONPATH=ROOT / "python")


def test_untraced(python):
    said = json.loads(running.run([python.path, "-c", PROGRAM], env=environment()).ok().out)
    assert said == [False, False, False, False, False]


def test_traced(python, record):
    traced = record([python.path, "-c", PROGRAM], env=environment())
    said = traced.truth
    assert said[:4] == [True, True, True, False], said
    assert said[4] == (22 if python.version >= (3, 12) else True)
    watch = list(counts.watches(traced.trace).values())[0]
    assert watch.type == "__main__.Item" and sum(watch.deltas) == watch.last - watch.counts[0]
    # two into the list, one out again; what the calls themselves take they give back
    assert watch.last - watch.counts[0] == 1 and watch.reason == "asked"
