"""Views that subscribe to an emitter and never unsubscribe; with weak listeners they go when they are closed."""

import collections
import weakref

from leak_workload import requests, tell, variant


class Emitter:
    def __init__(self):
        self.listeners = []
        self.views = weakref.WeakSet()
        self.weak_listeners = set()

    def subscribe(self, listener):
        self.listeners.append(listener)

    def subscribe_weakly(self, listener):
        self.weak_listeners.add(weakref.WeakMethod(listener, self.weak_listeners.discard))

    def emit(self, event):
        for listener in self.listeners[-5:]:
            listener(event)
        for view in list(self.views):
            view.update(event)
        for reference in list(self.weak_listeners):
            reference()(event)


class View:
    def __init__(self, number):
        self.number = number
        self.rows = [f"row {row} of {number}" for row in range(5)]
        self.seen = 0

    def update(self, event):
        self.seen = event


EMITTER = Emitter()


def open_view(number):
    return View(number)


def main(how):
    open_views = collections.deque(maxlen=10)
    count = 0
    for number in requests(400):
        view = open_view(number)
        open_views.append(view)
        count += 1
        if how == "strong":
            EMITTER.subscribe(view.update)
        elif how == "weak_set":
            EMITTER.views.add(view)
        else:
            EMITTER.subscribe_weakly(view.update)
        EMITTER.emit(number)
    if how == "strong":
        tell("growing", open_view, or_cause="held", type="__main__.View", parts=["method"], count=count,
             holder="listeners")
    else:
        assert len(EMITTER.views) + len(EMITTER.weak_listeners) <= 11
        tell()


main(variant("strong", "weak_set", "weak_method"))
