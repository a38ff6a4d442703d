"""
Runs until it is told to end, for programs that are attached to: py_attached.py [KIND]

KIND is what its main thread does between questions: "input" (waits for them), "busy" (computes), "select", "asyncio".
Each line on standard input is a question, answered by one JSON line:

  keep N    keeps N more objects of class Kept, and says {"kept": all of them}
  state     {"threads", "fds", "kept", "modules"}
  end       {"kept"}, and it ends
"""
import json
import os
import select
import sys
import time


class Before:
    pass


class Kept:
    def __init__(self, number):
        self.number = number
        self.payload = [number] * 3


OLD = [Before() for _ in range(500)]
KEPT = []


def keep(count):
    for _ in range(count):
        KEPT.append(Kept(len(KEPT)))
    return {"kept": len(KEPT)}


def state():
    return {"threads": len(os.listdir("/proc/self/task")), "fds": sorted(os.listdir("/proc/self/fd")),
            "kept": len(KEPT), "modules": len(sys.modules)}


def answer(line):
    words = line.split()
    if words[:1] == ["keep"]:
        said = keep(int(words[1]))
    elif words[:1] == ["state"]:
        said = state()
    else:
        print(json.dumps({"kept": len(KEPT)}), flush=True)
        return False
    print(json.dumps(said), flush=True)
    return True


def lines(wait):
    """Lines as they come; `wait` is called between looks."""
    pending = b""
    while True:
        while b"\n" not in pending:
            wait()
            if select.select([0], [], [], 0)[0]:
                more = os.read(0, 1000)
                if not more:
                    return
                pending += more
        line, _, pending = pending.partition(b"\n")
        yield line.decode()


def compute():
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        sum(range(100))


def main(kind):
    print(os.getpid(), flush=True)
    waits = {"busy": compute, "select": lambda: select.select([0], [], [], 5),
             "sleep": lambda: time.sleep(0.05)}
    if kind == "asyncio":
        import asyncio

        async def serve():
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            rest = [b""]

            def readable():
                more = os.read(0, 1000)
                rest[0] += more
                while b"\n" in rest[0]:
                    line, _, rest[0] = rest[0].partition(b"\n")
                    if not answer(line.decode()):
                        done.set_result(None)
                if not more and not done.done():
                    done.set_result(None)
            loop.add_reader(0, readable)
            await done
            loop.remove_reader(0)
        asyncio.run(serve())
        return
    for line in sys.stdin if kind == "input" else lines(waits[kind]):
        if not answer(line):
            return


main(sys.argv[1] if len(sys.argv) > 1 else "input")
