"""Signals that end a long piece of work at its next good place."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Signals:
    """SIGINT and SIGTERM as a wish to stop; a second one ends the program at once.

    Attributes
    ----------
    number : int
        The signal that came, 0 where none did.
    """

    def __init__(self) -> None:
        self.number = 0

    @contextmanager
    def heeded(self) -> Iterator[threading.Event]:
        """A context with the event that a signal sets; outside it signals do what they did before."""
        stop, before = threading.Event(), {}

        def restore() -> None:
            for each, handler in before.items():
                signal.signal(each, handler)

        def stopped(number: int, frame: FrameType | None) -> None:
            self.number = number
            stop.set()
            restore()

        for each in (signal.SIGINT, signal.SIGTERM):
            before[each] = signal.signal(each, stopped)
        try:
            yield stop
        finally:
            restore()
