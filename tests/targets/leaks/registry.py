"""Sessions that a registry keeps although they are over: a class attribute, a dict of the module; or a weak one."""

import collections
import weakref

from leak_workload import requests, tell, variant

SESSIONS = {}
WEAK_SESSIONS = weakref.WeakValueDictionary()


class Session:
    opened = []

    def __init__(self, number):
        self.user = f"u{number}"
        self.data = {"visits": [number, number + 1], "text": f"session of {number} " * 10}


def open_session(number):
    return Session(number)


def main(how):
    in_use = collections.deque(maxlen=20)
    count = 0
    for number in requests(500):
        session = open_session(number)
        in_use.append(session)
        count += 1
        if how == "class_attribute":
            Session.opened.append(session)
        elif how == "module_dict":
            SESSIONS[f"s{number}"] = session
        else:
            WEAK_SESSIONS[f"s{number}"] = session
    if how == "weak_values":
        assert len(WEAK_SESSIONS) <= 21
        tell()
    else:
        tell("growing", open_session, or_cause="held", type="__main__.Session", count=count,
             holder="opened" if how == "class_attribute" else "SESSIONS")


main(variant("class_attribute", "module_dict", "weak_values"))
