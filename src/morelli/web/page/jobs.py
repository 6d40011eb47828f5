"""Work that a visitor of the page waits for: it has a place among the API's requests, tells how far it is, and ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from morelli.errors import MorelliError
from morelli.web.admission import Seat
from morelli.web.desk import Desk

#: Seconds between two looks at how far it is.
LOOK = 0.2


class StoppedError(MorelliError):
    """The visitor has cancelled the work."""


@dataclass(eq=False)
class Job:
    """One piece of work; its thread writes, the page reads.

    Attributes
    ----------
    stage, done, total
        How far it is; ``total`` 0: not known.
    shown : list of str
        HTML that is ready.
    seat : Seat or None
        None until the work has a place.
    recorded : bool
        The work has put what it will raise into the audit log itself.
    """

    stage: str = "waiting for a place"
    done: int = 0
    total: int = 0
    shown: list[str] = field(default_factory=list)
    seat: Seat | None = None
    recorded: bool = False

    @property
    def place(self) -> Seat:
        """Its place, which it has by the time its work begins."""
        if self.seat is None:
            raise RuntimeError("the work has no place")
        return self.seat

    def report(self, stage: str, done: int, total: int) -> None:
        """As facades call it; ends the work where nobody waits for it any more.

        Raises
        ------
        StoppedError
        """
        self.stage, self.done, self.total = stage, done, total
        if self.seat is not None and self.seat.abandoned.is_set():
            raise StoppedError("this was cancelled.")


class Jobs:
    """The work that is under way, by visitor and tab; a second piece in the same tab takes the place of the first.

    Parameters
    ----------
    desk : Desk
        Its admission gives the places.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._running: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def follow(
        self, visitor: str, tab: str, work: Callable[[Job], None], seconds: float | None = None, who: str = ""
    ) -> AsyncIterator[Job]:
        """Do work, and say again and again how far it is; the last time when it is done.

        Parameters
        ----------
        visitor, tab : str
            What `cancel` names.
        work : callable
            Called with the job, in a thread of its own.
        seconds : float, optional
            That it may take; by default what the API allows.
        who : str
            Whose share of the places it takes, as `Admission.enter` has it.

        Raises
        ------
        MorelliError
            What the work raised; `StoppedError` where it was cancelled; 503 where there is no place, or no time.
        """
        self.cancel(visitor, tab)
        job, until = Job(), time.monotonic() + (self._desk.settings.seconds if seconds is None else seconds)

        # A task of its own: a time limit must be set and lifted in one task, and the page asks from several.
        async def whole() -> None:
            async with self._desk.admission.enter(until, who) as seat:
                job.seat = seat
                await seat.run(lambda: work(job))

        task = asyncio.create_task(whole())
        self._running[visitor, tab] = task
        try:
            while not task.done():
                yield job
                await asyncio.wait({task}, timeout=LOOK)
            if task.cancelled():
                raise StoppedError("this was cancelled.")
            task.result()
            yield job
        finally:
            task.cancel()
            if self._running.get((visitor, tab)) is task:
                del self._running[visitor, tab]

    def cancel(self, visitor: str, tab: str | None = None) -> bool:
        """End the work of a visitor, in one tab or in all; whether there was any."""
        found = [key for key in self._running if key[0] == visitor and tab in (None, key[1])]
        for key in found:
            self._running[key].cancel()
        return bool(found)
