"""With a login nothing answers without it, and nobody guesses it."""

import re
import urllib.parse

import gradio as gr
import httpx
import pytest
from gradio.routes import App

from demo.server.credentials import Credentials, CredentialsError, read_credentials
from tests.helpers.demo_page import FakeEnhancer, inside, serving

RIGHT = {"username": "anna", "password": "s3cret"}


@pytest.fixture(scope="module")
def locked():
    with inside(credentials=Credentials("anna", "s3cret")) as (server, _):
        yield server


def routes_of(server) -> set[str]:
    """Every route that Gradio has, from its own table."""
    found = set()

    def walk(routes) -> None:
        for route in routes:
            walk(getattr(getattr(route, "original_router", None), "routes", []))
            walk(getattr(getattr(route, "app", None), "routes", []))
            if path := getattr(route, "path", None):
                found.add(path)

    with gr.Blocks() as blocks:
        pass
    app = App.create_app(blocks)
    walk(app.routes)
    return found


def test_without_logging_in_nothing_answers_but_health_and_the_login(locked):
    paths = {re.sub(r"\{[^}]*\}", "x", path) for path in routes_of(locked)}
    paths |= {"/gradio_api/openapi.json", "/gradio_api/reset", "/gradio_api/cancel", "/page.js"}
    paths |= {"/gradio_api/heartbeat/x", "/gradio_api/upload", "/gradio_api/queue/join"}
    paths |= {"/LOGIN", "/health/", "/health/../config", "/login/../config", "/login/config"}
    paths -= {"/login", "/login/", "/"}
    assert len(paths) >= 40

    async def ask() -> dict[str, int]:
        async with locked.client() as client:
            return {
                f"{method} {path}": (await client.request(method, path)).status_code
                for path in paths
                for method in ("GET", "POST", "HEAD", "PUT", "OPTIONS")
            }

    assert {key: status for key, status in locked.run(ask()).items() if status != 401} == {}

    async def open_pages() -> list[int]:
        async with locked.client() as client:
            return [(await client.get(page)).status_code for page in ("/", "/login", "/health")]

    assert locked.run(open_pages()) == [303, 200, 200]


def test_a_login_is_throttled_and_logged_without_the_password(locked, caplog):
    async def guess() -> list[int]:
        async with locked.client("10.1.2.3") as client:
            guesses = [{"username": "anna\n", "password": f"wrong{i}"} for i in range(50)]
            return [
                (await client.post("/login", data=data)).status_code for data in (*guesses, RIGHT)
            ]

    async def enter() -> tuple[int, int]:
        async with locked.client("10.1.2.4") as client:
            entered = (await client.post("/login", data=RIGHT)).status_code
            return entered, (await client.get("/config")).status_code

    statuses = locked.run(guess())
    assert statuses[:5] == [401] * 5
    assert set(statuses[6:]) == {429}
    assert locked.run(enter()) == (200, 200)
    logged = [record.getMessage() for record in caplog.records]
    assert any("wrong login as" in line and "from 10.1.2.3" in line for line in logged)
    for line in logged:
        assert not any(hidden in line for hidden in ("wrong1", "s3cret", "\n"))


def test_a_cookie_that_somebody_made_up_opens_nothing(locked):
    async def ask(change) -> int:
        async with locked.client() as client:
            cookie = (await client.post("/login", data=RIGHT)).headers["set-cookie"].split(";")[0]
        async with locked.client(headers={"cookie": change(cookie)}) as client:
            return (await client.get("/config")).status_code

    assert locked.run(ask(lambda cookie: cookie)) == 200
    changes = [lambda cookie: cookie[:-1] + ("0" if cookie[-1] != "0" else "1")]
    changes += [
        lambda cookie: cookie.replace("=", "=x", 1),
        lambda cookie: cookie.rpartition(".")[0],
    ]
    changes += [lambda cookie: cookie.split("=")[0] + "=x.member.", lambda cookie: ""]
    for change in changes:
        assert locked.run(ask(change)) == 401


def test_an_address_that_a_visitor_made_up_does_not_get_around_the_login():
    with serving(FakeEnhancer(), credentials=Credentials("anna", "s3cret")) as address:
        statuses = [
            httpx.post(
                urllib.parse.urljoin(address, "login"),
                data={"username": "anna", "password": "wrong"},
                headers={"X-Forwarded-For": f"10.0.0.{number}"},
            ).status_code
            for number in range(6)
        ]
    assert statuses == [401] * 5 + [429]


def test_a_login_with_a_file_in_it_is_refused(locked):
    async def enter() -> int:
        async with locked.client() as client:
            files = {"password": ("a.txt", b"s3cret")}
            return (await client.post("/login", data=RIGHT, files=files)).status_code

    assert locked.run(enter()) == 400


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data; boundary=b; charset=punycode", b"--b--", 400),
        ("application/x-www-form-urlencoded", b"username=" + b"a" * 5000, 413),
        ("application/x-www-form-urlencoded; charset=punycode", b"username=a&password=b", 401),
        ("application/x-www-form-urlencoded", "username=\xe4".encode(), 400),
        ("application/x-www-form-urlencoded", b"&" * 99, 400),
    ],
)
def test_a_login_reads_a_short_plain_form_and_nothing_else(locked, kind, body, status):
    async def enter() -> int:
        async with locked.client() as client:
            headers = {"Content-Type": kind}
            return (await client.post("/login", content=body, headers=headers)).status_code

    assert locked.run(enter()) == status


def test_user_and_password_come_from_a_file_or_the_environment(tmp_path):
    (tmp_path / "password").write_text("s3cret\nsecond line\n")
    assert read_credentials(None, None, {}) is None
    given = read_credentials("anna", tmp_path / "password", {})
    assert (given.user, given.password) == ("anna", "s3cret")
    assert "s3cret" not in repr(given)
    variables = {"ENHANCER_DEMO_USER": "anna", "ENHANCER_DEMO_PASSWORD": "s3cret"}
    assert read_credentials(None, None, variables) == given


@pytest.mark.parametrize(
    ("user", "file", "variables", "sentence"),
    [
        ("anna", None, {}, "no password"),
        (None, None, {"ENHANCER_DEMO_PASSWORD": "x"}, "no user"),
        ("anna", "", {}, "is empty"),
        ("anna", None, {"ENHANCER_DEMO_PASSWORD": ""}, "no password"),
    ],
)
def test_half_a_login_is_refused(tmp_path, user, file, variables, sentence):
    if file is not None:
        (tmp_path / "password").write_text(file)
    with pytest.raises(CredentialsError, match=sentence):
        read_credentials(user, tmp_path / "password" if file is not None else None, variables)
