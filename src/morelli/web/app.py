"""The application: routes, the gate before them, and one shape for whatever goes wrong."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from starlette.exceptions import HTTPException

from morelli._version import __version__
from morelli.web.desk import Desk
from morelli.web.front import Fronted
from morelli.web.gate import OPEN, Gate
from morelli.web.problems import plain_status

if TYPE_CHECKING:
    from morelli.web.page.mount import Page

#: Modules with ``register(router, desk)``. A new route is a file and a line here.
ROUTES = (
    "morelli.web.routes.identify",
    "morelli.web.routes.verify",
    "morelli.web.routes.check",
    "morelli.web.routes.protect",
    "morelli.web.routes.galleries",
    "morelli.web.routes.health",
)


def build_app(desk: Desk, routes: Sequence[str] = ROUTES, page: Page | None = None) -> FastAPI:
    """The API of one server, and its page.

    Parameters
    ----------
    desk : Desk
        Closed when the application ends.
    routes : sequence of str
        Modules.
    page : Page, optional
        From `morelli.web.page.mount.build_page`.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with page.life() if page is not None else nullcontext():
            yield
        desk.close()

    app = FastAPI(
        title="Morelli",
        version=__version__,
        summary="Which text-to-image model made this image, how sure are we, and what is the evidence?",
        # The interactive pages load scripts from elsewhere; the schema itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=life,
    )
    router = APIRouter()
    for name in routes:
        importlib.import_module(name).register(router, desk)
    app.include_router(router)
    _describe(app, desk)
    paths = frozenset({*app.openapi()["paths"], "/openapi.json"})

    async def refused(request: Request, error: Exception) -> Any:
        # To the gate, which tells, counts and records everything in one place.
        if isinstance(error, HTTPException):
            raise plain_status(error.status_code, error.headers) from error
        raise error

    app.add_exception_handler(HTTPException, refused)
    app.add_middleware(Gate, desk=desk, paths=paths)
    if page is not None:
        from morelli.web.page.door import Door

        app.add_middleware(Door, page=page.app, desk=desk, sessions=page.sessions, uploads=page.uploads)
    app.add_middleware(Fronted, front=desk.front)
    return app


def _describe(app: FastAPI, desk: Desk) -> None:
    """Say in the schema below which path the routes are, and which need a token, where any is needed."""
    made = app.openapi()
    if desk.front.root:
        made["servers"] = [{"url": desk.front.root}]
    if desk.tokens:
        made.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, methods in made["paths"].items():
            for operation in methods.values():
                operation["security"] = [] if path in OPEN else [{"token": []}]
    app.openapi_schema = made
