"""``GET /healthz`` and ``GET /metrics``: for those who run the server."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from morelli._version import __version__
from morelli.web.answers import json_response
from morelli.web.desk import Desk
from morelli.web.problems import busy
from morelli.web.questions import require
from morelli.web.schemas import HealthBody, errors

SCHEMA = "morelli.health/1"
PLAIN_TEXT = {"text/plain": {"schema": {"type": "string"}}}


def register(router: APIRouter, desk: Desk) -> None:
    """Add both routes."""

    @router.get(
        "/healthz",
        response_model=None,
        operation_id="health",
        responses={200: {"model": HealthBody}, **errors((403, 500, 503))},
    )
    async def health() -> Response:
        """Whether the server takes requests. Needs no token, and no place in the queue."""
        if desk.admission.stopping:
            raise busy("the server is stopping.", 5)
        return json_response({"schema": SCHEMA, "version": __version__, "status": "ok"})

    @router.get(
        "/metrics",
        response_model=None,
        operation_id="metrics",
        response_class=Response,
        responses={200: {"content": PLAIN_TEXT}, **errors((401, 403, 429, 500))},
    )
    async def metrics(request: Request) -> Response:
        """Counters for Prometheus."""
        require(request.state.visit, "read")
        return Response(desk.metrics.text(), media_type=CONTENT_TYPE_LATEST)
