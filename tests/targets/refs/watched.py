"""
Python programs whose objects are watched, and which know what their counts are. `watched.py MODE N` prints JSON.

    asked     N objects, four at a time: the program asks for the watches, four threads change the counts at random
    born      N objects of a class, one after the other, changed by four threads; all but the last three die
    sites     objects of one class are made on two lines and in two functions, N each
    lines     what a line of Python does to a count
    children  a forked child makes objects, too
    types     a forked child makes N types, and an object of each
    busy      one object changes N times
    revived   N objects whose finalizers bring them back, and as many that die
    mixed     N objects of a class among a hundred times as many of another one, all from one line
    rounds    N times two objects are born and die, after a pause
    cold      four objects are left alone for more than a second, then N others are born
"""

import ctypes
import json
import os
import queue
import random
import sys
import threading
import time

THREADS = 4
KEPT = 3
api = ctypes.pythonapi
api.heapsake_api_watch.argtypes = [ctypes.c_void_p, ctypes.c_uint]
api.heapsake_api_unwatch.argtypes = [ctypes.c_void_p]
count_type = ctypes.c_uint32 if sys.version_info >= (3, 12) else ctypes.c_uint64


def count_of(address):
    return count_type.from_address(address).value


class Item:
    def __init__(self, number=0):
        self.number = number


class Other:
    pass


class Phoenix(Item):
    again = []

    def __del__(self):
        if self.number % 2:
            self.again.append(self)


class Late(Item):
    pass


def change(item, seed, rounds):
    """Random changes of one count, which leave it as it was or a little higher: what stays is given back."""
    chance = random.Random(seed)
    held = []
    for _ in range(rounds):
        what = chance.randrange(5)
        if what == 0:
            held.append(item)
        elif what == 1 and held:
            held.pop(chance.randrange(len(held)))
        elif what == 2:
            held = list(held)
        elif what == 3:
            again = item
            del again
        else:
            held = {"a": item, "b": held}["b"]
    return held


class Workers:
    """Four threads that each do what they are told."""

    def __init__(self):
        self.orders = [queue.SimpleQueue() for _ in range(THREADS)]
        self.done = queue.SimpleQueue()
        self.threads = [threading.Thread(target=self.work, args=(orders,)) for orders in self.orders]
        for thread in self.threads:
            thread.start()

    def work(self, orders):
        while True:
            order = orders.get()
            if order is None:
                return
            item, seed = order
            held = change(item, seed, 6)
            del item, order
            self.done.put(held)
            del held

    def all_change(self, item, seed):
        for number, orders in enumerate(self.orders):
            orders.put((item, seed * THREADS + number))
        return [self.done.get() for _ in range(THREADS)]

    def end(self):
        for orders in self.orders:
            orders.put(None)
        for thread in self.threads:
            thread.join()


def asked(count):
    workers = Workers()
    truth = []
    for first in range(0, count, 4):
        items = [Item(first + i) for i in range(4)]
        codes = [api.heapsake_api_watch(id(item), 0) for item in items]
        held = [workers.all_change(item, first + i) for i, item in enumerate(items)]
        for item, code in zip(items, codes):
            address = id(item)
            before = count_of(address)
            code |= api.heapsake_api_unwatch(address)
            truth.append({"address": hex(address), "code": code, "final": before})
        del held, item
    workers.end()
    print(json.dumps({"objects": truth}), flush=True)


def born(count):
    workers = Workers()
    kept = []
    for number in range(count):
        item = Item(number)
        held = workers.all_change(item, number)
        if number >= count - KEPT:
            kept.append(item)
        del item
        del held
    workers.end()
    addresses = list(map(id, kept))
    print(json.dumps({"born": count, "kept": {hex(address): count_of(address) for address in addresses}}), flush=True)
    os._exit(0)


def touch(item):
    for _ in range(5):
        held = [item]
        del held


def revived(count):
    for number in range(2 * count):
        item = Phoenix(number)
        del item
    print(json.dumps({"revived": len(Phoenix.again)}), flush=True)


def mixed(count):
    for number in range(count * 100):
        kind = Other if number % 100 else Item
        one = kind(); del one
    print(json.dumps({"rare": count}), flush=True)


def rounds(count):
    """Two births in each, after a pause; before them what may be watched at once is used up."""
    for _ in range(400):
        touch(Item(0))
    for number in range(count):
        time.sleep(0.002)
        item = Item(number); touch(item); del item  # first
        item = Item(number); touch(item); del item  # second
    print(json.dumps({"rounds": count}), flush=True)


def here():
    return Item(1)


class Shop:
    def there(self):
        item = Item(2); return item


def sites(count):
    kept = []
    shop = Shop()
    for _ in range(count):
        kept.append(here())
        kept.append(shop.there())
        kept.append(Other())
    code = here.__code__
    print(json.dumps({"file": os.path.basename(code.co_filename), "line": code.co_firstlineno + 1, "count": count}),
          flush=True)


def lines(count):
    item = Item()
    code = api.heapsake_api_watch(id(item), 0)
    first = sys._getframe().f_lineno
    other = item
    del other
    table = {"k": item}
    del table
    items = [item] * 1
    items.clear()
    code |= api.heapsake_api_unwatch(id(item))
    print(json.dumps({"code": code, "first": first}), flush=True)


def children(count):
    kept = [here() for _ in range(count)]
    pid = os.fork()
    if pid == 0:
        more = [here() for _ in range(count)]
        del more
        os._exit(0)
    os.waitpid(pid, 0)
    print(json.dumps({"child": pid, "kept": len(kept)}), flush=True)


def types(count):
    pid = os.fork()
    if pid == 0:
        for number in range(count):
            type(f"Made{number}", (), {})()
        os._exit(7)
    status = os.waitpid(pid, 0)[1]
    print(json.dumps({"child": pid, "status": status}), flush=True)


def busy(count):
    """One object that changes for ever, and those behind it."""
    first = Item()
    for _ in range(count):
        again = first
        del again
    kept = [Item(number) for number in range(5)]
    print(json.dumps({"kept": len(kept)}), flush=True)


def cold(count):
    """Objects that live on untouched; after more than a second, as the recorder's clock has it, others are born."""
    kept = [Item(number) for number in range(4)]
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        time.sleep(0.01)
        kept.append(Other())
    late = [Late(number) for number in range(count)]
    print(json.dumps({"kept": len(kept), "late": len(late)}), flush=True)


def cold_and_busy(seconds):
    """One object that lives on untouched, in a program that uses the processor all the time."""
    kept, zeros = Item(0), bytes(1 << 20)
    busy = time.process_time()
    while time.process_time() - busy < seconds:
        for _ in range(10):
            zeros.count(1)
        bytes(100)
    print(json.dumps({"kept": kept.number}), flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
