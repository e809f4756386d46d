"""The page as an application of its own, with `/health`, a login, and bounds on every request."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.types import ASGIApp

from demo.app import mount_page
from demo.page.cookie import IdentifyVisitor, VisitorCookie
from demo.page.model_card import ModelCard
from demo.page.routes import UPLOAD
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.server.credentials import Credentials
from demo.server.health import add_health
from demo.server.login import RequireLogin
from demo.server.middleware import BoundedRequests, KnownHosts, SafeHeaders, TrustedProxy

if TYPE_CHECKING:
    from enhancer.inference.enhancer import Enhancer


def create_app(
    model: "Future[Enhancer]",
    card: ModelCard,
    limits: Limits,
    queue: PhotoQueue,
    credentials: Credentials | None = None,
    *,
    host: str = "127.0.0.1",
    allowed_hosts: Sequence[str] = (),
) -> ASGIApp:
    """Return the application: the page at `/`, and `/health`. Without credentials all may enter."""
    app = FastAPI(title="Photo enhancer", docs_url=None, redoc_url=None, openapi_url=None)
    add_health(app, queue, model)
    mount_page(app, model, card=card, limits=limits, queue=queue)
    cookie = VisitorCookie()
    guarded: ASGIApp = app
    if credentials is not None:
        guarded = RequireLogin(guarded, credentials, cookie)
    guarded = IdentifyVisitor(guarded, cookie)
    guarded = SafeHeaders(KnownHosts(guarded, host, allowed_hosts))
    guarded = BoundedRequests(guarded, unbounded=[UPLOAD])
    # Who is known by another name has a proxy in front; its word for who asks is taken.
    return TrustedProxy(guarded, has_proxy=bool(allowed_hosts))
