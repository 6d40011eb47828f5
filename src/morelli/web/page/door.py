"""The way to the page: which of Gradio's paths there are for a visitor, who may come, and how much may be sent."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response

from morelli.errors import InputError, MorelliError
from morelli.web.answers import Answer, error_response
from morelli.web.front import same_origin
from morelli.web.gate import refuse_strangers, who_asks
from morelli.web.page.sessions import cookie_header, login_page
from morelli.web.problems import RefusedError, broken, busy, status_of
from morelli.web.questions import Visit, record_refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from morelli.web.desk import Desk
    from morelli.web.page.sessions import Sessions
    from morelli.web.page.uploads import Uploads

_LOG = logging.getLogger(__name__)

#: Where the page is.
HOME = "/page"
#: What browsers ask for at the top of a server for any page of it, and what they are told.
ASIDE = {"/favicon.ico": ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"/>'), "/manifest.json": (
    "application/manifest+json", '{"name": "Morelli", "display": "browser"}')}  # fmt: skip
#: What a visitor's browser needs of Gradio. Everything else that Gradio has (files, proxies, calls without a session,
#: streams, monitoring) is not there.
OPEN_FOLDERS = ("/assets/", "/static/", "/svelte/")
OPEN_FILES = frozenset({"/theme.css", "/favicon.ico", "/gradio_api/theme.css"})
READS = frozenset(
    {"/", "/config", "/gradio_api/info", "/gradio_api/queue/data", "/gradio_api/upload_progress",
     "/gradio_api/startup-events", "/gradio_api/app_id"}
)  # fmt: skip
HEARTBEAT = "/gradio_api/heartbeat/"
UPLOAD, JOIN = "/gradio_api/upload", "/gradio_api/queue/join"
WRITES = frozenset({UPLOAD, JOIN, "/gradio_api/cancel", "/gradio_api/reset"})
#: Answers that stay open as long as the page is.
LONG = ("/gradio_api/queue/data", HEARTBEAT)
_LONG = tuple(f"{HOME}{each}" for each in LONG)
#: Bytes of a message that is no file.
MESSAGE = 256 * 1024

# The browser itself holds the page to it: nothing from elsewhere, and nobody may put it into a frame.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not "no-referrer": browsers then send "Origin: null" with forms, and logging in is refused.
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
#: To proxies such as nginx: an answer that stays open is handed on as it comes.
_AT_ONCE = ((b"x-accel-buffering", b"no"),)


class Door:
    """ASGI middleware before the API: what is under `HOME` goes to the page, the rest on to the API's own gate.

    Parameters
    ----------
    app : ASGI application
        The API.
    page : ASGI application
        Gradio's, at `HOME`.
    desk : Desk
    sessions : Sessions
    uploads : Uploads
    """

    def __init__(self, app: ASGIApp, page: ASGIApp, desk: Desk, sessions: Sessions, uploads: Uploads) -> None:
        self.app, self.page, self.desk, self.sessions, self.uploads = app, page, desk, sessions, uploads
        self.home = f"{desk.front.root}{HOME}"  # as browsers see it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path in ("/", HOME, *ASIDE) or path.startswith(f"{HOME}/")):
            await self.app(scope, receive, send)
            return
        visit, status = Visit(f"{scope['method']} {path}"), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = _AT_ONCE if path.startswith(_LONG) else ()
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS, *extra]}
            await send(message)

        try:
            await self._visit(scope, receive, guarded, visit)
        except Exception as error:
            if status:
                raise
            if not isinstance(error, MorelliError):
                _LOG.error("A request to the page failed.", exc_info=error)
            told = error if isinstance(error, MorelliError) else broken()
            self._record(visit, told)
            await error_response(told)(scope, receive, guarded)
        finally:
            route = f"{'POST' if scope['method'] == 'POST' else 'GET'} {HOME}"
            self.desk.metrics.requests.labels(route, str(status)).inc()
            if not path.startswith(_LONG):
                self.desk.metrics.seconds.labels(route).observe(visit.milliseconds / 1000.0)

    def _record(self, visit: Visit, error: MorelliError) -> None:
        """Put into the audit log what was refused to who was let in, and wrong tokens, which are as limited."""
        if not visit.who or (visit.caller is None and status_of(error) != 401):
            return
        try:
            record_refusal(self.desk, visit, error)
        except MorelliError as refused:  # the visitor is refused in any case
            _LOG.error("%s", refused)

    async def _visit(self, scope: Scope, receive: Receive, send: Send, visit: Visit) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if not self.sessions.tokens:
            refuse_strangers(headers)
        elif not _own_page(scope, headers):
            raise RefusedError(
                403,
                "pages from elsewhere may not ask this server.",
                argument="Origin",
                fix="If this page is its own: the proxy before it must hand on the name that the browser asked for.",
            )
        if path in ("/", HOME):
            await RedirectResponse(f"{self.home}/", 307)(scope, receive, send)
            return
        if path in ASIDE:
            await Response(ASIDE[path][1], media_type=ASIDE[path][0])(scope, receive, send)
            return
        inside = path.removeprefix(HOME)
        if inside in ("/login", "/logout") and scope["method"] == "POST":
            await self._in_or_out(scope, receive, send, visit, inside)
            return
        self._check_path(scope["method"], inside)
        if not inside.startswith(OPEN_FOLDERS) and inside not in OPEN_FILES:
            caller = self.sessions.caller(headers)
            if caller is None:
                if inside != "/":
                    raise RefusedError(401, "the session is over.", fix="Load the page anew.")
                await HTMLResponse(login_page(f"{self.home}/login"))(scope, receive, send)
                return
            if scope["method"] == "POST":
                self._count(scope, visit)
                visit.caller = caller
        await self._pass(scope, receive, send, inside)

    def _check_path(self, method: str, inside: str) -> None:
        reads = inside in READS or inside in OPEN_FILES or inside.startswith((*OPEN_FOLDERS, HEARTBEAT))
        known = reads if method in ("GET", "HEAD") else inside in WRITES if method == "POST" else False
        if not known or ".." in inside or "\\" in inside:
            raise RefusedError(404, "there is nothing at that path.")

    def _count(self, scope: Scope, visit: Visit) -> None:
        """Count a request; one that is not too many may be recorded."""
        who = self._who(scope)
        wait = self.desk.rates.take(who)
        if wait:
            raise RefusedError(429, "too many requests.", fix=f"Ask again in {wait} seconds.", retry_after=wait)
        visit.who = who

    def _who(self, scope: Scope) -> str:
        return who_asks(self.sessions.caller(Headers(scope=scope)), scope)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, inside: str) -> None:
        settings = self.desk.settings
        scope = self._below_root(scope)
        if inside == UPLOAD:
            length = Headers(scope=scope).get("content-length", "")
            if not length.isdecimal() or int(length) > settings.max_request:
                raise RefusedError(413, f"more than {settings.max_request} bytes at once.", fix="Send fewer images.")
            self.uploads.sweep(int(length))
            # A place and a time limit, as with the API: what never arrives must not stay.
            async with self.desk.admission.enter(time.monotonic() + settings.seconds, self._who(scope)):
                await self.page(scope, _limited(receive, settings.max_request), send)
        elif scope["method"] == "POST":
            body = await _body(receive, MESSAGE, settings.header_seconds)
            try:
                self.uploads.check(json.loads(body))
            except (ValueError, RecursionError) as error:
                if isinstance(error, MorelliError):
                    raise
                raise InputError("is no message to this page.", argument="body") from error
            await self.page(scope, _replayed(body, receive), send)
        elif inside.startswith(LONG):
            await self._while_serving(scope, receive, send)
        else:
            await self.page(scope, receive, send)

    def _below_root(self, scope: Scope) -> Scope:
        """A request as Gradio must see it, so that the addresses that it gives the browser have the root path."""
        root = self.desk.front.root
        return {**scope, "root_path": root, "path": f"{root}{scope['path']}"} if root else scope

    async def _while_serving(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An answer that stays open: it ends with the server, and not the server with it."""
        task = asyncio.ensure_future(self.page(scope, receive, send))
        admission = self.desk.admission
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=0.5)
                if admission.stopping and not admission.inside:
                    return
            task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _in_or_out(self, scope: Scope, receive: Receive, send: Send, visit: Visit, inside: str) -> None:
        secure = scope.get("scheme") == "https"
        if inside == "/logout":
            visit.caller = self.sessions.caller(Headers(scope=scope)) if self.sessions.tokens else None
            self.sessions.end(Headers(scope=scope))
            if visit.caller is not None:  # once a session: who has none leaves no line
                self._admitted(visit)
            headers = {"set-cookie": cookie_header("", self.home, secure)}
            await RedirectResponse(f"{self.home}/", 303, headers)(scope, receive, send)
            return
        self._count(scope, visit)  # guesses are requests too
        body = await _body(receive, 4096, self.desk.settings.header_seconds)
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        visit.caller = self.sessions.tokens.find(given)
        if visit.caller is None:
            self._record(visit, RefusedError(401, "that token is not known."))
            page = login_page(f"{self.home}/login", "That token is not known.")
            await HTMLResponse(page, 401)(scope, receive, send)
            return
        self._admitted(visit)  # before there is a session: nobody enters without a trace
        headers = {"set-cookie": cookie_header(self.sessions.begin(visit.caller), self.home, secure)}
        await RedirectResponse(f"{self.home}/", 303, headers)(scope, receive, send)

    def _admitted(self, visit: Visit) -> None:
        """Record who has come, or gone; raises where that fails."""
        visit.recorded = True
        self.desk.audit.write([visit.entry(Answer({}, 303, (), None, {}))])


def _own_page(scope: Scope, headers: Headers) -> bool:
    """Whether a request comes from a page of this very server, or from no page."""
    origin = headers.get("origin")
    return origin is None or same_origin(origin, scope.get("scheme", "http"), headers.get("host", ""))


def _limited(receive: Receive, most: int) -> Receive:
    count = 0

    async def take() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > most:
            raise RefusedError(413, f"more than {most} bytes at once.")
        return message

    return take


async def _body(receive: Receive, most: int, seconds: float) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(408, "the client went away.")
                body += message.get("body", b"")
                if len(body) > most:
                    raise RefusedError(413, f"a message has more than {most} bytes.")
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        raise busy("the message did not arrive in time.") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def take() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return take
