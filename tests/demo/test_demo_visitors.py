"""What one visitor may have of sessions, streams and unread answers, and what is not theirs."""

import asyncio

import httpx
import pytest
from gradio.routes import file_upload_statuses

from demo.page import blocks, routes, streams
from demo.photos.visitor import Visitor
from tests.helpers.demo_page import as_file, call, inside

ANNA, BEN = Visitor("anna", "10.0.0.1"), Visitor("ben", "10.0.0.2")


@pytest.fixture(scope="module")
def server_and_page():
    """The server, and Gradio's page in it, whose tables are looked at."""
    made, guard = [], blocks.GuardedBlocks.guard_queue
    with pytest.MonkeyPatch.context() as patch:
        noted = lambda page: (made.append(page), guard(page))  # noqa: E731
        patch.setattr(blocks.GuardedBlocks, "guard_queue", noted)
        with inside() as (server, _):
            yield server, made[0]


@pytest.fixture
def server(server_and_page):
    return server_and_page[0]


@pytest.fixture
def page(server_and_page):
    return server_and_page[1]


async def join(client: httpx.AsyncClient, session: str) -> httpx.Response:
    body = {"data": [None, 100, 0, 0, False], "fn_index": 3, "session_hash": session}
    return await client.post("/gradio_api/queue/join", json=body)


def test_a_visitor_who_makes_up_sessions_forgets_the_own_ones():
    known, forgotten = streams.Streams(), []
    known.on_forgotten = forgotten.append
    assert known.belongs("annas", ANNA)
    assert all(known.belongs(f"{number}", BEN) for number in range(200))
    assert known.of_account(BEN.account) == [f"{n}" for n in range(184, 200)]
    assert forgotten[:2] == ["0", "1"]
    assert not known.belongs("annas", BEN)


def test_an_address_has_sixty_four_sessions_however_many_cookies_it_takes():
    known = streams.Streams()
    for number in range(200):
        known.belongs(f"{number}", Visitor(f"cookie {number}", "10.0.0.2"))
    assert len(known.of_account("10.0.0.2")) == 64


def test_a_session_with_an_open_page_outlives_unused_ones():
    known = streams.Streams()
    known.belongs("page", ANNA)
    with known.open(ANNA, "page", is_page=True):
        for number in range(99):
            known.belongs(f"{number}", ANNA)
        assert "page" in known


def test_gradio_keeps_nothing_of_a_session_that_was_forgotten(server, page):
    async def visit() -> None:
        async with server.client("10.0.0.3") as client:
            await client.get("/")
            for number in range(40):
                assert (await join(client, f"many{number}")).status_code == 200
                await client.get(f"/gradio_api/queue/data?session_hash=many{number}")
                body = {"data": [as_file("/photos/a/b"), 1.0], "session_hash": f"no {number}"}
                await client.post("/gradio_api/call/enhance", json=body)

    server.run(visit())
    held = [*page.state_holder.session_data, *page._queue.pending_messages_per_session]
    held += page._queue.pending_event_ids_session
    assert sum("many" in name for name in page.state_holder.session_data) == 16
    assert not [name for name in held if name == "many0" or "no " in name]


def test_answers_that_nobody_reads_are_bounded_and_dropped_in_time(server, page, monkeypatch):
    async def visit() -> tuple[list[int], int]:
        async with server.client("10.0.0.4") as client:
            await client.get("/")
            statuses = [(await join(client, f"s{n % 4}")).status_code for n in range(80)]
            monkeypatch.setattr(streams, "_DESERTED_SECONDS", 0.0)
            return statuses, (await join(client, "later")).status_code

    statuses, later = server.run(visit())
    assert statuses == [200] * 64 + [400] * 16
    assert later == 200
    assert not [name for name in page._queue.pending_messages_per_session if name in ("s0", "s3")]


def test_a_function_that_is_not_there_is_told_in_words(server):
    async def ask() -> httpx.Response:
        async with server.client() as client:
            body = {"data": [], "fn_index": 999, "session_hash": "odd"}
            return await client.post("/gradio_api/queue/join", json=body)

    answer = server.run(ask())
    assert (answer.status_code, answer.json()["detail"]) == (400, "There is no such function.")


