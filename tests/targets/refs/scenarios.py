"""
The mistakes of refbugs.c and refbugs_cpp.cpp, each made with objects of one class. `scenarios.py NAME [COUNT]` makes
COUNT objects and prints its truth as one JSON line: how many, how many of them are wrong and by how much, how many are
kept rightly, and the culprit.
"""

import json
import os
import sys
import threading


class Item:
    def __init__(self, number=0):
        self.number = number


def make_item():
    return Item(7)


def tell(**truth):
    print(json.dumps(truth), flush=True)


def use(function, item, fail):
    try:
        function(item, fail)
    except ValueError:
        return 1
    return 0


def balanced(count):
    import refbugs
    for number in range(count):
        refbugs.balanced(Item(number))
    tell(type="__main__.Item", count=count, off=0, culprit=None)


def error_path(count):
    import refbugs
    wrong = sum(use(refbugs.error_path, Item(number), number % 2 == 1) for number in range(count))
    tell(type="__main__.Item", count=count, wrong=wrong, off=1, culprit="refbugs_error_path")


def cpp_exception(count):
    import refbugs_cpp
    wrong = sum(use(refbugs_cpp.checked, Item(number), number % 2 == 1) for number in range(count))
    tell(type="__main__.Item", count=count, wrong=wrong, off=1, culprit="use")


def cpp_right(count):
    import refbugs_cpp
    for number in range(count):
        use(refbugs_cpp.checked_right, Item(number), number % 2 == 1)
    tell(type="__main__.Item", count=count, off=0, culprit=None)


def dict_value(count):
    import refbugs
    values = {}
    for number in range(count):
        refbugs.dict_value(values, number, make_item)
    values.clear()
    tell(type="__main__.Item", count=count, wrong=count, off=1, culprit="refbugs_dict_value")


class Trouble(Exception):
    pass


def raises():
    raise Trouble("once more")


def cached_error(count):
    import refbugs
    for number in range(count):
        refbugs.cached_error(raises)
    tell(type="__main__.Trouble", count=count, wrong=count - 1, kept=1, off=1, culprit="refbugs_cached_error")


def built_pair(count):
    import refbugs
    for number in range(count):
        refbugs.built_pair(make_item)
    tell(type="__main__.Item", count=count, wrong=count, off=1, culprit="refbugs_built_pair")


def built_pair_right(count):
    import refbugs
    for number in range(count):
        refbugs.built_pair_right(make_item)
    tell(type="__main__.Item", count=count, off=0, culprit=None)


def set_item_twice(count):
    """The last object dies while a variable still refers to it; nobody must touch that one any more."""
    import refbugs
    item = Item(1)
    items = [None]
    refbugs.set_item_twice(items, item)
    del items[0]
    tell(type="__main__.Item", count=1, wrong=1, off=-1, culprit="refbugs_set_item_twice")
    os._exit(0)


def keep_borrowed(count):
    import refbugs
    item = Item(1)
    refbugs.keep_borrowed([item])
    refbugs.drop_kept()
    tell(type="__main__.Item", count=1, wrong=1, off=-1, culprit="refbugs_drop_kept")
    os._exit(0)


def two_threads(count):
    """Taken in one thread and given back in another: nothing is wrong."""
    import refbugs
    for number in range(count):
        refbugs.take(Item(number))
        thread = threading.Thread(target=refbugs.give_back)
        thread.start()
        thread.join()
    tell(type="__main__.Item", count=count, off=0, culprit=None)


def count_rows(count):
    import refbugs
    for number in range(count):
        refbugs.count_rows(range(3))
    tell(type="list", count=count, wrong=count, off=1, culprit="refbugs_count_rows")


def kept_memory(count):
    """The dict that leaks is born where another one has died, which was made on another line."""
    import refbugs
    for number in range(count):
        other = {"other": number}; del other
        try:
            refbugs.error_path({"leaks": number}, True)
        except ValueError:
            pass
    tell(type="dict", count=count, wrong=count, off=1, culprit="refbugs_error_path")


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 20)
