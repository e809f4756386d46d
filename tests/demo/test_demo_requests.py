"""Requests of every kind: none makes the server fail, and each is bounded."""

import asyncio
import contextlib
import itertools
import json
import socket
import time
import urllib.parse

import httpx
import pytest

from demo.server import http_server, middleware
from tests.helpers.demo_page import FakeEnhancer, as_file, inside, say, serving


@pytest.fixture(scope="module")
def server():
    with inside() as (server, _):
        yield server


PAGES = ["/", "/config", "/config/", "/health", "/theme.css", "/favicon.ico", "/robots.txt"]
PAGES += [f"/static/{'a' * 5000}", f"/gradio_api/file=/photos/{'a' * 5000}/x"]
PAGES += ["/manifest.json", "/page.js", "/login", "/static/img/logo.svg", "/assets/x.js"]
NAMES = "info info/ openapi.json theme.css app_id startup-events queue/status queue/join queue/data"
NAMES += " call/enhance call/enhance/x call/x upload upload_progress heartbeat/x nothing"
NAMES += " file=/photos/a/b file= file=x"
PAGES += [f"/gradio_api/{name}" for name in NAMES.split()]


QUERIES = ["", "page=zz", "page=", "__theme=zz", "view=api", "deep_link=../../x", "all_endpoints=1"]
QUERIES += ["session_hash=x", "session_hash=", "session_hash=%00", "upload_id=x", "serialize=1"]
QUERIES += ["%", "%ff=%ff", "&&&", "a[]=1", "=", "x=" + "y" * 5000, "page=zz&page=zz", "__sign=x"]


ODD_HEADERS = {
    "\xff": "accept if-none-match referer x-forwarded-for x-gradio-user session_hash",
    "x" * 900: "accept-language",
    "\xff/\xfe": "content-type",
    "multipart/form-data": "content-type",
    "=;=;\xff": "cookie",
    "bytes=9-1": "range",
    "x": "range if-modified-since content-length transfer-encoding accept-encoding "
    "x-ip-token expect",
    "javascript": "x-forwarded-proto",
    "for=\xff": "forwarded",
    "[::1": "x-forwarded-host x-gradio-server",
    "Basic x": "authorization",
    "http://[::1": "origin",
    "upgrade": "connection",
}
HEADERS = [{name: value} for value, names in ODD_HEADERS.items() for name in names.split()]


METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "zz"]


async def statuses(server, requests) -> dict[str, int]:
    """Return what each request is answered with; a stream is left after a moment."""

    async def ask(client, method, url, headers) -> int:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        try:
            asked = client.request(method, url, headers=encoded)
            return (await asyncio.wait_for(asked, 0.3)).status_code
        except TimeoutError:
            return 200

    async with server.client() as client:
        await client.get("/")
        told = {}
        for first in range(0, len(requests), 40):
            some = requests[first : first + 40]
            answers = await asyncio.gather(*(ask(client, *request) for request in some))
            told |= {
                " ".join(map(str, asked)): status
                for asked, status in zip(some, answers, strict=True)
            }
        return told


def failures(told: dict[str, int]) -> dict[str, int]:
    return {request: status for request, status in told.items() if status >= 500}


def test_no_query_makes_the_server_fail(server):
    urls = [f"{page}?{query}" for page, query in itertools.product(PAGES, QUERIES)]
    told = server.run(statuses(server, [("GET", url, {}) for url in urls]))
    assert failures(told) == {}
    assert told["GET /?page=zz {}"] in (200, 404)


def test_no_header_makes_the_server_fail(server):
    requests = [("GET", page, headers) for page, headers in itertools.product(PAGES, HEADERS)]
    assert failures(server.run(statuses(server, requests))) == {}


def test_no_method_makes_the_server_fail(server):
    requests = [(method, page, {}) for method, page in itertools.product(METHODS, PAGES)]
    assert failures(server.run(statuses(server, requests))) == {}


ODD = [None, True, -1, 10**30, 1.5, "x", "\0", "\ud800", [], {}, [[]], {"path": None}, {"path": {}}]


FIELDS = ["data", "fn_index", "session_hash", "event_data", "trigger_id", "event_id", "batched"]
FIELDS += ["simple_format", "request", "root_path", "batch_trigger_ids"]


@pytest.mark.parametrize("route", ["queue/join", "call/enhance"])
def test_no_body_makes_the_server_fail(server, route):
    right = {"data": [as_file("/photos/a/b"), 1.0], "fn_index": 0, "session_hash": "fuzz"}
    bodies = [{**right, field: value} for field in FIELDS for value in ODD]
    bodies += ODD + [{**right, "data": [value] * 2} for value in ODD]
    bodies += [{**right, "fn_index": n, "data": [value] * 3} for n in range(12) for value in ODD]
    sent = [json.dumps(body).encode() for body in bodies]
    sent += [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN"]
    sent.append(b'{"data": [1e999, NaN], "fn_index": 0}')

    async def ask() -> dict[bytes, int]:
        told = {}
        for content in sent:
            async with server.client() as client:
                headers = {"content-type": "application/json"}
                answer = await client.post(f"/gradio_api/{route}", content=content, headers=headers)
                told[content[:200]] = answer.status_code
        return told

    assert {body: status for body, status in server.run(ask()).items() if status >= 500} == {}


@pytest.mark.parametrize("page", ["queue/join", "call/enhance"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_body_that_is_too_long_is_answered_with_413(server, page, is_streamed):
    async def pieces():
        for _ in range(20):
            yield b" " * 100_000

    async def ask() -> httpx.Response:
        async with server.client() as client:
            content = pieces() if is_streamed else b" " * 2_000_000
            headers = {"content-type": "application/json"}
            return await client.post(f"/gradio_api/{page}", content=content, headers=headers)

    answer = server.run(ask())
    assert (answer.status_code, answer.json()) == (413, {"detail": "The request is too long."})


@pytest.mark.parametrize(("of_this_computer", "most"), [(False, 2), (True, 4)])
def test_an_address_has_a_share_of_the_connections_and_this_computer_all(
    monkeypatch, of_this_computer, most
):
    monkeypatch.setattr(http_server, "_MOST_OF_ADDRESS", 2)
    monkeypatch.setattr(http_server, "_MOST_CONNECTIONS", 4)
    monkeypatch.setattr(http_server, "is_loopback", lambda address: of_this_computer)
    with serving(FakeEnhancer()) as address, contextlib.ExitStack() as idle:
        place = urllib.parse.urlsplit(address)
        for _ in range(most):
            idle.enter_context(socket.create_connection((place.hostname, place.port)))
        time.sleep(0.1)
        assert say(address, b"").startswith(b"HTTP/1.1 503")
        idle.close()
        time.sleep(0.1)
        assert httpx.get(f"{address}health").status_code == 200


def test_a_connection_on_which_no_request_comes_is_closed(monkeypatch):
    monkeypatch.setattr(http_server, "_HEADER_SECONDS", 0.3)
    with serving(FakeEnhancer()) as address:
        for request in (b"", b"GET / HTTP/1.1\r\nHost: 127", b"\0\0\r\n\r\n"):
            assert b" 200 " not in say(address, request)


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(middleware, "_IDLE_SECONDS", 0.3)
    with serving(FakeEnhancer()) as address:
        head = (
            f"POST /gradio_api/queue/join HTTP/1.1\r\nHost: {urllib.parse.urlsplit(address).netloc}"
            "\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
        )
        assert say(address, head.encode()).split()[1] in (b"400", b"408")
