"""How many requests are inside at a time, for how long, and how many of them are worked on."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from morelli.devices import give_back_memory
from morelli.errors import MorelliError
from morelli.web.problems import RefusedError, busy
from morelli.web.settings import Settings
from morelli.web.turns import Turns

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

#: Longest time, seconds, that a client is sent away for.
LONGEST = 60
#: Seconds between two looks at whether a client is still there.
LOOK = 0.5
#: Seconds between two times that freed memory is given back to the system, which takes milliseconds.
TIDY = 1.0

Gone = Callable[[], Awaitable[bool]]


class Seat:
    """One request that was let in.

    Attributes
    ----------
    who : str
        Whose it is; "": nobody's in particular.
    until : float
        On the monotonic clock: when its answer must be there.
    abandoned : threading.Event
        Nobody waits for the answer any more; work looks at it between two images.
    """

    def __init__(self, admission: Admission, until: float, who: str, clock: asyncio.Timeout) -> None:
        self.until = until
        self.who = who
        self.abandoned = threading.Event()
        self.arrived = False
        self._admission = admission
        self._clock = clock
        self._holders = 1

    def prolong(self, until: float) -> None:
        """Set another time, for work that may take longer than most; never one after the server's end."""
        if not self._clock.expired():  # else it is ending already
            self.until = min(until, self._admission.end)
            self._clock.reschedule(self.until)

    async def wait(self, busy: Callable[[], bool], gone: Gone) -> bool:
        """Wait, without a turn, while something holds; False where it still does when the time is nearly up.

        Raises
        ------
        RefusedError
            408: the client has gone away.
        """
        self.arrived = True
        while busy():
            if await gone():
                raise _gone()
            if time.monotonic() + 2 * LOOK > self.until:
                return False
            await asyncio.sleep(LOOK / 2)
        return True

    async def run(self, work: Callable[[], T], gone: Gone | None = None) -> T:
        """Do work in a thread of its own once its turn has come.

        Parameters
        ----------
        work : callable
            What it raises is raised here.
        gone : callable, optional
            Whether the client has gone away, so that nothing need be done any more; asked again and again.

        Raises
        ------
        RefusedError
            408: the client has gone away.
        """
        self.arrived = True
        turns = self._admission.turns
        turn = asyncio.ensure_future(turns.acquire(self.who))
        try:
            await _attended(turn, gone)
            if gone is not None and await gone():
                raise _gone()
        except BaseException:
            if turn.done() and not turn.cancelled():
                turns.release(self.who)
            raise
        try:
            return await self._work(work, gone)
        except BaseException:  # before the request's files are closed, which its thread may still read
            self.abandoned.set()
            raise

    async def _work(self, work: Callable[[], T], gone: Gone | None) -> T:
        admission = self._admission
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._holders += 1
        begun = time.monotonic()

        def settle(result: T | None, error: BaseException | None) -> None:
            admission.turns.release(self.who)
            admission.learn(time.monotonic() - begun)
            self.leave()
            if answer.done():  # too late: the client was told so, or has gone
                if error is not None and not isinstance(error, MorelliError):
                    _LOG.warning("Work that nobody waited for any more failed.", exc_info=error)
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # pyright: ignore[reportArgumentType]

        def thread() -> None:
            result, error = None, None
            try:
                result = work()
            except BaseException as caught:  # noqa: BLE001 - it is raised where the answer is awaited
                error = caught
            admission.tidy()
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:  # the server has stopped meanwhile
                _LOG.warning("An answer came after the server had stopped.")

        # Not a pool's: its threads would be waited for at the program's end, however long they still compute.
        try:
            threading.Thread(target=thread, name="morelli-request", daemon=True).start()
        except RuntimeError:
            admission.turns.release(self.who)
            self.leave()
            raise busy("the system gives no more threads.") from None
        return await _attended(answer, gone)

    def leave(self) -> None:
        """Give the place back, once by the request and once by its work."""
        self._holders -= 1
        if not self._holders:
            self._admission.forget(self.who)


async def _attended(waited: asyncio.Future[T], gone: Gone | None) -> T:
    """What is waited for, as long as the client waits too; it is cancelled where this is left before."""
    try:
        while True:
            await asyncio.wait({waited}, timeout=None if gone is None else LOOK)
            if waited.done():
                return waited.result()
            if gone is not None and await gone():
                raise _gone()
    finally:
        waited.cancel()


