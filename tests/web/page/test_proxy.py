"""The page behind a reverse proxy: entering, files, answers and cookies, at a host name of its own and below a path."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.serving.visitor import Visitor
from starlette.testclient import TestClient

from morelli.gallery.view import GalleryView
from morelli.types import Item
from morelli.web.app import build_app
from morelli.web.desk import open_desk
from morelli.web.front import parse_front
from morelli.web.settings import Settings
from morelli.web.tokens import read_tokens

from ..conftest import is_error, lines
from ..process import running
from .nginx import CONFIGURATION, NGINX, OPENSSL, proxied

gradio = pytest.importorskip("gradio", reason="THE PAGE IS NOT TESTED: gradio is not installed.")

PROXY, SECRET = "10.0.0.1", "w" * 32
TOKENS = read_tokens(None, {"MORELLI_TOKENS": f"alice write {SECRET}"})
#: What the project's configuration of nginx sends.
SAID = {"host": "morelli.example:8443", "x-forwarded-for": "203.0.113.5", "x-forwarded-proto": "https"}
ORIGIN = {"origin": "https://morelli.example:8443"}


@pytest.fixture(scope="module")
def behind(gallery: Path, learnt: Path) -> Iterator[Any]:
    """Clients of a server's page: they come from the proxy, and do what its browsers do."""
    from morelli.web.page.mount import build_page

    clients: dict[Any, TestClient] = {}

    def made(root: str = "", proxies: tuple[str, ...] = (PROXY,), **settings: Any) -> TestClient:
        key = root, proxies, *sorted(settings.items())
        if key in clients:  # making a page takes seconds
            clients[key].cookies.clear()
            return clients[key]
        chosen = parse_front(proxies, root, has_tokens=True)
        desk = open_desk(
            [str(gallery)], Settings(decoders=1, **{"rate": 0, **settings}), tokens=TOKENS, cache=learnt, front=chosen
        )
        client = TestClient(
            build_app(desk, page=build_page(desk)), "http://127.0.0.1:8000", client=(PROXY, 1), follow_redirects=False,
            raise_server_exceptions=False, headers=SAID,
        )  # fmt: skip
        clients[key] = client.__enter__()
        return client

    yield made
    for client in clients.values():
        client.__exit__(None, None, None)


@pytest.mark.parametrize(("root", "sent"), [("", ""), ("/morelli", ""), ("/morelli", "/morelli")])
def test_entering_and_the_addresses_that_browsers_are_given(behind: Any, root: str, sent: str) -> None:
    """``sent`` is what the proxy leaves of the root path."""
    client = behind(root)
    home = f"{root}/page/"
    assert client.get(f"{sent}/").headers["location"] == home
    assert f'action="{root}/page/login"' in client.get(f"{sent}/page/").text
    opened = client.post(f"{sent}/page/login", data={"token": SECRET}, headers=ORIGIN)
    assert (opened.status_code, opened.headers["location"]) == (303, home)
    cookie = opened.headers["set-cookie"]
    assert {"Secure", "HttpOnly", f"Path={root}/page"} <= {part.strip() for part in cookie.split(";")}
    given = {"cookie": cookie.partition(";")[0]}
    config = client.get(f"{sent}/page/config", headers=given).json()
    assert config["root"] == f"https://morelli.example:8443{root}/page"
    page = client.get(f"{sent}/page/", headers=given).text
    assert f'action=\\"{root}/page/logout\\"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")  # a browser would load nothing of that by HTTPS
    left = client.post(f"{sent}/page/logout", headers={**given, **ORIGIN})
    assert (left.headers["location"], "Max-Age=0" in left.headers["set-cookie"]) == (home, True)
    is_error(client.get(f"{sent}/page/config", headers=given), 401)


def test_pages_from_elsewhere_are_refused_behind_a_proxy_too(behind: Any) -> None:
    client = behind()
    for origin in ("https://evil.example", "http://morelli.example:8443", "https://morelli.example", "null"):
        told = is_error(client.post("/page/login", data={"token": SECRET}, headers={"origin": origin}), 403)
        assert told["argument"] == "Origin"
        assert "proxy" in told["fix"]


def test_a_proxy_that_hides_the_name_is_told(behind: Any) -> None:
    client = behind(proxies=())
    hidden = {"host": "127.0.0.1:8000", **ORIGIN}
    is_error(client.post("/page/login", data={"token": SECRET}, headers=hidden), 403)
    # One that names it in its own header is understood, once it is trusted.
    named = {**hidden, "x-forwarded-host": "morelli.example:8443"}
    assert behind().post("/page/login", data={"token": SECRET}, headers=named).status_code == 303


def test_a_proxy_that_is_not_named_is_not_believed(behind: Any) -> None:
    """Entering works where it hands the name on; the cookie is then as for a server that does not know of TLS."""
    client = behind(proxies=())
    opened = client.post("/page/login", data={"token": SECRET}, headers=ORIGIN)
    assert opened.status_code == 303
    assert "Secure" not in opened.headers["set-cookie"]


