"""`interpreters.py N`: four interpreters, from 3.12 on with a GIL each, make N items each at the same time, and others."""
import json
import sys
import threading

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

CODE = """
class Item:
    pass
class Other:
    pass
for number in range(COUNT * 4):
    kind = Other if number % 4 else Item
    one = kind()
    again = one
    del one, again
"""


def use(count):
    own = interpreters.create()
    interpreters.run_string(own, CODE.replace("COUNT", str(count)))
    interpreters.destroy(own)


count = int(sys.argv[1])
threads = [threading.Thread(target=use, args=(count,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"born": 4 * count}), flush=True)
