"""Python objects of known number: prints, by type, how many were created, and how many of those live at the end."""

import gc
import json
import os
import sys
import threading


class Plain:
    def __init__(self, number=0):
        self.number = number


class Slotted:
    __slots__ = ("left", "right")


class Empty:
    __slots__ = ()


class Weak:
    __slots__ = ("__weakref__",)


class Number(int):
    pass


class List(list):
    pass


class Größe:
    class Inner:
        pass


class Meta(type):
    pass


kept = []
created, live = {}, {}


def count(kind, made, alive):
    name = f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else kind
    created[name] = created.get(name, 0) + made
    live[name] = live.get(name, 0) + alive


def kinds(scale):
    """Every layout that a header may have; one of three lives on."""
    for kind in (Plain, Slotted, Empty, Weak, Number, List, Größe, Größe.Inner):
        for number in range(300 * scale):
            item = kind()
            if number % 3 == 0:
                kept.append(item)
        del item
        count(kind, 300 * scale, 100 * scale)


def local_class():
    class Local:
        pass
    return Local


def same_names(scale):
    for number in range(5 * scale):
        kind = local_class()
        kept.extend(kind() for _ in range(10))
        count(kind, 10, 10)


def gone_types(scale):
    """Types that die, so that others come to lie where they were."""
    for number in range(50 * scale):
        meta = Meta if number % 3 == 0 else type
        kind = meta(f"Gone{number}", (Plain,) if number % 2 else (), {"__slots__": ("a",)} if number % 5 == 0 else {})
        for _ in range(3 + number % 4):
            kind()
        count(f"__main__.Gone{number}", 3 + number % 4, 0)
        del kind
        gc.collect()


def threads(scale):
    """Made in one thread, dropped in another."""
    boxes = [[Plain() for _ in range(100)] for _ in range(4)]

    def work(index):
        for _ in range(250 * scale):
            boxes[(index + 1) % 4].append(Plain())
            try:
                boxes[index].pop()
            except IndexError:
                pass
    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    kept.extend(boxes)
    count(Plain, 400 + 1000 * scale, sum(map(len, boxes)))


def resized(scale):
    """tuple() of a generator makes the tuple larger as it goes."""
    for number in range(200 * scale):
        kept.append(tuple(i for i in range(40)))
    count("tuple", 200 * scale, 200 * scale)


def fork(scale):
    pid = os.fork()
    if pid == 0:
        mine = [Plain() for _ in range(300 * scale)]

        class Born:
            pass
        mine.extend(Born() for _ in range(200 * scale))
        os._exit(0 if len(mine) == 500 * scale else 1)
    assert os.waitpid(pid, 0)[1] == 0
    print(pid, file=sys.stderr)


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
    print(json.dumps({"created": created, "live": live}))
