"""The login: nothing but `/health` and this page answers without it."""

import hmac
import logging
import time
from collections import OrderedDict
from pathlib import Path
from urllib.parse import parse_qs

from markupsafe import escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.page.cookie import VisitorCookie
from demo.photos.visitor import network
from demo.server.credentials import Credentials

_LOG = logging.getLogger(__name__)
_FREE_TRIES = 5
_LONGEST_WAIT = 300.0
_REMEMBERED = 10_000
_MOST_FORM = 4096  # bytes
_FORM = "application/x-www-form-urlencoded"
_WRONG = "Incorrect user or password."
_PAGE = Path(__file__).with_name("login.html").read_text()


class RequireLogin:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, credentials: Credentials, cookie: VisitorCookie):
        self._app = app
        self._credentials = credentials
        self._cookie = cookie
        self._throttle = _Throttle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp
        if scope["type"] != "http" or scope["path"] == "/health":
            app = self._app
        elif scope["path"].rstrip("/") == "/login":
            app = await self._login(Request(scope, receive))
        elif scope["state"]["is_member"]:
            app = self._app
        elif scope["path"] == "/":
            app = RedirectResponse("login", 303)
        else:
            app = JSONResponse({"detail": "Log in first."}, 401)
        await app(scope, receive, send)

    async def _login(self, request: Request) -> Response:
        if request.method != "POST":
            return _page("", 200)
        if not request.headers.get("content-type", "").lower().startswith(_FORM):
            return _page(_WRONG, 400)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_FORM:
                return _page(_WRONG, 413, {"Connection": "close"})
        # Of a plain form only, and in UTF-8: a framework's parser decodes in whatever way the
        # request names, and some ways take minutes.
        try:
            form = parse_qs(body.decode("ascii"), errors="replace", max_num_fields=5)
        except ValueError:
            return _page(_WRONG, 400)
        user, password = (form.get(name, [""])[0] for name in ("username", "password"))
        # From here on nothing waits: requests that come together are judged one after the other.
        address = request.state.visitor.address
        wait = self._throttle.wait_seconds(address)
        if wait > 0:
            told = f"Too many wrong tries. Wait {wait:.0f} seconds, then try again."
            return _page(told, 429, {"Retry-After": f"{wait:.0f}"})
        # Both are always compared, each in a time that says nothing.
        is_right = hmac.compare_digest(user.strip().encode(), self._credentials.user.encode())
        is_right &= hmac.compare_digest(password.encode(), self._credentials.password.encode())
        self._throttle.note(address, is_right=is_right)
        if not is_right:
            _LOG.warning("wrong login as %r from %s", user[:40], address)
            return _page(_WRONG, 401)
        _LOG.info("login as %r from %s", user[:40], address)
        cookie = {"Set-Cookie": self._cookie.issue(request.scope, is_member=True)}
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("./", 303, cookie)
        return JSONResponse({"success": True}, headers=cookie)


class _Throttle:
    """After a few wrong tries an address has to wait, each time twice as long."""

    def __init__(self):
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        wrong, last = self._tries.get(network(address), (0, 0.0))
        if wrong < _FREE_TRIES:
            return 0.0
        pause = min(2.0 ** (wrong - _FREE_TRIES), _LONGEST_WAIT)
        return max(0.0, last + pause - time.monotonic())

    def note(self, address: str, *, is_right: bool) -> None:
        wrong, _ = self._tries.pop(network(address), (0, 0.0))
        if not is_right:
            self._tries[network(address)] = (wrong + 1, time.monotonic())
            if len(self._tries) > _REMEMBERED:
                self._tries.popitem(last=False)


def _page(problem: str, status: int, headers: dict[str, str] | None = None) -> Response:
    page = _PAGE.replace("{problem}", str(escape(problem)))
    return HTMLResponse(page, status, {"Cache-Control": "no-store", **(headers or {})})
