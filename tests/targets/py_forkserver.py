"""
py_forkserver.py - its workers are forked by a server that runs before anybody attaches. Each line on standard input
starts one, which keeps COUNT objects and ends; the answer is a JSON line, {"worker": PID, "server": PID}.
"""

import json
import multiprocessing
import os
import sys

COUNT = 300
kept = []


class Kept:
    def __init__(self, number):
        self.text = f"kept {number}" * 5


def keep(answer):
    kept.extend(Kept(number) for number in range(COUNT))
    answer.send({"worker": os.getpid(), "server": os.getppid(), "kept": len(kept)})
    answer.recv()  # it lives until it is seen to


def one(context):
    here, there = context.Pipe()
    worker = context.Process(target=keep, args=(there,))
    worker.start()
    said = here.recv()
    here.send(None)
    worker.join()
    return said


if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    one(context)
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        print(json.dumps(one(context)), flush=True)
        if line == "end\n":
            break