def test_gradio_keeps_no_table_of_events(server, page):
    async def ask() -> None:
        async with server.client() as client:
            await client.get("/")
            await call(client, [as_file("/photos/a/b"), 1.0])

    server.run(ask())
    assert len(page._queue.event_analytics) == 0


def test_names_of_uploads_are_forgotten(server, monkeypatch):
    monkeypatch.setattr(routes, "_PROGRESS_SECONDS", 0.0)

    async def visit() -> list[int]:
        async with server.client() as client:
            await client.get("/")
            files = {"files": ("a.jpg", b"x")}
            sent = await client.post("/gradio_api/upload?upload_id=mine", files=files)
            task = asyncio.create_task(client.get("/gradio_api/upload_progress?upload_id=never"))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return [sent.status_code]

    assert server.run(visit()) == [200]
    assert not file_upload_statuses._statuses
    assert not file_upload_statuses._signals


def test_the_progress_of_an_upload_is_told_to_its_visitor_only(server):
    async def visit() -> tuple[str, bool]:
        async with server.client() as own, server.client() as other:
            for client in (own, other):
                await client.get("/")
            files = {"files": ("private.jpg", b"x" * 100)}
            path = "/gradio_api/upload_progress?upload_id=one"
            mine, others = (asyncio.create_task(client.get(path)) for client in (own, other))
            await asyncio.sleep(0.05)
            await own.post("/gradio_api/upload?upload_id=one", files=files)
            told = (await mine).text
            others.cancel()
            await asyncio.gather(others, return_exceptions=True)
            return told, others.cancelled()

    told, still_waiting = server.run(visit())
    assert '"msg": "done"' in told
    assert still_waiting


@pytest.mark.parametrize("query", ["session_hash", "upload_id"])
def test_long_names_are_not_remembered(server, query):
    async def ask() -> int:
        async with server.client() as client:
            path = {"session_hash": "queue/data", "upload_id": "upload_progress"}[query]
            return (await client.get(f"/gradio_api/{path}?{query}={'n' * 65}")).status_code

    assert server.run(ask()) == 404


def test_a_session_that_is_named_twice_is_not_found(server):
    async def listen() -> int:
        async with server.client() as client:
            page = "/gradio_api/queue/data?session_hash=mine&session_hash=yours"
            return (await client.get(page)).status_code

    assert server.run(listen()) == 404


@pytest.mark.parametrize("route", ["queue/join", "call/enhance"])
def test_nobody_puts_an_event_into_anothers_session(server, route):
    session = f"own{route[:4]}"

    async def push() -> tuple[int, str]:
        async with server.client() as own, server.client() as other:
            for client in (own, other):
                await client.get("/")
            body = {"data": [[], None], "fn_index": 1, "session_hash": session}
            assert (await own.post("/gradio_api/queue/join", json=body)).status_code == 200
            await own.get(f"/gradio_api/queue/data?session_hash={session}")
            answer = await other.post(f"/gradio_api/{route}", json=body)
            return answer.status_code, answer.text

    status, told = server.run(push())
    assert status >= 400
    assert "another visitor's" in told


def test_too_many_streams_of_one_account_are_refused(server, monkeypatch):
    monkeypatch.setattr(streams, "_STREAMS", 1)

    async def listen() -> list[int]:
        async with server.client() as client:
            await client.get("/")
            first = asyncio.create_task(client.get("/gradio_api/heartbeat/first"))
            await asyncio.sleep(0.05)
            refused = await client.get("/gradio_api/queue/data?session_hash=second")
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            later = await client.get("/gradio_api/queue/data?session_hash=second")
            return [refused.status_code, later.status_code]

    assert server.run(listen()) == [429, 200]


def test_cookies_of_others_that_hold_json_do_not_hide_ours(server):
    other = 'settings={"size": 3, "names": ["a, b"]}'

    async def visit() -> int:
        async with server.client() as first:
            page = await first.get("/", headers={"cookie": other})
            ours = page.headers["set-cookie"].split(";")[0]
            session = "/gradio_api/queue/data?session_hash=json"
            await first.get(session)
        async with server.client(headers={"cookie": f"{other}; {ours}"}) as again:
            return (await again.get(session)).status_code

    assert server.run(visit()) == 200
