"""A small service with a cache that only grows: every request has a key of its own, and nothing is ever evicted."""

import json

CACHE = {}


def render(request):
    key = (request["user"], request["page"], request["time"])  # the time makes every key new
    if key not in CACHE:
        CACHE[key] = json.dumps({"user": request["user"], "rows": list(range(50))})
    return CACHE[key]


def main():
    sent = 0
    for tick in range(20_000):
        sent += len(render({"user": f"u{tick % 7}", "page": "/index", "time": tick}))
    print(f"sent {sent} bytes, the cache holds {len(CACHE)} pages")


if __name__ == "__main__":
    main()