def _gone() -> RefusedError:
    return RefusedError(408, "the client went away.")


class Admission:
    """The places of a server. All methods are called in its event loop.

    Parameters
    ----------
    settings : Settings
        ``concurrent``, ``queue`` and ``share`` count.

    Attributes
    ----------
    inside : int
        Requests that arrive, wait or are worked on; also those whose client was told that it takes too long, until
        their thread is done.
    most : int
        Of them, of one caller.
    stopping : bool
        No request is let in any more.
    end : float
        On the monotonic clock: when all must be answered; infinite until it stops.
    """

    def __init__(self, settings: Settings) -> None:
        self.capacity = settings.concurrent + settings.queue
        self.most = math.ceil(settings.share * self.capacity)
        # One turn is left for others, as some work takes minutes; where there is only one, they wait for it.
        alone = settings.concurrent if settings.share >= 1 else max(1, settings.concurrent - 1)
        self.turns = Turns(settings.concurrent, alone)
        self.inside = 0
        self._of: Counter[str] = Counter()
        self.stopping = False
        self._concurrent = settings.concurrent
        self._usual = 0.5  # seconds of work of a request: a running mean
        self.end = math.inf
        self._tidied, self._tidying = -math.inf, threading.Lock()
        self._clocks: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def enter(self, until: float, who: str = "") -> AsyncIterator[Seat]:
        """A place for the request that the block is.

        Parameters
        ----------
        until : float
            On the monotonic clock, which is the event loop's.
        who : str
            Whose share of the places it counts against; "": nobody's.

        Raises
        ------
        RefusedError
            503 where the server is full or stops, or where the block takes too long; 429 where the caller has as many
            requests inside as one may have; 408 where the request has not arrived by then.
        """
        if self.stopping:
            raise busy("the server is stopping.", 5)
        if who and self.most <= self._of[who] < self.capacity:
            raise self._greedy(who)
        if self.inside >= self.capacity:
            raise busy("too many requests are waiting.", self.soon())
        until = min(until, self.end)
        clock = asyncio.timeout_at(until)
        seat = Seat(self, until, who, clock)
        self.inside += 1
        self._of[who] += 1
        self._clocks.add(clock)
        try:
            async with clock:
                yield seat
        except TimeoutError:
            if not clock.expired():
                raise
            raise self._late(seat) from None
        finally:
            self._clocks.discard(clock)
            seat.abandoned.set()
            seat.leave()

    def stop(self, grace: float) -> None:
        """Let nobody in any more; those inside have so many seconds left."""
        self.stopping = True
        self.end = min(self.end, asyncio.get_running_loop().time() + grace)
        for clock in [each for each in self._clocks if not each.expired()]:  # of those, tasks are ending already
            clock.reschedule(min(clock.when() or self.end, self.end))

    def forget(self, who: str) -> None:
        """A request of a caller has left."""
        self.inside -= 1
        self._of[who] -= 1
        if not self._of[who]:
            del self._of[who]

    def soon(self) -> int:
        """Seconds after which there should be a place, from how long requests take."""
        return min(LONGEST, max(1, math.ceil(self._usual * self.inside / self._concurrent)))

    def tidy(self) -> None:
        """Give freed memory back to the system, once in a while; any thread may call it."""
        with self._tidying:  # two that end together must not both find that it is time
            now = time.monotonic()
            due = now - self._tidied >= TIDY
            if due:
                self._tidied = now
        if due:
            give_back_memory()

    def learn(self, seconds: float) -> None:
        """Remember how long one request took."""
        self._usual += 0.1 * (seconds - self._usual)

    def _greedy(self, who: str) -> RefusedError:
        wait = self.soon()
        return RefusedError(
            429,
            f"{self._of[who]} requests of yours are here already, and others want to ask too.",
            fix=f"Wait for their answers, or ask again in {wait} {'second' if wait == 1 else 'seconds'}.",
            retry_after=wait,
        )

    def _late(self, seat: Seat) -> RefusedError:
        if not seat.arrived:
            return RefusedError(408, "the request did not arrive in time.", fix="Send it faster, or fewer images.")
        if self.stopping:
            return busy("the server is stopping, and this was not finished.", 5)
        return busy("that takes too long at the moment.", self.soon())
