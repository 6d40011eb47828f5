"""The door: who asks, how often, and how it ended. Everything passes it, also paths that there are not."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from morelli.errors import MorelliError
from morelli.report.plain import refusal
from morelli.web.addresses import names_loopback
from morelli.web.answers import error_response
from morelli.web.problems import RefusedError, broken, busy, status_of
from morelli.web.questions import Visit, record_refusal
from morelli.web.tokens import Caller

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from morelli.web.desk import Desk

_LOG = logging.getLogger(__name__)

#: Paths that need no token and are not counted as requests of anybody.
OPEN = frozenset({"/healthz"})
#: Methods that may be told apart in metrics and records; others are one.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Gate:
    """ASGI middleware around all routes.

    Parameters
    ----------
    app : ASGI application
    desk : Desk
    paths : frozenset of str
        The paths that there are; others are counted together.
    """

    def __init__(self, app: ASGIApp, desk: Desk, paths: frozenset[str]) -> None:
        self.app, self.desk, self.paths = app, desk, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self.paths else "other"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        visit = Visit(f"{method} {path}")
        scope.setdefault("state", {})["visit"] = visit
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            visit.caller = self._admit(scope, path)
            visit.who = who_asks(visit.caller, scope)
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:  # a second signal ends the server: what it had is told so
            if not status:
                await self._refuse(busy("the server was stopped."), visit, scope, receive, watched)
        # Whatever happens inside, the client gets the one error object; what it was stands in the log.
        except Exception as error:
            if status:
                raise
            await self._refuse(_named(error), visit, scope, receive, watched)
        finally:
            if path not in OPEN:
                self.desk.metrics.requests.labels(visit.route, str(status)).inc()
                self.desk.metrics.seconds.labels(visit.route).observe(visit.milliseconds / 1000.0)

    def _admit(self, scope: Scope, path: str) -> Caller | None:
        """Who asks.

        Raises
        ------
        RefusedError
            401: no valid token; 403: without tokens, a name that is not this machine's, or a page from elsewhere, as a
            browser could bring both to a server that only listens here; 429: too often.
        """
        headers = Headers(scope=scope)
        tokens = self.desk.tokens
        if not tokens:
            refuse_strangers(headers)
        if path in OPEN:
            return None
        caller = Caller("", "write") if not tokens else self._known(headers.get("authorization", ""), scope)
        self._count(who_asks(caller, scope))
        return caller

    def _known(self, authorization: str, scope: Scope) -> Caller:
        scheme, _, secret = authorization.partition(" ")
        caller = self.desk.tokens.find(secret.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            self._count(address_of(scope))  # guesses are requests too
            raise RefusedError(
                401,
                "a valid token is needed.",
                argument="Authorization",
                fix="Send it as: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return caller

    def _count(self, who: str) -> None:
        wait = self.desk.rates.take(who)
        if wait:
            limit = self.desk.settings.rate
            raise RefusedError(
                429,
                f"more than {limit} requests a minute.",
                fix=f"Ask again in {wait} {'second' if wait == 1 else 'seconds'}.",
                retry_after=wait,
            )

    async def _refuse(self, error: MorelliError, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        # Of those who were not let in, only wrong tokens, which are limited: else anybody could fill the disk.
        if visit.caller is not None or status_of(error) == 401:
            try:
                record_refusal(self.desk, visit, error)
            except MorelliError as refused:  # the client is refused in any case
                _LOG.error("%s", refused)
        await error_response(error)(scope, receive, send)


def _named(error: Exception) -> MorelliError:
    if isinstance(error, MorelliError):
        return error
    told = refusal(error) if isinstance(error, OSError) else None
    if told is not None:
        _LOG.error("The system refused: %s", error)
        return type(told)(told.message, fix="Tell the server's operator.")  # without the path
    _LOG.error("A request failed.", exc_info=error)
    return broken()


def refuse_strangers(headers: Headers) -> None:
    """Where no token is asked for, a browser must not be made to ask in the place of its user.

    Raises
    ------
    RefusedError
        403.
    """
    if not names_loopback(headers.get("host", "")):
        raise RefusedError(403, "this server answers to the name localhost only.", argument="Host")
    origin = headers.get("origin")
    if origin is not None and not names_loopback(origin.partition("://")[2]):
        raise RefusedError(403, "pages from elsewhere may not ask this server.", argument="Origin")


def who_asks(caller: Caller | None, scope: Scope) -> str:
    """Whose rate, and whose share of the places, a request counts against."""
    return f"token {caller.name}" if caller is not None and caller.name else address_of(scope)


def address_of(scope: Scope) -> str:
    """The same where there is no token."""
    client = scope.get("client")
    return f"address {client[0] if client else 'unknown'}"
