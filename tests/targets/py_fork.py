"""os.fork with and without threads; warnings are errors, so that a thread of somebody else's would be noticed."""

import os
import warnings

warnings.simplefilter("error")
inherited = [str(number) * 50 for number in range(2000)]
for number in range(5):
    pid = os.fork()
    if pid == 0:
        inherited.clear()
        mine = [bytes(500) for _ in range(500)]
        os._exit(len(mine) % 256 - number if len(mine) == 500 else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
reader, writer = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(reader)
    os.write(writer, b"from the child")
    raise SystemExit(9)
os.close(writer)
print(os.read(reader, 100), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
