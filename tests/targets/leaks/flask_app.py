"""
A Flask application under load on the loopback interface, served by a thread of its own: `leaking` keeps every page by
its whole URL, `clean` keeps the newest 64.
"""

import collections
import functools
import http.client
import logging
import threading

import flask
from werkzeug.serving import make_server

from leak_workload import tell, variant, work

REQUESTS = 400
PAGE = """<html><title>{{ title }}</title><ul>{% for row in rows %}<li>{{ row }}</li>{% endfor %}</ul></html>"""

app = flask.Flask(__name__)
PAGES = {}
visits = collections.Counter()


class Page:
    def __init__(self, item, text):
        self.item = item
        self.text = text


def make_page(item):
    return Page(item, flask.render_template_string(PAGE, title=f"item {item}", rows=range(item % 20)))


@functools.lru_cache(maxsize=64)
def newest(url):
    return make_page(int(url.rpartition("=")[2]))


@app.get("/items/<int:item>")
def show(item):
    work(item)
    visits[item % 10] += 1
    if HOW == "clean":
        return newest(flask.request.url).text
    url = flask.request.url
    if url not in PAGES:
        PAGES[url] = make_page(item)
    return PAGES[url].text


@app.get("/health")
def health():
    return {"ok": True}


@app.errorhandler(404)
def not_found(error):
    return {"error": str(error)}, 404


def load(port):
    """Kept-alive and new connections, pages and errors; every page has a URL of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for number in range(REQUESTS):
        if number % 50 == 49:
            connection.close()
        connection.request("GET", f"/items/{number % 100}?at={number}")
        answer = connection.getresponse()
        assert answer.status == 200 and b"</html>" in answer.read()
        if number % 20 == 0:
            connection.request("GET", "/nowhere" if number % 40 else "/health")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == (404 if number % 40 else 200)
    connection.close()


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    load(server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()
    if HOW == "leaking":
        tell("growing", make_page, or_cause="held", type="__main__.Page", count=REQUESTS, holder="PAGES")
    else:
        tell()


HOW = variant("leaking", "clean")
main()
