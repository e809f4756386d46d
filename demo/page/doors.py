"""The only ways into the page: our upload and download, and those of Gradio's routes that it needs.

Gradio's upload answers with paths of the server and its download takes them. Both are replaced by
ours, which know handles only; its routes that fetch web addresses, or that nothing needs, are shut.
"""

import contextlib
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

from gradio.route_utils import GradioMultiPartParser, GradioUploadFile
from gradio.routes import file_upload_statuses
from gradio_client import utils as client_utils
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.photos.limits import Limits
from demo.photos.shelf import NOT_HERE, NoRoom, NotHere, Shelf
from demo.photos.visitor import Visitor

_API = "/gradio_api"
UPLOAD = f"{_API}/upload"
FILE = f"{_API}/file="
SCRIPT = "/page.js"
_SCRIPT_FILE = Path(__file__).with_name("page.js")
_OPEN = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json"
    r"|/(assets|static|svelte)/(?!.*\.\.)[\w./@-]+"
    r"|/gradio_api/(info/?|openapi\.json|theme\.css|app_id/?|startup-events)"
    r"|/gradio_api/(upload_progress|heartbeat/\w{1,64}|queue/(join|data|status))"
    r"|/gradio_api/call/enhance(/\w{1,64})?/?"
)
_LISTENED = re.compile(
    r"/gradio_api/(queue/data|heartbeat/(?P<page>\w+)|call/enhance/(?P<event>\w+)/?)"
)
_SHOWN = {".jpg": "image/jpeg", ".png": "image/png"}
GONE_SECONDS = 15.0
"""For so long an answer is still made that nobody listens for: a connection may have broken off."""
_REMEMBERED = 10_000
_MOST_STREAMS = 64
"""Of one account: a page holds two, and an office behind one address has many pages."""
ANOTHERS = "This session is another visitor's."


class Listeners:
    """Who listens for answers: streams that are open now, by the name of their session or event."""

    def __init__(self):
        self.streams: Counter[str] = Counter()
        """Open streams of each visitor's account."""
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._open: Counter[str] = Counter()
        self._closed: OrderedDict[str, float] = OrderedDict()

    def belongs(self, name: str, visitor: Visitor) -> bool:
        """Whether the session or event is this visitor's: whoever comes first has it."""
        owner = self._owners.setdefault(name, visitor.owner)
        self._owners.move_to_end(name)
        while len(self._owners) > _REMEMBERED:
            self._owners.popitem(last=False)
        return owner == visitor.owner

    @contextlib.contextmanager
    def streaming(self, account: str, name: str | None) -> Iterator[None]:
        """Count an open stream, and with a name of a session or event whoever listens on it."""
        self.streams[account] += 1
        try:
            with self._listening(name) if name else contextlib.nullcontext():
                yield
        finally:
            self.streams[account] -= 1
            self.streams += Counter()  # drops those at zero

    @contextlib.contextmanager
    def _listening(self, name: str) -> Iterator[None]:
        self._open[name] += 1
        try:
            yield
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]
            self._closed[name] = time.monotonic()
            while len(self._closed) > _REMEMBERED:
                self._closed.popitem(last=False)

    def watch(self, *names: str | None) -> Callable[[], bool]:
        """Return a function that says whether anybody listens, or did so a moment ago."""
        asked, known = time.monotonic(), [name for name in names if name]

        def is_listening() -> bool:
            if any(name in self._open for name in known):
                return True
            last = max([asked, *(self._closed[name] for name in known if name in self._closed)])
            return time.monotonic() - last < GONE_SECONDS

        return is_listening


