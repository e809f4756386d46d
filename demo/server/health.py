"""`GET /health`: what a load balancer or a monitor asks."""

from concurrent.futures import Future
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from demo.photos.photo_queue import PhotoQueue

if TYPE_CHECKING:
    from enhancer.inference.enhancer import Enhancer


def add_health(app: FastAPI, queue: PhotoQueue, model: "Future[Enhancer]") -> None:
    """Answer `/health`, without a login: 200 when photos are worked on, otherwise 503.

    The answer is JSON: `status` ("warming" while the model is loaded, "ready", or "stopping";
    "starting" comes from `demo.server.http_server`), `model` (its description, null while it is
    loaded), `queue_length` (photos that wait), `photos_in_hand` and `photos_done` (since the start,
    failed ones included).
    """

    @app.get("/health", include_in_schema=False)
    async def health() -> JSONResponse:
        counts, is_loaded = queue.counts(), model.done() and not model.exception()
        status = "stopping" if queue.is_closed else "ready" if is_loaded else "warming"
        answer = {
            "status": status,
            "model": model.result().description if is_loaded else None,
            "queue_length": counts["waiting"],
            "photos_in_hand": counts["working"],
            "photos_done": counts["done"],
        }
        code = 200 if status == "ready" else 503
        return JSONResponse(answer, code, {"Cache-Control": "no-store"})
