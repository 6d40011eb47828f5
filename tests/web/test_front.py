"""Behind a reverse proxy: whose word is taken, what is told of callers, and the path below which the server is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from morelli.errors import InputError
from morelli.web.app import build_app
from morelli.web.front import SAID, Front, Fronted, parse_front, same_origin
from morelli.web.tokens import Tokens, read_tokens

from .conftest import Start, is_error

PROXY = "10.0.0.1"
READ = "r" * 32


def front(*proxies: str, root: str = "") -> Front:
    return parse_front(proxies, root, has_tokens=True)


# -- options ----------------------------------------------------------------------------------------------------------


def test_addresses_and_networks_are_trusted() -> None:
    found = front("127.0.0.1", "10.0.0.0/8", "fd00::/8", " 192.168.1.7/24 ")
    for address in ("127.0.0.1", "10.9.8.7", "fd00::1", "192.168.1.200", "::ffff:10.0.0.1"):
        assert found.trusts(address), address
    for address in ("127.0.0.2", "11.0.0.1", "fe80::1", "192.168.2.7", "testclient", "", "::ffff:11.0.0.1"):
        assert not found.trusts(address), address
    assert not Front().trusts("127.0.0.1")


@pytest.mark.parametrize("proxy", ["", "localhost", "10.0.0.0/33", "*", "10.0.0"])
def test_what_is_no_address_is_refused(proxy: str) -> None:
    with pytest.raises(InputError) as caught:
        front(proxy)
    assert caught.value.argument == "--proxy"


def test_a_proxy_before_an_open_server_is_refused() -> None:
    with pytest.raises(InputError, match="there is no token") as caught:
        parse_front(["127.0.0.1"], "", has_tokens=False)
    assert caught.value.argument == "--proxy"
    assert "--tokens" in (caught.value.fix or "")
    assert parse_front([], "/morelli", has_tokens=False).root == "/morelli"


@pytest.mark.parametrize(
    "root", ["morelli", "/a b", "/a//b", "/a/../b", "/.", "http://x/y", "/é", '/"', "/page", "/v1/x"]
)
def test_what_is_no_path_is_refused(root: str) -> None:
    with pytest.raises(InputError) as caught:
        front(root=root)
    assert caught.value.argument == "--root-path"


def test_a_slash_behind_the_path_does_not_count() -> None:
    assert (front(root="/a/b/").root, front(root="/").root) == ("/a/b", "")


# -- who calls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "caller"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("6.6.6.6, 203.0.113.5", "203.0.113.5"),  # what comes first was written by the caller itself
        ("203.0.113.5, 10.0.0.7", "203.0.113.5"),  # a second proxy
        ("203.0.113.5:4711, [::1]:80", "::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("6.6.6.6, unknown", PROXY),  # it hides who it was, and what it was told does not count
        ("", PROXY),
        ("10.0.0.9, 10.0.0.7", "10.0.0.9"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
    ],
)
def test_the_last_address_that_is_no_proxy_s(said: str, caller: str) -> None:
    assert front("10.0.0.0/8").caller(said, PROXY) == caller


@given(st.text(max_size=40))
def test_whatever_the_caller_says_comes_before_what_the_proxy_says(said: str) -> None:
    assert front("10.0.0.0/8").caller(f"{said},203.0.113.5", PROXY) == "203.0.113.5"


class Seen:
    """An application that remembers what it was asked."""

    scope: dict[str, Any]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope


def seen(peer: str, chosen: Front, path: str = "/x", **headers: str) -> dict[str, Any]:
    import asyncio

    app = Seen()
    raw = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "scheme": "http", "path": path, "raw_path": path.encode(), "client": (peer, 1),
        "headers": [(b"host", b"127.0.0.1:8000"), *raw],
    }  # fmt: skip
    asyncio.run(Fronted(app, chosen)(scope, None, None))  # type: ignore[arg-type]
    return app.scope


GIVEN = {"X_Forwarded_For": "203.0.113.5", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "morelli.example"}


def test_a_proxy_s_word_is_taken() -> None:
    found = seen(PROXY, front(PROXY), **GIVEN)
    assert found["client"] == ("203.0.113.5", 1)
    assert found["scheme"] == "https"
    assert [value for name, value in found["headers"] if name == b"host"] == [b"morelli.example"]


def test_nobody_else_s_is() -> None:
    for peer, chosen in (("10.0.0.2", front(PROXY)), (PROXY, Front())):
        found = seen(peer, chosen, **GIVEN)
        assert found["client"] == (peer, 1)
        assert found["scheme"] == "http"
        assert dict(found["headers"])[b"host"] == b"127.0.0.1:8000"


def test_such_headers_never_come_inside() -> None:
    """Gradio would believe them, from anybody."""
    given = {name.decode().replace("-", "_"): "evil.example" for name in SAID}
    for chosen in (Front(), front(PROXY)):
        found = seen(PROXY, chosen, Cookie="a=b", **given)
        assert {name for name, _ in found["headers"]} == {b"host", b"cookie"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("proto", "ftp"), ("proto", ""), ("host", "a b"), ("host", 'x"><script>'), ("host", "user@x"), ("host", "x/y")],
)
def test_nonsense_changes_nothing(name: str, value: str) -> None:
    found = seen(PROXY, front(PROXY), **{f"X_Forwarded_{name}": value})
    assert (found["scheme"], dict(found["headers"])[b"host"]) == ("http", b"127.0.0.1:8000")


@pytest.mark.parametrize(
    ("path", "inside"),
    [("/m/x", "/x"), ("/x", "/x"), ("/m", "/"), ("/m/", "/"), ("/mm/x", "/mm/x"), ("/m/m/x", "/m/x")],
)
def test_the_root_path_is_taken_away_where_the_proxy_left_it(path: str, inside: str) -> None:
    found = seen(PROXY, front(root="/m"), path)
    assert (found["path"], found["raw_path"]) == (inside, inside.encode())


# -- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "own"),
    [
        ("http://127.0.0.1:8000", "http", "127.0.0.1:8000", True),
        ("https://morelli.example", "https", "morelli.example", True),
        ("https://morelli.example", "https", "morelli.example:443", True),
        ("https://morelli.example:8443", "https", "morelli.example:8443", True),
        ("https://MORELLI.example", "https", "morelli.example", True),
        ("https://morelli.example", "http", "morelli.example", True),  # TLS ends at a proxy that was not named
        ("http://morelli.example", "https", "morelli.example", False),
        ("https://morelli.example", "https", "127.0.0.1:8000", False),  # the proxy hid the name
        ("https://morelli.example:8443", "https", "morelli.example", False),
        ("https://evil.example", "https", "morelli.example", False),
        ("https://morelli.example.evil.example", "https", "morelli.example", False),
        ("https://evil@morelli.example", "https", "morelli.example", False),
        ("null", "https", "morelli.example", False),
        ("", "http", "", False),
        ("file://", "http", "", False),
        ("https://morelli.example:x", "https", "morelli.example", False),
        ("https://[", "https", "morelli.example", False),
        ("http://[::1]:3000", "http", "[::1]:3000", True),
    ],
)
def test_same_origin(origin: str, scheme: str, host: str, own: bool) -> None:
    assert same_origin(origin, scheme, host) is own


# -- the API behind a proxy -------------------------------------------------------------------------------------------


@pytest.fixture
def tokens() -> Tokens:
    return read_tokens(None, {"MORELLI_TOKENS": f"reader read {READ}"})


def behind(start: Start, tokens: Tokens, chosen: Front, **settings: Any) -> TestClient:
    """A client that comes from the proxy."""
    desks: list[Any] = []
    start(tokens=tokens, change=desks.append, **settings)
    object.__setattr__(desks[0], "front", chosen)
    return TestClient(build_app(desks[0]), "http://127.0.0.1", client=(PROXY, 1), raise_server_exceptions=False)


def test_guesses_are_counted_by_the_caller_s_own_address(start: Start, tokens: Tokens) -> None:
    """Else one who guesses would shut the door for everybody behind the proxy."""
    client = behind(start, tokens, front(PROXY), rate=2)

    def guess(address: str) -> int:
        return client.get("/metrics", headers={"X-Forwarded-For": address, "Authorization": "Bearer x"}).status_code

    assert [guess("203.0.113.5") for _ in range(3)] == [401, 401, 429]
    assert guess("203.0.113.6") == 401
    assert guess("203.0.113.6, 203.0.113.5") == 429  # writing another address before its own helps nobody


def test_who_is_no_proxy_cannot_choose_an_address(start: Start, tokens: Tokens) -> None:
    client = behind(start, tokens, front("10.0.0.2"), rate=2)
    statuses = [client.get("/metrics", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code for n in range(3)]
    assert statuses == [401, 401, 429]


@pytest.mark.parametrize("path", ["/v1/galleries", "/morelli/v1/galleries"])
def test_the_api_below_a_path(start: Start, tokens: Tokens, path: str) -> None:
    client = behind(start, tokens, front(PROXY, root="/morelli"))
    headers = {"Authorization": f"Bearer {READ}"}
    assert client.get(path, headers=headers).json()["schema"] == "morelli.galleries/1"
    is_error(client.get("/morelli/nothing", headers=headers), 404)
    assert client.get("/openapi.json", headers=headers).json()["servers"] == [{"url": "/morelli"}]
