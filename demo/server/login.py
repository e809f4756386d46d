"""The login: nothing but `/health` and this page answers without it."""

import collections
import hmac
import ipaddress
import logging
import time

from markupsafe import escape
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.page.visitors import VisitorCookie
from demo.server.credentials import Credentials

_LOG = logging.getLogger(__name__)
_FREE_TRIES = 5
_LONGEST_WAIT = 300.0
_REMEMBERED = 10_000
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Login · Photo enhancer</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><style>
:root { color-scheme: light dark; font: 1rem system-ui, sans-serif; }
body { margin: 0; min-height: 90vh; display: grid; place-items: center; background: Canvas; }
form { display: grid; gap: 0.9rem; width: min(20rem, 88vw); }
h1 { margin: 0; font-size: 1.5rem; letter-spacing: -0.02em; }
label { display: grid; gap: 0.3rem; font-size: 0.9rem; }
input, button { font: inherit; padding: 0.6rem 0.7rem; border-radius: 0.5rem; }
input { border: 1px solid #94a3b8; }
button { border: 0; background: #0369a1; color: white; font-weight: 600; cursor: pointer; }
p { margin: 0; color: #b0390b; min-height: 1.2em; }
@media (prefers-color-scheme: dark) { p { color: #fdba8c; } }
</style></head><body><form method="post" action="login"><h1>Photo enhancer</h1>
<label>User <input name="username" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password"
required></label> <button>Login</button><p role="alert">{problem}</p></form></body></html>"""


class Throttle:
    """After a few wrong tries an address has to wait, each time twice as long."""

    def __init__(self):
        self._tries: collections.OrderedDict[str, tuple[int, float]] = collections.OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """Return how long this address has to wait before its next try is looked at."""
        wrong, last = self._tries.get(_network(address), (0, 0.0))
        if wrong < _FREE_TRIES:
            return 0.0
        pause = min(2.0 ** (wrong - _FREE_TRIES), _LONGEST_WAIT)
        return max(0.0, last + pause - time.monotonic())

    def note(self, address: str, *, is_right: bool) -> None:
        wrong, _ = self._tries.pop(_network(address), (0, 0.0))
        if not is_right:
            self._tries[_network(address)] = (wrong + 1, time.monotonic())
            if len(self._tries) > _REMEMBERED:
                self._tries.popitem(last=False)


class LoginWall:
    """ASGI middleware.

    Args:
        app: what is behind.
        credentials: what opens it.
        cookie: marks who has logged in.
    """

    def __init__(self, app: ASGIApp, credentials: Credentials, cookie: VisitorCookie):
        self._app = app
        self._credentials = credentials
        self._cookie = cookie
        self._throttle = Throttle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/health":
            await self._app(scope, receive, send)
        elif scope["path"].rstrip("/") == "/login":
            await (await self._login(Request(scope, receive)))(scope, receive, send)
        elif scope["state"]["is_member"]:
            await self._app(scope, receive, send)
        elif scope["path"] == "/":
            await RedirectResponse("login", 303)(scope, receive, send)
        else:
            await JSONResponse({"detail": "Log in first."}, 401)(scope, receive, send)

    async def _login(self, request: Request) -> Response:
        if request.method != "POST":
            return _page("", 200)
        try:
            async with request.form(max_files=0, max_fields=5) as form:
                user, password = str(form.get("username", "")), str(form.get("password", ""))
        except MultiPartException:
            return _page("Incorrect user or password.", 400)
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
            return _page("Incorrect user or password.", 401)
        _LOG.info("login as %r from %s", user[:40], address)
        cookie = {"Set-Cookie": self._cookie.issue(request.scope, is_member=True)}
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("./", 303, cookie)
        return JSONResponse({"success": True}, headers=cookie)


def _page(problem: str, status: int, headers: dict[str, str] | None = None) -> Response:
    page = _PAGE.replace("{problem}", str(escape(problem)))
    return HTMLResponse(page, status, {"Cache-Control": "no-store", **(headers or {})})


def _network(address: str) -> str:
    """An IPv6 customer has 2**64 addresses: they count as one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if ip.version == 4 else str(ipaddress.ip_network(f"{ip}/64", strict=False))
