"""``GET /v1/galleries``: what can be asked."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from morelli._version import __version__
from morelli.web.answers import json_response
from morelli.web.desk import Desk
from morelli.web.questions import require
from morelli.web.schemas import GalleriesBody, errors

SCHEMA = "morelli.galleries/1"


def register(router: APIRouter, desk: Desk) -> None:
    """Add the route."""

    @router.get(
        "/v1/galleries",
        response_model=None,
        operation_id="galleries",
        responses={200: {"model": GalleriesBody}, **errors((401, 403, 408, 429, 500, 503))},
    )
    async def galleries(request: Request) -> Response:
        """Names, models, prompts and encoders of the galleries, as they are now."""
        visit = request.state.visit
        require(visit, "read")
        async with desk.admission.enter(visit.started + desk.settings.seconds, visit.who) as seat:
            names = desk.galleries.names()
            found = await seat.run(lambda: [desk.galleries.summary(name) for name in names])
        return json_response({"schema": SCHEMA, "version": __version__, "galleries": found})
