"""Who may come to the page, what of Gradio is there for them, and what is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from morelli.web.app import build_app
from morelli.web.desk import open_desk
from morelli.web.page.sessions import COOKIE, LIFE, Sessions
from morelli.web.settings import Settings
from morelli.web.tokens import Caller, Tokens, _digest

from ..conftest import HOME, is_error, lines

SECRET, READER = "w" * 32, "r" * 32
TOKENS = Tokens({_digest(SECRET): Caller("alice", "write"), _digest(READER): Caller("bob", "read")})
gradio = pytest.importorskip("gradio", reason="THE PAGE IS NOT TESTED: gradio is not installed.")


@pytest.fixture(scope="module")
def make(gallery: Path, learnt: Path) -> Iterator[Any]:
    from morelli.web.page.mount import build_page

    with ExitStack() as stack:

        def made(tokens: Tokens = Tokens(), audit: Path | None = None, **settings: Any) -> TestClient:
            chosen = Settings(**{"decoders": 1, "rate": 0, **settings})
            desk = open_desk([str(gallery)], chosen, tokens=tokens, audit=audit, cache=learnt)
            page = build_page(desk)
            client = stack.enter_context(
                TestClient(build_app(desk, page=page), HOME, raise_server_exceptions=False, follow_redirects=False)
            )
            client.uploads = page.uploads  # type: ignore[attr-defined]
            return client

        yield made


@pytest.fixture(scope="module")
def client(make: Any) -> TestClient:
    return make(max_request=200_000, max_bytes=100_000)


@pytest.fixture(scope="module")
def locked(make: Any) -> TestClient:
    return make(TOKENS)


# -- what there is ----------------------------------------------------------------------------------------------------


def test_the_page_is_there_and_may_load_nothing_from_elsewhere(client: TestClient) -> None:
    assert client.get("/").headers["location"] == "/page/"
    answer = client.get("/page/")
    assert answer.status_code == 200
    assert "Morelli" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "googleapis" not in answer.text
    config = client.get("/page/config").json()
    assert config["analytics_enabled"] is False
    assert config["stylesheets"] == []  # a font of Google's would stand here


@pytest.mark.parametrize(
    "path",
    [
        "/page/gradio_api/file=/etc/passwd",
        "/page/gradio_api/file/etc/passwd",
        "/page/gradio_api/file=https://example.org/x",
        "/page/gradio_api/proxy=https://example.org/x",
        "/page/gradio_api/run/identify",
        "/page/gradio_api/call/identify",
        "/page/gradio_api/stream/a/b/c/playlist.m3u8",
        "/page/monitoring",
        "/page/gradio_api/openapi.json",
        "/page/gradio_api/deep_link",
        "/page/static/../../etc/passwd",
        "/page/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/page/static/..\\..\\x",
    ],
)
def test_what_a_visitor_does_not_need_is_not_there(client: TestClient, path: str) -> None:
    is_error(client.get(path), 404)


def test_only_what_takes_messages_takes_messages(client: TestClient) -> None:
    for path in ("/page/gradio_api/run/x", "/page/gradio_api/vibe-edit", "/page/config", "/page/gradio_api/stream/x"):
        is_error(client.post(path, json={}), 404)
    is_error(client.put("/page/"), 404)


def test_the_api_is_as_it_was(client: TestClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/galleries").json()["schema"] == "morelli.galleries/1"
    is_error(client.get("/pages"), 404)


@pytest.mark.parametrize("name", ["/favicon.ico", "/manifest.json"])
def test_what_browsers_ask_for_at_the_top_costs_no_refusal(locked: TestClient, name: str) -> None:
    assert locked.get(name).status_code == 200


# -- who may come -----------------------------------------------------------------------------------------------------


def test_strangers_are_refused(client: TestClient) -> None:
    is_error(client.get("/page/", headers={"host": "evil.example"}), 403)
    is_error(client.post("/page/gradio_api/queue/join", json={}, headers={"origin": "https://evil.example"}), 403)


def test_a_token_opens_the_page_and_a_cookie_keeps_it_open(locked: TestClient) -> None:
    locked.cookies.clear()
    assert 'name="token"' in locked.get("/page/").text
    for path in ("/page/config", "/page/gradio_api/info", "/page/gradio_api/queue/data?session_hash=x"):
        is_error(locked.get(path), 401)
    is_error(locked.post("/page/gradio_api/upload"), 401)
    wrong = locked.post("/page/login", data={"token": "x" * 32})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    opened = locked.post("/page/login", data={"token": SECRET})
    assert opened.status_code == 303
    cookie = opened.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/page"} <= {part.strip() for part in cookie.split(";")}
    assert SECRET not in cookie
    assert locked.get("/page/config").status_code == 200
    # The cookie is the page's: it opens no route of the API.
    is_error(locked.get("/v1/galleries"), 401)
    is_error(locked.get("/page/config", headers={"origin": "http://evil.example"}), 403)
    locked.post("/page/logout")
    locked.cookies.set(COOKIE, cookie.partition("=")[2].partition(";")[0])
    is_error(locked.get("/page/config"), 401)
    locked.cookies.clear()


def test_sessions_end_and_keep_roles() -> None:
    now = [0.0]
    sessions = Sessions(TOKENS, clock=lambda: now[0])
    value = sessions.begin(Caller("bob", "read"))
    headers = Headers({"cookie": f"a=b; {COOKIE}={value}"})
    caller = sessions.caller(headers)
    assert caller is not None
    assert (caller.name, caller.may("read"), caller.may("write")) == ("bob", True, False)
    now[0] = LIFE + 1
    assert sessions.caller(headers) is None
    assert sessions.caller(Headers({})) is None
    assert str(value) not in repr(sessions._known)


def test_guesses_and_messages_count_against_the_rate(make: Any) -> None:
    client = make(TOKENS, rate=3)
    seen = [client.post("/page/login", data={"token": "x" * 32}).status_code for _ in range(5)]
    assert seen == [401, 401, 401, 429, 429]


# -- what is recorded -------------------------------------------------------------------------------------------------


def told(log: Path) -> list[tuple[str | None, str, int]]:
    return [(each["token"], each["route"], each["status"]) for each in lines(log.read_text())]


def test_who_comes_and_goes_and_wrong_tokens_are_recorded(make: Any, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    client = make(TOKENS, log)
    guess = "guess" * 8
    client.post("/page/login", data={"token": guess})
    client.post("/page/login", data={"token": f" {READER} "})
    client.post("/page/logout")
    client.post("/page/logout")  # there is no session any more
    login, logout = "POST /page/login", "POST /page/logout"
    assert told(log) == [(None, login, 401), ("bob", login, 303), ("bob", logout, 303)]
    assert guess not in log.read_text() and READER not in log.read_text()


def test_what_is_refused_to_who_was_let_in_is_recorded(make: Any, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    client = make(TOKENS, log, max_request=200_000)
    client.post("/page/login", data={"token": SECRET})
    is_error(join(client, [{"path": "/etc/passwd"}]), 422)
    is_error(client.post("/page/gradio_api/upload", files={"files": ("a.png", b"x" * 300_000)}), 413)
    assert told(log)[1:] == [
        ("alice", "POST /page/gradio_api/queue/join", 422),
        ("alice", "POST /page/gradio_api/upload", 413),
    ]
    assert "passwd" not in log.read_text() and "a.png" not in log.read_text()


def test_who_is_not_let_in_cannot_fill_the_disk(make: Any, tmp_path: Path) -> None:
    """Wrong tokens are written down as often as one may guess; nothing else of those outside is."""
    log = tmp_path / "audit.jsonl"
    client = make(TOKENS, log, rate=3)
    for path in ("/page/gradio_api/queue/join", "/page/nowhere", "/page/logout"):
        client.post(path, json={})
    client.get("/page/config")
    client.post("/page/login", data={"token": SECRET}, headers={"origin": "http://evil.example"})
    assert log.read_text() == ""
    seen = [client.post("/page/login", data={"token": "x" * 32}).status_code for _ in range(5)]
    assert [each["status"] for each in lines(log.read_text())] == [each for each in seen if each == 401] == [401] * 3


def test_nobody_enters_without_a_record(make: Any) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    client = make(TOKENS, Path("/dev/full"))
    refused = client.post("/page/login", data={"token": SECRET})
    is_error(refused, 503)
    assert "set-cookie" not in refused.headers
    assert client.post("/page/login", data={"token": "x" * 32}).status_code == 401  # refused in any case


# -- what may be sent -------------------------------------------------------------------------------------------------


def test_too_large_an_upload_is_refused(client: TestClient) -> None:
    is_error(client.post("/page/gradio_api/upload", files={"files": ("a.png", b"x" * 300_000)}), 413)
    part = client.post("/page/gradio_api/upload", files={"files": ("a.png", b"x" * 150_000)})
    assert part.status_code == 413  # Gradio's own limit, of one file


def join(client: TestClient, value: Any) -> Any:
    return client.post("/page/gradio_api/queue/join", json={"data": value, "fn_index": 0, "session_hash": "s"})


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "https://example.org/x.png",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x",
        "../x",
        "",
        None,
        3,
        "\0",
    ],
)
def test_a_message_that_names_another_file_or_an_address_is_refused(client: TestClient, path: Any) -> None:
    for value in ([{"path": path, "meta": {"_type": "gradio.FileData"}}], [[{"a": [{"path": path}]}]]):
        is_error(join(client, value), 422)
    is_error(join(client, [{"url": "https://example.org/x.png"}]), 422)


def test_a_file_that_was_sent_may_be_named(client: TestClient) -> None:
    (path,) = client.post("/page/gradio_api/upload", files={"files": ("a.png", b"no image")}).json()
    assert Path(path).is_relative_to(client.uploads.folder)  # type: ignore[attr-defined]
    assert join(client, [{"path": path}]).status_code != 422


def test_a_message_that_is_none_is_refused(client: TestClient) -> None:
    url = "/page/gradio_api/queue/join"
    is_error(client.post(url, content=b"{"), 422)
    is_error(client.post(url, content=b"[" * 100_000), 422)
    is_error(client.post(url, content=json.dumps({"data": ["x" * 300_000]}).encode()), 413)


def test_the_api_alone_loads_no_gradio() -> None:
    import subprocess

    code = "import sys, morelli.web.server, morelli.cli.serve; print('gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
