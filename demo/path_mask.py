"""Between the visitors and Gradio: no path of the server leaves it, and no file but an upload or a result is reachable.

Gradio names files by their absolute paths, in answers and in requests. Here the folder in which they lie is replaced by
`/photos` on the way out, and back on the way in; requests that name anything else are refused, web addresses above all,
which Gradio would fetch. Routes that the page does not need are closed.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MASK = "/photos"
_TEXT_TYPES = (b"application/json", b"text/html", b"text/plain")
_STREAM_TYPE = b"text/event-stream"
_MOST_JSON = 1_000_000
_API = "/gradio_api/"
_OPEN_ROUTES = re.compile(
    r"(info|openapi\.json|upload|upload_progress|queue/(join|data|status)|heartbeat/\w+|call/.+|run/\w+|api/\w+|cancel|reset|"
    r"startup-events|app_id|login_check|user|theme\.css|file=.+)/?"
)
_CLOSED_PAGES = re.compile(r"/(monitoring|pwa_icon)(/|$)")


class PathMask:
    """ASGI middleware.

    Args:
        app: Gradio's application.
        folder: where Gradio keeps uploads and the page its results.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], folder: Path):
        self._app = app
        self._folder = str(folder)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope = self._unmask_address(scope)
            receive = await self._unmask_body(scope, receive)
        except _RefusedError as refusal:
            await _answer(send, refusal.status, str(refusal))
            return
        await self._app(scope, receive, self._masking(send))

    def _unmask_address(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        path = scope["path"]
        mounted_at = scope.get("root_path", "")
        inside = path.removeprefix(mounted_at) if mounted_at else path
        if _CLOSED_PAGES.match(inside) or (
            inside.startswith(_API) and not _OPEN_ROUTES.fullmatch(inside.removeprefix(_API))
        ):
            raise _RefusedError(404, "There is no such page.")
        before, is_file, name = path.partition(f"{_API}file=")
        if not is_file:
            return scope
        path = f"{before}{is_file}{self._unmask(name)}"
        return {**scope, "path": path, "raw_path": path.encode()}

    async def _unmask_body(self, scope: MutableMapping[str, Any], receive: Receive) -> Receive:
        if scope["method"] != "POST" or not _header(scope["headers"], b"content-type").startswith(b"application/json"):
            return receive
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(400, "The request broke off.")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > _MOST_JSON:
                raise _RefusedError(413, "The request is too long.")
        try:
            body = json.dumps(self._unmask_files(json.loads(body))).encode() if body else body
        except (ValueError, RecursionError):
            raise _RefusedError(400, "The request is no valid JSON.") from None
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        scope["headers"] = [*headers, (b"content-length", str(len(body)).encode())]
        whole = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_whole() -> Message:
            return whole.pop() if whole else await receive()

        return receive_whole

    def _unmask_files(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._unmask_files(item) for item in value]
        if not isinstance(value, dict):
            return value
        value = {key: self._unmask_files(item) for key, item in value.items()}
        if isinstance(value.get("path"), str):
            # The address that Gradio noted beside the path leads to the same file, and nothing needs it on the way in.
            value = {**value, "path": self._unmask(value["path"]), "url": None}
        return value

    def _unmask(self, name: str) -> str:
        if not name.startswith(f"{MASK}/") or ".." in name.split("/"):
            raise _RefusedError(404, "There is no such file. Upload the photo first.")
        return f"{self._folder}{name.removeprefix(MASK)}"

    def _masking(self, send: Send) -> Send:
        held: list[Message] = []
        is_stream = False

        async def send_masked(message: Message) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                content_type = _header(message["headers"], b"content-type")
                is_stream = content_type.startswith(_STREAM_TYPE)
                if content_type.startswith(_TEXT_TYPES):
                    held.append(message)  # its length is known when the body is
                    return
            elif held:
                held.append(message)
                if message.get("more_body"):
                    return
                start, *parts = held
                held.clear()
                body = self._mask(b"".join(part.get("body", b"") for part in parts))
                headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
                await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
                message = {"type": "http.response.body", "body": body}
            elif is_stream:
                # Gradio sends each event whole.
                message = {**message, "body": self._mask(message.get("body", b""))}
            await send(message)

        return send_masked

    def _mask(self, body: bytes) -> bytes:
        return body.replace(self._folder.encode(), MASK.encode())


class _RefusedError(Exception):
    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


def _header(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in headers if key.lower() == name), b"")


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
