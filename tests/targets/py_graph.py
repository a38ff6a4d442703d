"""One object for each kind of name and each correction of the graph, and what the snapshot at the end must say of it."""

import asyncio
import collections
import ctypes
import functools
import gc
import json
import os
import weakref

cases = []


class Marker:
    """Something to be pointed at; its address tells it apart."""

    __slots__ = ("__weakref__",)


def case(name, holder, target, kind, text=None, unexplained=0):
    """`holder` refers to `target` by an edge of that kind and name; so many references of it nobody tells."""
    cases.append([name, id(holder), id(target), kind, text, unexplained])


class Plain:
    def __init__(self, value):
        self.attribute = value


class Slotted:
    __slots__ = ("slot",)


class Derived(Slotted):
    __slots__ = ("other",)


class KeptInClass:
    entry = None


class Listed(list):
    pass


class Mapped(dict):
    pass


class Sequence(tuple):
    pass


def closed_over(value):
    def inner():
        return value
    return inner


def generate(local_name):
    yield 1


async def wait(awaited_name):
    await asyncio.sleep(1)


async def async_generate(async_name):
    yield 1


def fail(local_of_failed):
    raise ValueError


def function(argument=None, *, keyword=None):
    pass


kept = []


def keep(holder):
    kept.append(holder)
    return holder


def attributes():
    target = Marker()
    case("inline value", keep(Plain(target)), target, "attribute", "attribute")
    target = Marker()
    holder = keep(Plain(target))
    namespace = holder.__dict__
    case("materialized dict", holder, namespace, "special", "__dict__", None)
    target = Marker()
    holder = keep(Plain(None))
    for number in range(100):
        setattr(holder, f"attribute{number}", None)  # no room for it in what the class's instances share
    holder.beyond = target
    case("own dict", holder.__dict__, target, "key", "beyond")
    target = Marker()
    holder = keep(Slotted())
    holder.slot = target
    case("slot", holder, target, "attribute", "slot")
    target = Marker()
    holder = keep(Derived())
    holder.slot = target
    case("slot of a base", holder, target, "attribute", "slot")
    case("class", holder, Derived, "special", "__class__", None)


def containers():
    target = Marker()
    case("list", keep([None, target]), target, "index", 1)
    target = Marker()
    case("tuple", keep((None, None, target)), target, "index", 2)
    target = Marker()
    case("list subclass", keep(Listed([target])), target, "index", 0)
    target = Marker()
    case("tuple subclass", keep(Sequence([target])), target, "index", 0)
    target = Marker()
    case("set", keep({target}), target, "item")
    target = Marker()
    case("frozenset", keep(frozenset([target])), target, "item")
    target = Marker()
    case("deque", keep(collections.deque([None, target])), target, "index", 1)
    target = Marker()
    case("dict by name", keep({"user42": target}), target, "key", "user42")
    target = Marker()
    case("dict by secret", keep({"not a name": target}), target, "value", "str")
    target = Marker()
    case("dict by number", keep({4111: target}), target, "value", "int")
    target = Marker()
    case("dict by digits", keep({"4111": target}), target, "value", "str")
    target = Marker()
    case("dict key", keep({target: None}), target, "item")
    target = Marker()
    case("dict subclass", keep(Mapped(name=target)), target, "key", "name")
    target = Marker()
    case("ordered dict", keep(collections.OrderedDict(name=target)), target, "key", "name", None)
    target = Marker()
    untracked = (target, 1)
    case("two references", keep([target, untracked]), target, "index", 0)


def callables():
    target = Marker()
    holder = keep(closed_over(target))
    case("closure", holder, holder.__closure__, "special", "__closure__")
    case("free variable", holder.__closure__, holder.__closure__[0], "cell", "value")
    case("cell", holder.__closure__[0], target, "special", "cell_contents")
    function.__defaults__ = (target := Marker(),)
    case("defaults", function, function.__defaults__, "special", "__defaults__")
    case("default", function.__defaults__, target, "index", 0)
    function.__kwdefaults__ = {"keyword": (target := Marker())}
    case("keyword default", function.__kwdefaults__, target, "key", "keyword")
    target = keep(Plain(None))
    method = keep(target.__init__)
    case("method", method, target, "special", "__self__")
    target = Marker()
    holder = keep(functools.partial(function, target))
    case("partial", holder, function, "attribute", "func", None)
    target = Marker()
    cached = functools.lru_cache(maxsize=None)(lambda argument: None)
    cached(target)
    case("lru_cache", keep(cached), cached.__wrapped__, "reference", None, None)
    bounded = keep(functools.lru_cache(maxsize=5)(lambda argument: None))
    for number in range(9):
        bounded(number)
    target = property(fget := (lambda self: None))
    case("property", keep(target), fget, "attribute", "fget", None)


def running():
    target = Marker()
    holder = keep(generate(target))
    next(holder)
    case("generator", holder, target, "local", "local_name")
    target = Marker()
    case("generator not begun", keep(generate(target)), target, "local", "local_name")
    target = Marker()
    holder = keep(wait(target))
    case("coroutine", holder, target, "local", "awaited_name")
    target = Marker()
    case("async generator", keep(async_generate(target)), target, "local", "async_name")
    target = Marker()
    try:
        fail(target)
    except ValueError as error:
        holder = keep(error)
    trace = holder.__traceback__
    case("exception", holder, trace, "special", "__traceback__")
    case("traceback", trace, trace.tb_next, "special", "tb_next")
    case("traceback's frame", trace.tb_next, trace.tb_next.tb_frame, "special", "tb_frame")
    case("frame", trace.tb_next.tb_frame, target, "local", "local_of_failed")
    cause = keep(KeyError())
    context = keep(KeyError())
    effect = keep(ValueError())
    effect.__cause__ = cause
    effect.__context__ = context
    case("cause", effect, cause, "special", "__cause__")
    case("context", effect, context, "special", "__context__")
    del trace, holder


def weak():
    target = keep(Marker())
    case("weak reference", keep(weakref.ref(target)), target, "weak")


def types():
    holder = keep(type("Made", (), {"name": (target := Marker())}))
    case("bases", holder, holder.__bases__, "special", "__bases__")
    case("mro", holder, holder.__mro__, "special", "__mro__", None)
    case("code constants", function.__code__, function.__code__.co_consts, "special", "co_consts", None)
    del target


class Broken:
    """Its tp_traverse crashes, as that of a faulty extension would."""


def break_traverse():
    gc.disable()
    broken = keep([Broken()])
    ctypes.c_void_p.from_address(id(Broken) + TP_TRAVERSE).value = 1
    return id(broken[0])


TP_TRAVERSE = 184


def main(in_frame):
    attributes()
    containers()
    callables()
    running()
    weak()
    types()
    over = []
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(over))
    keep(over)
    case("one too many", kept, over, "index", len(kept) - 1, 1)
    del over
    case("local of a frame", None, in_frame, "local", "in_frame")
    dictionary = keep({"frozen": Marker()})
    frozen = id(dictionary)
    del dictionary
    gc.collect()
    gc.freeze()
    tracked = keep([[]])
    broken = break_traverse()
    lost = [1, 2, 3]
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(lost))
    KeptInClass.entry = Marker()
    facts = {"cases": cases, "class": id(KeptInClass), "entry": id(KeptInClass.entry), "frozen": frozen, "tracked": id(tracked), "leak": id(lost), "broken": broken,
             "file": __file__}
    del lost
    print(json.dumps(facts), flush=True)
    os._exit(0)


main(Marker())
