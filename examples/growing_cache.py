"""A small service with a cache that only grows: every request has a key of its own, and nothing is ever evicted."""

import json


class Renderer:
    def __init__(self):
        self.cache = {}

    def render(self, request):
        key = (request["user"], request["page"], request["time"])  # the time makes every key new
        if key not in self.cache:
            self.cache[key] = json.dumps({"user": request["user"], "rows": list(range(50))})
        return self.cache[key]


def main():
    renderer = Renderer()
    sent = 0
    for tick in range(20_000):
        request = {"user": f"u{tick % 7}", "page": "/index", "time": tick}
        sent += len(renderer.render(request))
    print(f"sent {sent} bytes, the cache holds {len(renderer.cache)} pages")


if __name__ == "__main__":
    main()
