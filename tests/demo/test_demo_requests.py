"""Requests of every kind: none makes the server fail, and each is bounded."""

import asyncio
import gc
import itertools
import json
import socket
import time
import urllib.parse

import httpx
import pytest

from demo.photos.visitor import Visitor
from demo.server import http_server
from demo.server.http_server import STARTING
from tests.helpers.demo_page import FakeEnhancer, as_file, inside, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def collect_garbage_here():
    yield
    gc.collect()


@pytest.fixture(scope="module")
def server():
    with inside() as (server, _):
        yield server


# No request makes the server fail

PAGES = ["/", "/config", "/config/", "/health", "/theme.css", "/favicon.ico", "/robots.txt"]
PAGES += ["/manifest.json", "/page.js", "/login", "/static/img/logo.svg", "/assets/x.js"]
PAGES += [
    f"/gradio_api/{name}"
    for name in (
        "info",
        "info/",
        "openapi.json",
        "theme.css",
        "app_id",
        "startup-events",
        "queue/status",
        "queue/join",
        "queue/data",
        "call/enhance",
        "call/enhance/x",
        "upload",
        "file=/photos/a/b",
        "upload_progress",
        "heartbeat/x",
        "file=",
        "file=x",
        "call/x",
        "nothing",
    )
]
QUERIES = ["", "page=zz", "page=", "__theme=zz", "view=api", "deep_link=../../x", "all_endpoints=1"]
QUERIES += ["session_hash=x", "session_hash=", "session_hash=%00", "upload_id=x", "serialize=1"]
QUERIES += ["%", "%ff=%ff", "&&&", "a[]=1", "=", "x=" + "y" * 5000, "page=zz&page=zz", "__sign=x"]
HEADERS = [
    {"accept": "\xff"},
    {"accept-language": "x" * 900},
    {"content-type": "\xff/\xfe"},
    {"content-type": "multipart/form-data"},
    {"cookie": "=;=;\xff"},
    {"range": "bytes=9-1"},
    {"range": "x"},
    {"if-none-match": "\xff"},
    {"if-modified-since": "x"},
    {"referer": "\xff"},
    {"x-forwarded-for": "\xff"},
    {"x-forwarded-proto": "javascript"},
    {"forwarded": "for=\xff"},
    {"x-forwarded-host": "[::1"},
    {"x-gradio-server": "[::1"},
    {"x-gradio-user": "\xff"},
    {"authorization": "Basic x"},
    {"content-length": "x"},
    {"transfer-encoding": "x"},
    {"origin": "http://[::1"},
    {"accept-encoding": "x"},
    {"connection": "upgrade"},
    {"x-ip-token": "x"},
    {"session_hash": "\xff"},
    {"expect": "x"},
]
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
    sent += [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"NaN",
        b'{"data": [1e999, NaN], "fn_index": 0}',
    ]

    async def ask() -> dict[bytes, int]:
        told = {}
        for content in sent:
            async with server.client() as client:
                headers = {"content-type": "application/json"}
                answer = await client.post(f"/gradio_api/{route}", content=content, headers=headers)
                told[content[:200]] = answer.status_code
        return told

    assert {body: status for body, status in server.run(ask()).items() if status >= 500} == {}


# How long a request may be


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


# For whom a request is


@pytest.mark.parametrize(
    "host",
    [
        "localhost/.evil",
        "localhost#.evil",
        "localhost?.evil",
        "localhost\\.evil",
        "localhost .evil",
        "evil@localhost",
        "localhost:80@evil",
        "localhost:",
        "localhost:x",
        "localhost:123456",
        "[localhost]",
        "[::1]x",
        "[::1",
        "localhost,evil",
        "localhost\t",
        "localhost\xa0",
        "%6cocalhost",
    ],
)
def test_a_host_that_is_more_than_a_name_and_a_port_is_refused(server, host):
    async def ask() -> int:
        async with server.client(headers=[(b"host", host.encode("latin-1"))]) as client:
            return (await client.get("/health")).status_code

    assert server.run(ask()) == 403


@pytest.mark.parametrize(
    ("allowed", "address", "is_believed"),
    [
        (["photos.example.com"], "127.0.0.1", True),
        (["photos.example.com"], "10.0.0.1", False),
        ([], "127.0.0.1", False),
    ],
)
def test_what_a_proxy_says_counts_only_where_there_is_one(allowed, address, is_believed):
    said = {"x-forwarded-proto": "https", "x-forwarded-for": "10.9.9.9"}
    with inside(allowed_hosts=allowed) as (server, _):

        async def ask() -> httpx.Response:
            async with server.client(address, headers=said) as client:
                return await client.get("/")

        answer = server.run(ask())
    assert ("; Secure" in answer.headers["set-cookie"]) == is_believed
    assert ("https://127.0.0.1" in answer.text) == is_believed


def test_addresses_of_one_ipv6_customer_count_as_one():
    accounts = {Visitor("a", f"2001:db8::{n}").account for n in "123"}
    assert len(accounts) == 1
    assert Visitor("a", "2001:db8:0:1::1").account not in accounts


# Connections, over a real socket


def test_one_address_has_a_share_of_the_connections_and_the_next_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(http_server, "_MOST_OF_ADDRESS", 2)
    monkeypatch.setattr(http_server, "is_loopback", lambda address: False)
    with serving(FakeEnhancer()) as address:
        place = urllib.parse.urlsplit(address)
        idle = [socket.create_connection((place.hostname, place.port)) for _ in range(2)]
        time.sleep(0.1)
        with socket.create_connection((place.hostname, place.port), timeout=2) as refused:
            assert refused.recv(100).startswith(b"HTTP/1.1 503")
        for connection in idle:
            connection.close()
        time.sleep(0.1)
        assert httpx.get(f"{address}health").status_code == 200


def test_connections_of_this_computer_have_no_share_but_an_end(monkeypatch):
    monkeypatch.setattr(http_server, "_MOST_OF_ADDRESS", 2)
    monkeypatch.setattr(http_server, "_MOST_CONNECTIONS", 4)
    with serving(FakeEnhancer()) as address:
        place = urllib.parse.urlsplit(address)
        idle = [socket.create_connection((place.hostname, place.port)) for _ in range(4)]
        time.sleep(0.1)
        with socket.create_connection((place.hostname, place.port), timeout=2) as refused:
            assert refused.recv(100).startswith(b"HTTP/1.1 503")
        for connection in idle:
            connection.close()


# While the server starts


@pytest.mark.parametrize("page", ["/", "/health", "/gradio_api/file=/etc/passwd"])
def test_while_starting_browsers_are_told_the_same(page):
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(STARTING)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get(page)

    answer = asyncio.run(ask())
    assert answer.status_code == 503
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
