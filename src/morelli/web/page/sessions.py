"""Who looks at the page: a token is given once, and a cookie stands for it from then on."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from html import escape
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers

from morelli.web.tokens import Caller, Tokens

COOKIE = "morelli-session"
#: Seconds that a session lasts, and how many are remembered.
LIFE, MOST = 12 * 3600, 10_000


class Sessions:
    """Sessions of the page's visitors; of each cookie only the hash is kept.

    Parameters
    ----------
    tokens : Tokens
        Without any, everybody who reaches the server may do everything, as with the API.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.monotonic) -> None:
        self.tokens = tokens
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    def begin(self, caller: Caller) -> str:
        """A cookie's value for who has come with a token."""
        value = secrets.token_urlsafe(32)
        self._known[_digest(value)] = (self._clock() + LIFE, caller)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return value

    def end(self, headers: Headers) -> None:
        """Forget a visitor."""
        self._known.pop(_digest(_cookie(headers)), None)

    def caller(self, headers: Headers) -> Caller | None:
        """Who a request comes from; None: nobody known."""
        if not self.tokens:
            return Caller("", "write")
        until, caller = self._known.get(_digest(_cookie(headers)), (0.0, None))
        return caller if self._clock() < until else None


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def cookie_header(value: str, path: str, secure: bool) -> str:
    """The header that gives a cookie to the browser, or with "" takes it away: no script and no other site sees it."""
    age = LIFE if value else 0
    return f"{COOKIE}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"


def login_page(action: str, wrong: str = "") -> str:
    """The page that asks for a token."""
    said = f'<p role="alert">{escape(wrong)}</p>' if wrong else ""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Morelli</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:15vh auto;padding:1rem}}
input,button{{font:inherit;padding:.5rem .7rem;width:100%;box-sizing:border-box;margin:.3rem 0}}
p[role=alert]{{border-left:.3rem solid #d55e00;padding-left:.6rem}}</style></head><body><main><h1>Morelli</h1>
<form method="post" action="{action}"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Enter</button></form>{said}<p>Who runs this server gives tokens.</p></main></body></html>"""
