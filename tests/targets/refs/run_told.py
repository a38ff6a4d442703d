"""Runs the extension told (or the one named) and prints what it knows of its own counting, as JSON."""

import importlib
import json
import sys

told = importlib.import_module(sys.argv[1] if len(sys.argv) > 1 else "told")


class Item:
    pass


item = Item()
first = told.run(item)
again = told.run(item)
assert told.none() is None and told.yes() is True and told.no() is False
assert told.not_implemented() is NotImplemented
assert told.broken() == 5
assert told.less(4) is True and told.less(6) is False
left = sys.getrefcount(item)
more = told.cpp(item) if hasattr(told, "cpp") else []
print(json.dumps({"first": first, "again": again, "facts": told.facts(), "returns": told.returns(), "left": left,
                  "more": more}))
