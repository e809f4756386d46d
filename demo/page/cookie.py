"""Who a visitor is: a random word in a signed cookie, which no other site's page can send along."""

import hmac
import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
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
        """Return a `Set-Cookie` header for a new visitor, who may have logged in."""
        word = f"{secrets.token_urlsafe(16)}.{_MEMBER if is_member else _GUEST}"
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        value = f"{word}.{self._sign(word)}"
        return f"{self._name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"

    def read(self, scope: Scope) -> tuple[str | None, bool]:
        """Return the visitor's word and whether they have logged in; None without our cookie."""
        word, _, signature = HTTPConnection(scope).cookies.get(self._name, "").rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(word).encode()):
            return None, False
        owner, _, kind = word.rpartition(".")
        return owner, kind == _MEMBER

    def _sign(self, word: str) -> str:
        return hmac.digest(self._key, word.encode(), "sha256").hex()


class IdentifyVisitor:
    """ASGI middleware: `scope["state"]` says who asks (`visitor`), and whether as `is_member`."""

    def __init__(self, app: ASGIApp, cookie: VisitorCookie):
        self._app = app
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = scope.get("state", {})
        if scope["type"] != "http" or "visitor" in known:
            await self._app(scope, receive, send)
            return
        owner, is_member = self._cookie.read(scope)
        address = (scope.get("client") or ("127.0.0.1", 0))[0]
        visitor = Visitor(owner or f"at {address}", address)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        is_new = owner is None and path in _GIVEN_AT

        async def send_with_cookie(message: Message) -> None:
            if is_new and message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message).append("set-cookie", self._cookie.issue(scope))
            await send(message)

        state = known | {"visitor": visitor, "is_member": is_member}
        await self._app({**scope, "state": state}, receive, send_with_cookie)
