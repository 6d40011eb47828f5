"""Who is let in: tokens, roles, rates, host names, and what is written down of those who are not."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from morelli.types import Item
from morelli.web.app import ROUTES
from morelli.web.desk import Desk
from morelli.web.questions import require
from morelli.web.tokens import Tokens, read_tokens

from .conftest import Start, files, is_error, lines

READ, WRITE = "r" * 32, "w" * 32


@pytest.fixture
def tokens() -> Tokens:
    return read_tokens(None, {"MORELLI_TOKENS": f"reader read {READ};writer write {WRITE}"})


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_token_is_needed_for_all_but_health(start: Start, tokens: Tokens, queries: list[Item]) -> None:
    client = start(tokens=tokens)
    for method, path in [("GET", "/v1/galleries"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/nowhere")]:
        answer = client.request(method, path)
        assert is_error(answer, 401)["argument"] == "Authorization"
        assert answer.headers["www-authenticate"] == "Bearer"
    is_error(client.post("/v1/identify", files=files(queries[0].path)), 401)
    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/galleries", headers=bearer(READ)).status_code == 200
    assert client.get("/v1/galleries", headers={"Authorization": f"bearer  {WRITE}"}).status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic " + READ, READ, f"Bearer {READ}x", "Bearer é"])
def test_wrong_credentials(start: Start, tokens: Tokens, value: str) -> None:
    is_error(start(tokens=tokens).get("/v1/galleries", headers={"Authorization": value.encode()}), 401)


def test_a_body_is_not_read_before_the_token(start: Start, tokens: Tokens) -> None:
    """Were it read, this would be 413 or 415."""
    client = start(tokens=tokens, max_request=1)
    is_error(client.post("/v1/identify", content=b"x" * 100, headers={"content-type": "text/plain"}), 401)


@pytest.fixture
def writing_route(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with a route that needs the role "write": one file and one name is what a new route takes."""
    module = types.ModuleType("morelli_test_route")

    def register(router: APIRouter, desk: Desk) -> None:
        @router.post("/v1/change", response_model=None)
        async def change(request: Request) -> Response:
            require(request.state.visit, "write")
            return Response("changed")

    module.register = register  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "morelli_test_route", module)
    return "morelli_test_route"


def test_roles(start: Start, tokens: Tokens, writing_route: str) -> None:
    client = start(tokens=tokens, routes=(*ROUTES, writing_route))
    assert "'write'" in is_error(client.post("/v1/change", headers=bearer(READ)), 403)["message"]
    assert client.post("/v1/change", headers=bearer(WRITE)).text == "changed"
    is_error(client.post("/v1/change"), 401)


def test_rates_are_counted_by_token(start: Start, tokens: Tokens) -> None:
    client = start(tokens=tokens, rate=3)
    for _ in range(3):
        assert client.get("/v1/galleries", headers=bearer(READ)).status_code == 200
    answer = client.get("/v1/galleries", headers=bearer(READ))
    is_error(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert client.get("/v1/galleries", headers=bearer(WRITE)).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_guessing_tokens_is_counted_too(start: Start, tokens: Tokens) -> None:
    client = start(tokens=tokens, rate=3)
    statuses = [client.get("/metrics", headers=bearer("guess" * 8 + str(n))).status_code for n in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_rates_are_counted_by_address_without_tokens(start: Start) -> None:
    client = start(rate=2)
    # What a caller says of its address does not count.
    statuses = [client.get("/metrics", headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code for n in range(3)]
    assert statuses == [200, 200, 429]


def test_a_foreign_host_name_is_refused_without_tokens(start: Start, tokens: Tokens) -> None:
    """A page from elsewhere whose name was made to point here would otherwise be able to read answers."""
    told = is_error(start().get("/healthz", headers={"Host": "evil.example"}), 403)
    assert told["argument"] == "Host"
    client = start(tokens=tokens)
    assert client.get("/metrics", headers={"Host": "morelli.example", **bearer(READ)}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1.evil.example", "null", "file://", ""])
def test_a_page_from_elsewhere_may_not_ask_without_tokens(client: TestClient, queries: list[Item], origin: str) -> None:
    """A browser sends such a form without asking anybody first."""
    sent = {"files": files(queries[0].path), "data": {"stability": "false", "method": "cosine"}}
    told = is_error(client.post("/v1/identify", headers={"Origin": origin}, **sent), 403)
    assert told["argument"] == "Origin"
    for own in ("http://127.0.0.1:8000", "http://localhost", "http://[::1]:3000"):
        assert client.get("/healthz", headers={"Origin": own}).status_code == 200


def test_with_a_token_a_page_may_ask(start: Start, tokens: Tokens) -> None:
    headers = {"Origin": "https://morelli.example", **bearer(READ)}
    assert start(tokens=tokens).get("/v1/galleries", headers=headers).status_code == 200


def test_who_is_not_let_in_cannot_fill_the_disk(start: Start, tokens: Tokens, tmp_path: Path) -> None:
    """Wrong tokens are written down as often as one may guess; nothing else of those outside is."""
    log = tmp_path / "audit.jsonl"
    client = start(tokens=tokens, audit=log, rate=3)
    for _ in range(6):
        is_error(client.post("/healthz"), 405)
    assert [client.get("/metrics").status_code for _ in range(6)] == [401] * 3 + [429] * 3
    assert [client.get("/nowhere", headers=bearer(READ)).status_code for _ in range(6)] == [404] * 3 + [429] * 3
    assert [entry["status"] for entry in lines(log.read_text())] == [401] * 3 + [404] * 3
    told = client.get("/metrics", headers=bearer(WRITE)).text
    assert 'morelli_requests_total{route="GET /metrics",status="429"} 3.0' in told
    other = tmp_path / "loopback.jsonl"
    is_error(start(audit=other).get("/v1/galleries", headers={"Host": "evil.example"}), 403)
    assert other.read_text() == ""


def test_no_token_is_ever_written_down(
    start: Start, tokens: Tokens, queries: list[Item], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "audit.jsonl"
    client = start(tokens=tokens, audit=log, rate=4)
    guess = "guess" * 8
    with caplog.at_level(logging.DEBUG):
        sent = {"files": files(queries[0].path), "data": {"stability": "false"}}
        assert client.post("/v1/identify", headers=bearer(READ), **sent).status_code == 200
        client.post("/v1/identify", headers=bearer(guess), **sent)
        client.post(f"/v1/identify?token={READ}", headers=bearer(WRITE), content=b"")
        metrics = client.get("/metrics", headers=bearer(WRITE)).text
    entries = lines(log.read_text())
    assert [(e["token"], e["status"]) for e in entries] == [("reader", 200), (None, 401), ("writer", 415)]
    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    for secret in (READ, WRITE, guess):
        assert secret not in log.read_text() + metrics + ours


def test_the_schema_says_where_a_token_is_needed(start: Start, tokens: Tokens) -> None:
    made = start(tokens=tokens).get("/openapi.json", headers=bearer(READ)).json()
    assert made["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert made["paths"]["/v1/identify"]["post"]["security"] == [{"token": []}]
    assert made["paths"]["/healthz"]["get"]["security"] == []
    assert "securitySchemes" not in start().get("/openapi.json").json()["components"]