class Doors:
    """ASGI application.

    Args:
        page: Gradio's application.
        shelf: where files lie.
        limits: of uploads.
        listeners: told of every stream of answers.
    """

    def __init__(self, page: ASGIApp, shelf: Shelf, limits: Limits, listeners: Listeners):
        self._page = page
        self._shelf = shelf
        self._limits = limits
        self._listeners = listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._page(scope, receive, send)
        elif scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
            await (await self._answer(path, scope, receive))(scope, receive, send)
        # A WebSocket gets no answer: nothing here speaks it.

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> ASGIApp:
        visitor: Visitor = scope["state"]["visitor"]
        if path == UPLOAD and scope["method"] == "POST":
            return await self._receive_upload(Request(scope, receive), visitor)
        if path.startswith(FILE) and scope["method"] in ("GET", "HEAD"):
            return self._send_file(path.removeprefix(FILE), visitor)
        if path == SCRIPT:
            return FileResponse(_SCRIPT_FILE, media_type="text/javascript")
        if not _OPEN.fullmatch(path):
            return JSONResponse({"detail": "There is no such page."}, 404)
        if listened := _LISTENED.fullmatch(path):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            sessions = query.get("session_hash", [""])
            name = listened["page"] or listened["event"] or sessions[0]
            if len(sessions) > 1 or not self._listeners.belongs(name, visitor):
                return JSONResponse({"detail": ANOTHERS}, 404)
            if self._listeners.streams[visitor.account] >= _MOST_STREAMS:
                return JSONResponse({"detail": "You have too many pages open."}, 429)
            # An open page is not yet somebody who waits for an answer.
            return self._stream(visitor.account, None if listened["page"] else name)
        return self._page

    def _stream(self, account: str, name: str | None) -> ASGIApp:
        async def page(scope: Scope, receive: Receive, send: Send) -> None:
            with self._listeners.streaming(account, name):
                await self._page(scope, receive, send)

        return page

    def _send_file(self, handle: str, visitor: Visitor) -> Response:
        try:
            path = self._shelf.find(visitor, handle)
        except NotHere:
            return JSONResponse({"detail": NOT_HERE}, 404)
        kind = _SHOWN.get(path.suffix)
        return FileResponse(
            path,
            media_type=kind or "application/octet-stream",
            filename=path.name,
            content_disposition_type="inline" if kind else "attachment",
            headers={"Cache-Control": "private, no-cache"},
        )

    async def _receive_upload(self, request: Request, visitor: Visitor) -> Response:
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return PlainTextResponse("An upload has to say its length (Content-Length).", 411)
        upload_id = request.query_params.get("upload_id", "")
        upload_id = upload_id if re.fullmatch(r"\w{1,64}", upload_id) else None
        try:
            with self._shelf.receiving(visitor, int(length)) as folder:
                files = await self._read_upload(request, folder, upload_id)
                return JSONResponse(self._shelf.put(visitor, files))
        except NoRoom as full:
            return PlainTextResponse(str(full), 507)
        except (TypeError, ValueError, KeyError, OSError):
            return PlainTextResponse("There is no file in this upload, or its name is bad.", 400)
        except MultiPartException as error:
            return PlainTextResponse(
                error.message, 413 if "maximum allowed" in error.message else 400
            )
        finally:
            if upload_id:
                file_upload_statuses.set_done(upload_id)

    async def _read_upload(
        self, request: Request, folder: Path, upload_id: str | None
    ) -> list[tuple[Path, str]]:
        """Write the files of a request into a folder; return where they lie, and their names.

        Gradio's parser writes to the disk as bytes come in, and tells the page how far it is.
        Fields that are not files it would hold in memory: there may be none.
        """
        if upload_id:
            file_upload_statuses.track(upload_id)
        parser = GradioMultiPartParser(
            request.headers,
            request.stream(),
            max_files=self._limits.photos_per_batch,
            max_fields=0,
            upload_dir=str(folder),
            max_file_size=self._limits.upload_megabytes * 1_000_000,
            upload_id=upload_id,
            upload_progress=file_upload_statuses if upload_id else None,
        )
        files = []
        for part in (await parser.parse()).getlist("files"):
            if not isinstance(part, GradioUploadFile):
                raise TypeError("not a file")
            part.file.close()
            name = client_utils.strip_invalid_filename_characters(Path(part.filename or "").name)
            files.append((Path(part.file.name), name or "photo"))
        if not files:
            raise ValueError("no files")
        return files
