"""The page's routes: our upload and download, and those of Gradio's that it needs.

Gradio's upload answers with paths of the server and its download takes them. Both are replaced by
ours, which know handles only; its routes that fetch web addresses, or that nothing needs, are shut.
"""

import asyncio
import re
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from gradio.route_utils import GradioMultiPartParser, GradioUploadFile
from gradio.routes import file_upload_statuses
from gradio_client import utils as client_utils
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.page.streams import ANOTHERS, Streams
from demo.photos.limits import Limits
from demo.photos.storage import NoRoom, NotFound, Storage
from demo.photos.visitor import Visitor

UPLOAD = "/gradio_api/upload"
FILE = "/gradio_api/file="
SCRIPT = "/page.js"
_OPEN = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json"
    r"|/(assets|static|svelte)/(?!.*\.\.)[\w./@-]{1,200}"
    r"|/gradio_api/(info/?|openapi\.json|theme\.css|app_id/?|startup-events)"
    r"|/gradio_api/(upload_progress|heartbeat/\w{1,64}|queue/(join|data|status))"
    r"|/gradio_api/call/enhance(/\w{1,64})?/?",
    re.ASCII,
)
_STREAM = re.compile(
    r"/gradio_api/(queue/data|heartbeat/(?P<page>\w+)|call/enhance/(?P<event>\w+)/?)"
)
NAME = re.compile(r"[\w-]{1,64}", re.ASCII)
"""Of a session, an event or an upload."""
_PROGRESS_SECONDS = 5.0
"""For so long the page may still ask how an upload went."""
_NO_PAGE = JSONResponse({"detail": "There is no such page."}, 404)
_SHOWN = {".jpg": "image/jpeg", ".png": "image/png"}


class Routes:
    """ASGI application."""

    def __init__(self, page: ASGIApp, storage: Storage, limits: Limits, streams: Streams):
        self._page = page
        self._storage = storage
        self._limits = limits
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._page(scope, receive, send)
        elif scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
            query = parse_qs(scope["query_string"].decode("latin-1"))
            names = {key: query[key] for key in ("session_hash", "upload_id") if key in query}
            if not all(len(said) == 1 and NAME.fullmatch(said[0]) for said in names.values()):
                await _NO_PAGE(scope, receive, send)
                return
            session, upload = (names.get(key, [""])[0] for key in ("session_hash", "upload_id"))
            if upload:  # Gradio does not know whose an upload is
                names["upload_id"] = [upload := f"{scope['state']['visitor'].owner} {upload}"]
            # Of queries Gradio sees no more than this; and it would tell everybody the address that
            # the first visitor says in a header of its own.
            kept = [header for header in scope["headers"] if header[0] != b"x-gradio-server"]
            seen = {"headers": kept, "query_string": urlencode(names, doseq=True).encode()}
            scope = {**scope, **seen}
            answer = await self._answer(path, session, upload, scope, receive)
            await answer(scope, receive, send)
        # A WebSocket gets no answer: nothing here speaks it.

    async def _answer(
        self, path: str, session: str, upload: str, scope: Scope, receive: Receive
    ) -> ASGIApp:
        visitor: Visitor = scope["state"]["visitor"]
        if path == UPLOAD and scope["method"] == "POST":
            return await self._receive_upload(Request(scope, receive), visitor, upload)
        if path.startswith(FILE) and scope["method"] in ("GET", "HEAD"):
            return self._send_file(path.removeprefix(FILE), visitor)
        if path == SCRIPT:
            return FileResponse(Path(__file__).with_name("page.js"), media_type="text/javascript")
        if not _OPEN.fullmatch(path):
            return _NO_PAGE
        if path.endswith("/upload_progress"):
            return self._tell_progress(upload)
        if not (stream := _STREAM.fullmatch(path)):
            return self._page
        name = stream["page"] or stream["event"] or session
        if not self._streams.belongs(name, visitor):
            return JSONResponse({"detail": ANOTHERS}, 404)
        if self._streams.are_too_many(visitor):
            return JSONResponse({"detail": "You have too many pages open."}, 429)

        async def listen(scope: Scope, receive: Receive, send: Send) -> None:
            # An open page is not yet somebody who waits for an answer.
            with self._streams.open(visitor, name, is_page=bool(stream["page"])):
                await self._page(scope, receive, send)

        return listen

    def _tell_progress(self, upload: str) -> ASGIApp:
        async def tell(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self._page(scope, receive, send)
            finally:
                _forget_progress(upload)

        return tell

    def _send_file(self, handle: str, visitor: Visitor) -> Response:
        try:
            path = self._storage.find(visitor, handle)
        except NotFound as refusal:
            return JSONResponse({"detail": str(refusal)}, 404)
        kind = _SHOWN.get(path.suffix)
        return FileResponse(
            path,
            media_type=kind or "application/octet-stream",
            filename=path.name,
            content_disposition_type="inline" if kind else "attachment",
            headers={"Cache-Control": "private, no-cache"},
        )

    async def _receive_upload(self, request: Request, visitor: Visitor, upload: str) -> Response:
        length = request.headers.get("content-length", "")
        # Chunks would be believed in place of the length.
        if not length.isdecimal() or not int(length) or "transfer-encoding" in request.headers:
            return PlainTextResponse("An upload has to say its length (Content-Length).", 411)
        try:
            with self._storage.receiving(visitor, int(length)) as folder:
                files = await self._read_upload(request, folder, upload)
                return JSONResponse(self._storage.put(visitor, files))
        except NoRoom as full:
            return PlainTextResponse(str(full), 507)
        except MultiPartException as error:
            status = 413 if "maximum allowed" in error.message else 400
            return PlainTextResponse(error.message, status)
        except (TypeError, ValueError, KeyError, OSError):
            return PlainTextResponse("There is no file in this upload, or its name is bad.", 400)
        finally:
            if upload:
                file_upload_statuses.set_done(upload)
                loop = asyncio.get_running_loop()
                loop.call_later(_PROGRESS_SECONDS, _forget_progress, upload)

    async def _read_upload(
        self, request: Request, folder: Path, upload: str
    ) -> list[tuple[Path, str]]:
        """Write the files of a request into a folder; return where they lie, and their names.

        Gradio's parser writes to the disk as bytes come in, and tells the page how far it is.
        Fields that are not files it would hold in memory: there may be none.
        """
        if upload:
            file_upload_statuses.track(upload)
        parser = GradioMultiPartParser(
            request.headers,
            request.stream(),
            max_files=self._limits.photos_per_batch,
            max_fields=0,
            upload_dir=str(folder),
            max_file_size=self._limits.upload_megabytes * 1_000_000,
            upload_id=upload or None,
            upload_progress=file_upload_statuses if upload else None,
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


def _forget_progress(upload: str) -> None:
    """Gradio itself keeps the names of uploads for good."""
    file_upload_statuses.stop_tracking(upload)
    file_upload_statuses._signals.pop(upload, None)
