"""
Objects of a program that is attached to while it runs. Each line on standard input is a question, answered by one JSON line:

  where     {"item": ADDRESS, "true": ADDRESS of an object that lives for ever (from 3.12 on)}
  change N  {"count": of the item}: four threads, which have been there from the start, take and drop N references each
  make N    {"made": N}: makes and drops N more items
  leak N    {"culprit": NAME}: hands N more entries to a function of an extension (refbugs.c) that fails, and forgets them
  drop      {"dropped": 1}: the last reference to the item goes
  end       {"count": of the item, 0: it has gone}, and it ends
"""
import ctypes
import json
import os
import queue
import sys
import threading

THREADS = 4
count_type = ctypes.c_uint32 if sys.version_info >= (3, 12) else ctypes.c_uint64


class Item:
    pass


ITEMS = [Item()]
tasks, done = queue.Queue(), queue.Queue()


def take_and_drop(rounds):
    held = []
    for number in range(rounds):
        held.append(ITEMS[0])
        if number % 3:
            held.pop()
    held.clear()


def work():
    while True:
        take_and_drop(tasks.get())
        done.put(1)


def make(rounds):
    for _ in range(rounds):
        made = Item()
        del made
    return {"made": rounds}


class Entry:
    pass


def leak(rounds):
    import refbugs
    for _ in range(rounds):
        try:
            refbugs.error_path(Entry(), True)
        except Exception:
            pass
    return {"culprit": "refbugs_error_path"}


def count():
    return count_type.from_address(id(ITEMS[0])).value if ITEMS else 0


def main():
    for _ in range(THREADS):
        threading.Thread(target=work, daemon=True).start()
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "where":
            said = {"item": hex(id(ITEMS[0])), "true": hex(id(True))}
        elif words[0] == "change":
            for _ in range(THREADS):
                tasks.put(int(words[1]))
            for _ in range(THREADS):
                done.get()
            said = {"count": count()}
        elif words[0] == "make":
            said = make(int(words[1]))
        elif words[0] == "leak":
            said = leak(int(words[1]))
        elif words[0] == "drop":
            ITEMS.clear()
            said = {"dropped": 1}
        else:
            print(json.dumps({"count": count()}), flush=True)
            return
        print(json.dumps(said), flush=True)


main()