def test_one_who_guesses_shuts_nobody_else_out(behind: Any) -> None:
    client = behind(rate=2)

    def enter(token: str, address: str) -> int:
        headers = {**ORIGIN, "x-forwarded-for": address}
        return client.post("/page/login", data={"token": token}, headers=headers).status_code

    assert [enter("x" * 32, "203.0.113.5") for _ in range(3)] == [401, 401, 429]
    assert enter(SECRET, "203.0.113.6") == 303


def test_answers_that_stay_open_are_not_held_back(behind: Any) -> None:
    client = behind()
    opened = client.post("/page/login", data={"token": SECRET}, headers=ORIGIN)
    given = {"cookie": opened.headers["set-cookie"].partition(";")[0]}
    answer = client.get("/page/gradio_api/queue/data?session_hash=nobody", headers=given)
    assert answer.headers["x-accel-buffering"] == "no"
    assert "x-accel-buffering" not in client.get("/page/config", headers=given).headers


# -- nginx itself, as the project says to set it up -------------------------------------------------------------------


def test_nginx_overwrites_whatever_callers_could_write() -> None:
    text = CONFIGURATION.read_text()
    for header in ("Host $http_host", "X-Forwarded-For $remote_addr", "X-Forwarded-Proto $scheme"):
        assert f"proxy_set_header {header};" in text
    assert 'proxy_set_header X-Forwarded-Host "";' in text


needs_nginx = pytest.mark.skipif(
    NGINX is None or OPENSSL is None,
    reason="THE PAGE IS NOT TESTED BEHIND NGINX: nginx or openssl is not on the PATH.",
)


@pytest.fixture
def own(gallery: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(gallery, tmp_path / "own.morelli"))


@needs_nginx
@pytest.mark.slow
@pytest.mark.parametrize("root", ["", "/morelli"])
def test_everything_through_nginx(own: Path, learnt: Path, tmp_path: Path, queries: list[Item], root: str) -> None:
    """TLS, entering, an upload, a verdict, a change of the gallery and the API."""
    tokens, audit = tmp_path / "tokens", tmp_path / "audit.jsonl"
    tokens.write_text(f"alice write {SECRET}\n")
    tokens.chmod(0o600)
    options = ["--gallery", own, "--page", "--tokens", tokens, "--audit", audit, "--proxy", "127.0.0.1", "--rate", 30]
    given = [*options, *(["--root-path", root] if root else [])]
    with (
        running(given, tmp_path / "log", learnt) as server,
        proxied(server.url, tmp_path / "nginx", f"{root}/") as front,
    ):
        visitor = Visitor(f"{front}{root}")
        headers = visitor.enter(SECRET)
        assert headers["location"] == f"{root}/page/"
        assert {"Secure", f"Path={root}/page"} <= {part.strip() for part in str(headers["set-cookie"]).split(";")}
        assert visitor.open().config["root"] == f"{front}{root}/page"
        # A script and a style that the page names are there under the names that it gives them.
        status, _, page = visitor.ask("GET", "/page/")
        assert (status, f"{front}{root}/page" in page) == (200, True)
        files = [visitor.send(queries[0].path)]
        said = visitor.do("identify-ask", [files, "own", "", "cosine", "model", False, False])
        assert 'class=\\"verdict\\"' in said, said[-500:]
        assert "1 added" in visitor.add("own", [queries[0].path], "newcomer")
        assert any(each.model == "newcomer" for each in GalleryView.open(own).references())
        _api_through(front, root, audit, queries[0].path, visitor)
        assert "Traceback" not in server.log.read_text()
        assert server.stop() == 0


def _api_through(front: str, root: str, audit: Path, path: Path, visitor: Visitor) -> None:
    import httpx2

    sent = {"files": {"image": (path.name, path.read_bytes())}, "data": {"stability": "false", "method": "cosine"}}
    with httpx2.Client(verify=False, timeout=60) as client:
        answer = client.post(f"{front}{root}/v1/identify", headers={"Authorization": f"Bearer {SECRET}"}, **sent)
        assert answer.json()["schema"] == "morelli.verdict/1"
        # What a caller writes of its own address does not count: the rate is that of the address itself.
        guesses = [
            client.get(f"{front}{root}/metrics", headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code
            for number in range(40)
        ]
        assert set(guesses) == {401, 429}
        large = {"image": ("large.png", bytes(65 * 2**20))}
        assert client.post(f"{front}{root}/v1/identify", files=large).status_code == 413
    assert visitor.ask("GET", "/page/config")[0] == 200  # who is inside is not shut out by another's guesses
    assert lines(audit.read_text())[-1]["status"] == 401
    assert json.dumps(lines(audit.read_text())).count("203.0.113") == 0


def test_the_example_is_changed_in_every_place_or_the_test_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    from . import nginx

    monkeypatch.setattr(nginx, "CONFIGURATION", tmp_path / "other.conf")
    (tmp_path / "other.conf").write_text(CONFIGURATION.read_text().replace("listen 443 ssl;", "listen 8443 ssl;"))
    with pytest.raises(AssertionError, match="listen 443 ssl"):
        nginx.configuration("http://127.0.0.1:1", 1, tmp_path)
