"""`GET /health`: what a load balancer or a monitor asks."""

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from demo.photos.photo_queue import PhotoQueue


def add_health(app: FastAPI, queue: PhotoQueue, model: str) -> None:
    """Answer `/health`, without a login: 200 while photos are taken, 503 while the server stops.

    The answer is JSON: `status` ("ready" or "stopping"; "starting" comes from
    `demo.server.http_server`), `model` (its description), `queue_length` (photos that wait),
    `photos_in_hand` and `photos_done` (since the start, failed ones included).
    """

    @app.get("/health", include_in_schema=False)
    async def health() -> JSONResponse:
        counts = queue.counts()
        answer = {
            "status": "stopping" if queue.is_closed else "ready",
            "model": model,
            "queue_length": counts["waiting"],
            "photos_in_hand": counts["working"],
            "photos_done": counts["done"],
        }
        return JSONResponse(answer, 503 if queue.is_closed else 200, {"Cache-Control": "no-store"})
