"""Who a visitor is: a random word in a signed cookie, which no other site's page can send along."""

import hashlib
import hmac
import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.photos.visitor import Visitor

_GUEST, _MEMBER = "guest", "member"
_GIVEN_AT = ("/", "/config")  # where browsers and gradio_client begin


class VisitorCookie:
    """Makes cookies that this process recognises, and nobody else can make.

    The name is this process's own: browsers send cookies to every port of a host, so that two
    servers on one computer would throw each other's visitors out.
    """

    def __init__(self):
        self._key = secrets.token_bytes(32)
        self._name = f"enhancer-{secrets.token_hex(4)}"

    def issue(self, scope: Scope, *, is_member: bool = False) -> str:
        """Return a `Set-Cookie` header for a new visitor.

        Args:
            scope: of the request.
            is_member: whether the visitor has logged in.
        """
        word = f"{secrets.token_urlsafe(16)}.{_MEMBER if is_member else _GUEST}"
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        value = f"{word}.{self._signature(word)}"
        return f"{self._name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"

    def read(self, scope: Scope) -> tuple[str | None, bool]:
        """Return the visitor's word and whether they have logged in; None without our cookie."""
        for name, value in scope["headers"]:
            if name == b"cookie":
                cookie = cookie_parser(value.decode("latin-1")).get(self._name, "")
                word, _, signature = cookie.rpartition(".")
                if hmac.compare_digest(signature.encode(), self._signature(word).encode()):
                    owner, _, kind = word.rpartition(".")
                    return owner, kind == _MEMBER
        return None, False

    def _signature(self, word: str) -> str:
        return hmac.new(self._key, word.encode(), hashlib.sha256).hexdigest()


class Visitors:
    """ASGI middleware: `scope["state"]` says who asks (`visitor`) and if as `is_member`."""

    def __init__(self, app: ASGIApp, cookie: VisitorCookie):
        self._app = app
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "visitor" in scope.get("state", {}):
            await self._app(scope, receive, send)
            return
        owner, is_member = self._cookie.read(scope)
        address = (scope.get("client") or ("127.0.0.1", 0))[0]
        visitor = Visitor(owner or f"at {address}", address)
        scope = {
            **scope,
            "state": scope.get("state", {}) | {"visitor": visitor, "is_member": is_member},
        }
        is_new = (
            owner is None and scope["path"].removeprefix(scope.get("root_path", "")) in _GIVEN_AT
        )

        async def send_with_cookie(message: Message) -> None:
            if is_new and message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message).append("set-cookie", self._cookie.issue(scope))
            await send(message)

        await self._app(scope, receive, send_with_cookie)
