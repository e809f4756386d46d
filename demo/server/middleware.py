"""ASGI middleware around everything that the server answers: time, size, names and headers."""

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from demo.photos.visitor import is_loopback, parse_address

_IDLE_SECONDS = 20.0
"""Longest silence in the middle of a request or an answer."""
_GRACE_SECONDS, _SLOWEST_BYTES_PER_SECOND = 30.0, 10_000
_MOST_BODY = 1_000_000
"""Bytes of a request; uploads have a limit of their own."""
_INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?")
_TOO_LONG = 413, "The request is too long."
_NOT_OURS = (
    "This server does not answer to this name. Use its address, or start it with --allowed-host "
    "and the name."
)
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FROM_ELSEWHERE = "This request comes from a page of another site."


class BoundedRequests:
    """A request comes in bounded time and size, and whoever does not read the answer is cut off."""

    def __init__(self, app: ASGIApp, unbounded: Iterable[str] = ()):
        self._app = app
        self._unbounded = frozenset(unbounded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, received, is_whole, has_answered = time.monotonic(), 0, False, False
        most = float("inf") if scope["path"] in self._unbounded else _MOST_BODY
        bound: _Bounded | None = None

        async def receive_bounded() -> Message:
            nonlocal received, is_whole, bound
            if is_whole:  # only the end of the connection is still to come, whenever it comes
                return await receive()
            spare = begun + _GRACE_SECONDS + received / _SLOWEST_BYTES_PER_SECOND - time.monotonic()
            try:
                async with asyncio.timeout(min(_IDLE_SECONDS, max(spare, 0.001))):
                    message = await receive()
            except TimeoutError:
                bound = _Bounded(408, "The request came too slowly.")
                raise bound from None
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if received > most:
                raise (bound := _Bounded(*_TOO_LONG))
            return message

        async def send_bounded(message: Message) -> None:
            nonlocal has_answered
            if bound is not None and not has_answered:
                return  # whoever read the request made an answer of the exception: ours follows
            has_answered = True
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await send(message)
            except TimeoutError:
                raise _Bounded(408, "The answer was not read.") from None

        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > most:
            bound = _Bounded(*_TOO_LONG)
        else:
            try:
                await self._app(scope, receive_bounded, send_bounded)
            except Exception:
                if bound is None or has_answered:
                    raise  # the server closes the connection
        if bound is not None and not has_answered:
            status, sentence = bound.args
            answer = JSONResponse({"detail": sentence}, status, {"Connection": "close"})
            await answer(scope, receive, send)


class _Bounded(Exception):
    """Status and sentence of an answer."""


class TrustedProxy:
    """What a request says in a proxy's name counts only from a proxy, which is on this computer."""

    def __init__(self, app: ASGIApp, *, has_proxy: bool):
        self._app = app
        self._behind_proxy = ProxyHeadersMiddleware(app, ["127.0.0.1", "::1"])  # type: ignore
        self._has_proxy = has_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: Any = self._app
        if scope["type"] == "http":
            if self._has_proxy and is_loopback((scope.get("client") or ("", 0))[0]):
                app = self._behind_proxy
            else:
                said = b"x-forwarded", b"forwarded"
                own = [header for header in scope["headers"] if not header[0].startswith(said)]
                scope = {**scope, "headers": own}
        await app(scope, receive, send)


class KnownHosts:
    """Requests have to be meant for this server, and pages of others may not send any.

    A web page elsewhere can give its own name this computer's address (DNS rebinding); its requests
    then come with that name. Addresses written in digits cannot be misused in this way.
    """

    def __init__(self, app: ASGIApp, host: str, allowed: Iterable[str] = ()):
        self._app = app
        self._names = {"localhost", *(name.lower().rstrip(".") for name in (host, *allowed))}
        self._is_local = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(Headers(scope=scope))):
            await JSONResponse({"detail": refusal}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> str | None:
        # A proxy says in X-Forwarded-Host what its visitor asked for; web pages cannot set it.
        asked = [*headers.getlist("host"), *headers.getlist("x-forwarded-host")]
        if "host" not in headers or not all(map(self._is_own, asked)):
            return _NOT_OURS
        for origin in headers.getlist("origin"):
            scheme, _, host = origin.lower().partition("://")
            default = {"http": ":80", "https": ":443"}.get(scheme, "")
            own = [name.lower().removesuffix(default) for name in asked]
            if host.removesuffix(default) not in own:
                return _FROM_ELSEWHERE
        return None

    def _is_own(self, host: str) -> bool:
        if not (parts := _HOST.fullmatch(host.lower())):
            return False
        name = parts[1].strip("[]")
        if name.rstrip(".") in self._names or is_loopback(name):
            return True
        return not self._is_local and parse_address(name) is not None


class SafeHeaders:
    """Answers say to browsers what they may not do: guess types, frame, load them elsewhere.

    The page's own inline scripts are named by their hashes, so that markup which somebody smuggled
    into the page runs nothing. `unsafe-eval` is for Gradio, which compiles the templates of
    `gr.HTML`.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None
        page = b""

        async def send_safely(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_SAFE | {"Content-Security-Policy": _policy(b"")})
                if headers.get("content-type", "").startswith("text/html"):
                    start = message  # the page is small, and its policy depends on it
                    return
            elif start is not None:
                page += message.get("body", b"")
                if message.get("more_body"):
                    return
                if "content-encoding" not in (headers := MutableHeaders(scope=start)):
                    headers["Content-Security-Policy"] = _policy(page)
                await send(start)
                message, start = {**message, "body": page}, None
            await send(message)

        await self._app(scope, receive, send_safely)


def _policy(page: bytes) -> str:
    digests = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page))
    hashes = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'self'; script-src 'self' 'unsafe-eval'{hashes}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
