"""Who is worked on next: callers take turns, so that one who asks much keeps nobody else waiting for all of it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from itertools import count as counting


class Turns:
    """A semaphore that is fair between callers. All methods are called in one event loop.

    A free turn goes to the caller with the fewest at work, among equals to the one who was served longest ago; within
    a caller first come, first served.

    Parameters
    ----------
    count : int
        Turns at a time.
    most : int, optional
        Of one caller; by default all of them. The caller "" is nobody in particular and has no such limit.
    """

    def __init__(self, count: int, most: int | None = None) -> None:
        self.count = count
        self.most = count if most is None else most
        self._working: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._served: dict[str, int] = {}  # of those who wait or are at work: the number of the last turn
        self._numbers = counting(1)

    async def acquire(self, who: str = "") -> None:
        """Wait for a turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(who, turn)
            else:  # it was given just before, and nobody is there to take it
                self.release(who)
            raise

    def release(self, who: str = "") -> None:
        """Give a turn back."""
        self._working[who] -= 1
        if not self._working[who]:
            del self._working[who]
        self._hand_out()
        self._tidy(who)

    def _hand_out(self) -> None:
        while self._working.total() < self.count:
            able = [who for who in self._waiting if not who or self._working[who] < self.most]
            if not able:
                return
            who = min(able, key=lambda who: (self._working[who], self._served.get(who, 0)))
            queue = self._waiting[who]
            turn = queue.popleft()
            if not queue:
                del self._waiting[who]
            if not turn.done():  # else it was cancelled, and is about to notice
                self._working[who] += 1
                self._served[who] = next(self._numbers)
                turn.set_result(None)

    def _forget(self, who: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(who)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[who]
        self._tidy(who)

    def _tidy(self, who: str) -> None:
        if who not in self._waiting and who not in self._working:
            self._served.pop(who, None)
