"""The process: listens, keeps slow connections short, and stops without leaving anybody unanswered."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from morelli.errors import InputError, MorelliError
from morelli.report.plain import error_json
from morelli.web.addresses import refuse_open_door
from morelli.web.app import build_app
from morelli.web.problems import RefusedError

if TYPE_CHECKING:
    from types import FrameType

    from morelli.web.desk import Desk
    from morelli.web.page.mount import Page

_LOG = logging.getLogger(__name__)


class Connection(H11Protocol):
    """uvicorn's, with limits on how many connections there are and on how long a client may keep one waiting.

    The clock runs while it is the client's turn: to send a request's head, to send on what was answered already, or to
    take the answer. ``limits`` is set by `serve` on a class of its own: seconds on that clock, and connections.
    """

    limits: tuple[float, int] = (10.0, 512)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; refuse one connection too many."""
        super().connection_made(transport)
        self._clock: asyncio.TimerHandle | None = None
        if len(self.connections) > self.limits[1]:
            self._refuse(503, "there are too many connections.", "Retry-After: 1\r\n")
        self._wind()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._halt()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Stop the clock once a head is there."""
        super().handle_events()
        self._wait()

    def pause_writing(self) -> None:
        """Start the clock: the client does not take its answer."""
        super().pause_writing()
        self._wind()

    def resume_writing(self) -> None:
        """Stop the clock: it does."""
        super().resume_writing()
        self._wait()

    def on_response_complete(self) -> None:
        """Start the clock for the next request of this connection."""
        self._wind()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all gets the one error object too."""
        self._refuse(400, "this is no valid HTTP request.")

    def _wait(self) -> None:
        """Stop the clock while it is the server's turn."""
        if self.cycle is not None and not self.cycle.response_complete and not self.flow.write_paused:
            self._halt()

    def _wind(self) -> None:
        self._halt()
        self._clock = self.loop.call_later(self.limits[0], self._slow)

    def _halt(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _slow(self) -> None:
        self._wind()  # once more, for who does not take the answer to this either
        if self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()  # closing waits for what was written to be taken, which may be for ever
        elif self.conn.their_state is h11.SEND_BODY:
            self.transport.close()  # that request was answered already, before its body had come
        else:
            self._refuse(408, "the request's head did not arrive in time.")

    def _refuse(self, status: int, message: str, headers: str = "") -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # an answer is under way, and a second one must not be written into it
            return
        body = json.dumps(error_json(RefusedError(status, message))).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{headers}connection: close\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's, which tells the desk that it stops, and the caller where it listens."""

    def __init__(self, config: uvicorn.Config, desk: Desk, say: Callable[[str], None]) -> None:
        super().__init__(config)
        self._desk, self._say = desk, say
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and say where."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and not self.should_exit:
            host, port = sockets[0].getsockname()[:2]
            self._say(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal: those inside get their answers; the second: at once."""
        # Without uvicorn's own part, which raises the signal again in the end: a stop that was asked for is no failure.
        if self.should_exit:
            self.force_exit = True
            return
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._desk.admission.stop, self._desk.settings.grace)


def serve(desk: Desk, host: str, port: int, say: Callable[[str], None], page: Page | None = None) -> None:
    """Serve until a signal ends it; the desk is closed then.

    Parameters
    ----------
    desk : Desk
    host : str
    port : int
        0: one that is free.
    say : callable
        Told where the server listens.
    page : Page, optional
        From `morelli.web.page.mount.build_page`.

    Raises
    ------
    InputError
        The address can be reached from elsewhere and there is no token; or it is not to be had.
    """
    try:
        refuse_open_door(host, bool(desk.tokens))
        with _listen(host, port) as listener:
            learning = threading.Thread(target=_learn, args=(desk,), name="morelli-learn", daemon=True)
            learning.start()
            Server(_config(desk, page), desk, say).run([listener])
    finally:
        desk.close()
    if desk.admission.inside or learning.is_alive() or desk.facades.learning:
        # A thread still computes, for nobody: its client was told, and waiting for it would break the promised grace.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        try:
            if os.name == "posix":  # elsewhere it would let another program take the same port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        fix = "Choose another port, or 0 for a free one."
        raise InputError(f"{host}:{port} cannot be listened on ({reason}).", argument="--port", fix=fix) from error
    return listener


def _config(desk: Desk, page: Page | None) -> uvicorn.Config:
    limits = (desk.settings.header_seconds, desk.settings.connections)
    return uvicorn.Config(
        build_app(desk, page=page),
        http=type("LimitedConnection", (Connection,), {"limits": limits}),
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,  # the audit log is the record
        server_header=False,
        proxy_headers=False,  # anybody may send such a header, and addresses are what rates are counted by
        timeout_keep_alive=5,
        # Requests end by the grace themselves, with an answer; this is for one that does not even read it.
        timeout_graceful_shutdown=int(desk.settings.grace) + 5,
    )


def _learn(desk: Desk) -> None:
    """Learn from each gallery before the first request has to wait for it."""
    for name in desk.galleries.names():
        try:
            desk.facades.prepare(name)
        except MorelliError as error:  # as with an empty gallery: requests are told the same
            _LOG.warning("%s: %s", name, error)
