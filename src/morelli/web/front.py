"""What stands before the server: a reverse proxy that is believed, and the path below which browsers reach it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from morelli.errors import InputError
from morelli.web.tokens import VARIABLE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Headers in which a proxy says whom it asks for. From anybody else they are taken away: what is inside, Gradio too,
#: would believe them.
SAID = frozenset(
    {b"forwarded", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix",
     b"x-forwarded-proto", b"x-forwarded-scheme", b"x-forwarded-server", b"x-original-url", b"x-rewrite-url",
     b"x-gradio-server"}
)  # fmt: skip
#: First parts of paths that the server has itself.
TAKEN = frozenset({"page", "v1", "healthz", "metrics", "openapi.json"})

_ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Front:
    """How a server is reached.

    Attributes
    ----------
    proxies : tuple of networks
        Whose word on the caller's address, the scheme and the host name is taken; none: nobody's.
    root : str
        Path before all of the server's own, such as "/morelli"; "" where it has its host name to itself.
    """

    proxies: tuple[Network, ...] = ()
    root: str = ""

    def trusts(self, address: str) -> bool:
        """Whether an address is a proxy's."""
        found = _address(address)
        return found is not None and any(found in network for network in self.proxies)

    def caller(self, said: str, peer: str) -> str:
        """Whose request a proxy hands on: the last address in ``X-Forwarded-For`` that is no proxy's.

        What stands before it was written by the caller itself, who may write anything.
        """
        last = peer
        for text in reversed([each.strip() for each in said.split(",") if each.strip()]):
            found = _address(text)
            if found is None:
                return last
            last = str(found)
            if not self.trusts(last):
                return last
        return last


def parse_front(proxies: Sequence[str], root: str, has_tokens: bool) -> Front:
    """A `Front` from the command line's options.

    Parameters
    ----------
    proxies : sequence of str
        Addresses, or networks such as ``10.0.0.0/8``.
    root : str
        A path, with a slash before it and none behind.
    has_tokens : bool
        Whether the server asks for tokens.

    Raises
    ------
    InputError
        Not such addresses; not such a path, or one that the server has itself; a proxy, and no token: everybody whom
        the proxy lets through could do everything.
    """
    networks = []
    for text in proxies:
        try:
            networks.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise InputError(
                f"{text!r} is neither an address nor a network.",
                argument="--proxy",
                fix="Give the address that the proxy's connections come from, such as 127.0.0.1.",
            ) from None
    if networks and not has_tokens:
        raise InputError(
            "others reach the server through a proxy, and anyone could ask: there is no token.",
            argument="--proxy",
            fix=f"Give tokens: --tokens FILE, or {VARIABLE}.",
        )
    path = root.rstrip("/")
    parts = path.split("/")[1:]
    if not _ROOT.fullmatch(path) or {".", ".."} & set(parts):
        raise InputError(f"{root!r} is no path.", argument="--root-path", fix="Write it like /morelli.")
    if parts and parts[0] in TAKEN:
        fix = "Choose another one, such as /morelli."
        raise InputError(f"/{parts[0]} is a path of the server's own.", argument="--root-path", fix=fix)
    return Front(tuple(networks), path)


class Fronted:
    """ASGI middleware outside all others: a request as the caller sent it to the proxy.

    Proxies may take the root path away or leave it; what is inside never sees it.

    Parameters
    ----------
    app : ASGI application
    front : Front
    """

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self.app, self.front = app, front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(self._seen(scope) if scope["type"] == "http" else scope, receive, send)

    def _seen(self, scope: Scope) -> Scope:
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in SAID]
        changed = {"headers": headers, **self._path(scope)}
        client = scope.get("client")
        if client and self.front.trusts(client[0]):
            said = Headers(scope=scope)
            changed["client"] = (self.front.caller(",".join(said.getlist("x-forwarded-for")), client[0]), client[1])
            scheme = _last(said.get("x-forwarded-proto", "")).lower()
            if scheme in _PORTS:
                changed["scheme"] = scheme
            host = _last(said.get("x-forwarded-host", ""))
            if _HOST.fullmatch(host):
                changed["headers"] = [(b"host", host.encode()), *(each for each in headers if each[0] != b"host")]
        return {**scope, **changed}

    def _path(self, scope: Scope) -> dict[str, object]:
        root, path = self.front.root, scope["path"]
        if not root or not (path == root or path.startswith(f"{root}/")):
            return {}
        raw = scope.get("raw_path") or path.encode()
        short = raw[len(root) :] if raw.startswith(root.encode()) else raw
        return {"path": path[len(root) :] or "/", "raw_path": short or b"/"}


def same_origin(origin: str, scheme: str, host: str) -> bool:
    """Whether a page of an origin is one of the server that was asked by a scheme and a host name.

    A server that knows that it was asked by HTTPS wants the page to be so too; one behind a proxy that it was not told
    of cannot know.
    """
    try:
        page = urlsplit(origin)
        own = urlsplit(f"//{host}")
        named = page.hostname and page.hostname == own.hostname and "@" not in page.netloc
        port = page.port or _PORTS.get(page.scheme)
        if not named or page.scheme not in _PORTS or (scheme == "https" and page.scheme != "https"):
            return False
        return port == (own.port or _PORTS[page.scheme])
    except ValueError:
        return False


def _last(value: str) -> str:
    return value.rpartition(",")[2].strip()


def _address(text: str) -> Address | None:
    """An address as such headers have it: bare, with a port, or in brackets."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    # A socket for both kinds gives IPv4 callers as ::ffff:10.0.0.1.
    return getattr(found, "ipv4_mapped", None) or found
