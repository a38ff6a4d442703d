import pytest

import accesslog

LINE = '192.0.2.7 - ada [28/Nov/2026:12:00:00 +0000] "GET /cart?item=3&count=2 HTTP/1.1" 200 5120'


def log(requests):
    """A log in which each tenth request was broken off, and has no status."""
    for number in range(requests):
        line = LINE.replace("/cart", f"/shop//page{number % 7}").replace("item=3", f"item={number}")
        yield line if number % 10 else line.replace("200", "-")


def test_fields():
    request = accesslog.parse(LINE)
    assert (request.host, request.user, request.time) == ("192.0.2.7", "ada", "28/Nov/2026:12:00:00 +0000")
    assert (request.method, request.path, request.query) == ("GET", "/cart", {"item": "3", "count": "2"})
    assert (request.status, request.bytes) == (200, 5120)


def test_without_query():
    request = accesslog.parse(LINE.replace("?item=3&count=2", ""))
    assert (request.path, request.query) == ("/cart", {})


@pytest.mark.parametrize("line", ["", "-- MARK --", LINE[:40], LINE.replace('"', "'")],
                         ids=["empty", "mark", "cut", "quotes"])
def test_no_line(line):
    with pytest.raises(ValueError, match="no line of an access log"):
        accesslog.parse(line)


@pytest.mark.heapsake(leaks=False)
def test_broken_off():
    with pytest.raises(ValueError, match="status"):
        accesslog.parse(LINE.replace("200", "-"))


def test_totals():
    found = accesslog.totals(log(5000))
    assert found["unreadable"] == 500
    assert sum(found["requests"].values()) == 4500
    assert found["bytes"]["/shop/page1"] == 5120 * found["requests"]["/shop/page1"]
