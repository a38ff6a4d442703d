"""
What the programs of this folder share: a loop of requests with ordinary work in it, caches that are no leaks, and one
line of truth. The caches warm up and stop, or have a limit: nothing of this file is ever to be reported.
"""

import collections
import functools
import json
import re
import sys

TEMPLATES = {}                            # filled by the first requests, then only read
RECENT = collections.deque(maxlen=50)     # the newest only
STATISTICS = collections.Counter()        # a fixed set of keys
_WORD = re.compile(r"[a-z]+")


@functools.lru_cache(maxsize=64)
def slug(title):
    return "-".join(_WORD.findall(title.lower()))


def template(page):
    if page not in TEMPLATES:
        TEMPLATES[page] = {"title": f"Page {page}", "parts": [f"<p>{part} of {page}</p>" for part in range(20)]}
    return TEMPLATES[page]


def work(number):
    """An ordinary request: parses, looks up, renders, and keeps nothing but what is bounded."""
    rows = [{"id": row, "name": f"row {row}", "tags": ["a", number]} for row in range(60)]
    body = json.loads(json.dumps({"id": number, "user": f"u{number % 7}", "rows": rows}))
    page = template(number % 10)
    text = "".join(page["parts"]) + slug(f"Title number {number % 100} of {page['title']}")
    RECENT.append((number, len(text)))
    STATISTICS[body["user"]] += 1
    return text


def requests(count):
    """Yields 0 .. count - 1, each after an ordinary request."""
    for number in range(100):
        work(number)
    for number in range(count):
        work(number)
        yield number


def variant(*known):
    """The program's first argument, which must be one of `known`."""
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(known)}")
    return sys.argv[1]


def tell(cause=None, made_by=None, **facts):
    """
    Prints the truth. `made_by`: the function that makes what stays. `type` is what stays, `parts` are types that hang on
    it and may be named in its stead; `cause` may have `or_cause`, where two are equally right. `recycled`: the interpreter
    may make it in a block that a former object left in a freelist.
    """
    truth = {"cause": cause}
    if made_by:
        truth.update(file=made_by.__code__.co_filename, function=made_by.__qualname__)
    truth.update(facts)
    print(json.dumps(truth), flush=True)
