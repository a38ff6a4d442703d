"""
A small shop on the standard library's http.server: a page for every item, and a price that depends on the visitor's
currency. It serves requests of its own for a while and ends, so that it can be measured:

    python3 examples/web_app.py [REQUESTS]

It has a leak. docs/WALKTHROUGH.md finds and mends it.
"""

import http.client
import http.server
import json
import sys
import threading
from urllib.parse import parse_qs, urlsplit

ITEMS = {f"item-{number}": 100 + 7 * number for number in range(50)}
RATES = {"EUR": 1.0, "USD": 1.1, "JPY": 160.0}

pages = {}


class Page:
    def __init__(self, item, currency):
        self.item = item
        self.currency = currency
        self.body = render(item, currency)


def render(item, currency):
    price = ITEMS[item] * RATES[currency]
    related = [{"name": other, "price": ITEMS[other]} for other in sorted(ITEMS) if other[-1] == item[-1]]
    return json.dumps({"item": item, "price": round(price, 2), "currency": currency, "related": related}).encode()


def page_for(url):
    if url not in pages:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        pages[url] = Page(parts.path.removeprefix("/items/"), query.get("currency", ["EUR"])[0])
    return pages[url]


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        try:
            body, status = page_for(self.path).body, 200
        except KeyError:
            body, status = b"{}", 404
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def visit(port, number):
    """What one visitor does; the links in newsletters carry a number of their own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for step in range(5):
        item = f"item-{(number * 5 + step) % 60}"  # the last ten are sold out
        currency = sorted(RATES)[number % len(RATES)]
        connection.request("GET", f"/items/{item}?currency={currency}&campaign=mail-{number}")
        connection.getresponse().read()
    connection.close()


def main():
    visitors = int(sys.argv[1]) // 5 if len(sys.argv) > 1 else 240
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for number in range(visitors):
        visit(server.server_port, number)
    server.shutdown()
    thread.join()
    server.server_close()
    print(f"served {visitors * 5} requests")


if __name__ == "__main__":
    main()
