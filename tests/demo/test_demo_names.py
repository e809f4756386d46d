"""For whom a request is, who says so, and what browsers are told."""

import asyncio

import httpx
import pytest

from demo.photos.visitor import Visitor
from demo.server.http_server import STARTING
from tests.helpers.demo_page import inside


@pytest.fixture(scope="module")
def server():
    with inside(allowed_hosts=["photos.example.com"]) as (server, _):
        yield server


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"host": "localhost:7860"}, True),
        ({"host": "[::1]:7860"}, True),
        ({"host": "photos.example.com"}, True),
        ({"host": "photos.example.com", "origin": "https://photos.example.com"}, True),
        ({"x-forwarded-host": "photos.example.com", "origin": "https://photos.example.com"}, True),
        ({"origin": "http://127.0.0.1:7860"}, True),
        ({"host": "evil.example"}, False),
        ({"host": "evil.example", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1.evil.example"}, False),
        ({"host": "192.168.1.5:7860"}, False),
        ({"host": ""}, False),
        ({"host": "[::1"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:3000"}, False),
        ({"origin": "http://127.0.0.1:7860.evil.example"}, False),
        ({"x-forwarded-host": "evil.example"}, False),
    ],
)
def test_only_requests_for_this_server_from_its_own_pages_are_taken(server, headers, is_taken):
    async def ask() -> list[int]:
        async with server.client(headers=headers) as client:
            return [(await client.get(page)).status_code for page in ("/", "/health", "/config")]

    assert server.run(ask()) == [200 if is_taken else 403] * 3


def test_a_server_for_the_network_answers_to_addresses_and_to_no_name_it_was_not_told():
    with inside(host="0.0.0.0") as (server, _):

        async def ask(host: str) -> int:
            async with server.client(headers={"host": host}) as client:
                return (await client.get("/health")).status_code

        hosts = ["192.168.1.5:7860", "[fd00::5]:7860", "evil.example", "workstation"]
        assert [server.run(ask(host)) for host in hosts] == [200, 200, 403, 403]


def test_every_answer_says_what_browsers_may_not_do(server):
    async def ask() -> list[httpx.Response]:
        async with server.client() as client:
            pages = [
                "/",
                "/health",
                "/config",
                "/nothing",
                "/theme.css",
                "/gradio_api/file=/photos/x/y",
            ]
            return [await client.get(page) for page in pages]

    for answer in server.run(ask()):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe-inline'" not in policy.split("style-src")[0]


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


def test_what_one_visitor_calls_the_server_is_told_to_nobody_else(server):
    async def ask() -> str:
        async with server.client() as client:
            name = {"X-Gradio-Server": "http://evil.example/x"}
            first = await client.get("/gradio_api/info", headers=name)
            return first.text + (await client.get("/gradio_api/info")).text

    assert "evil.example" not in server.run(ask())
