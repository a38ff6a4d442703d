"""Makes functions from source, runs them and forgets most: code objects whose addresses are used again and again."""

import gc
import json

kept, names = [], []
for number in range(3000):
    # the return stands on a line of its own, at a place that depends on the number
    source = f"def made_{number}():\n" + "".join("    pass\n" for _ in range(number % 5)) \
        + f"    return bytes({6000 + number})\n"
    space = {}
    exec(compile(source, f"<generated {number}>", "exec"), space)
    block = space[f"made_{number}"]()
    if number % 100 == 7:
        kept.append(block)
        names.append(f"made_{number}")
    space.clear()
    if number % 500 == 0:
        gc.collect()
print(json.dumps({"kept": names}))
