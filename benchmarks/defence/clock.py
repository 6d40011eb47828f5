"""A run that ends by itself: what is done by then is on disk, and the same command goes on from there."""

from __future__ import annotations

import math
import time


class OutOfTime(Exception):
    """The minutes that were allowed are over."""


class Clock:
    """Says when to stop.

    Parameters
    ----------
    minutes : float
        From now on.
    """

    def __init__(self, minutes: float = math.inf) -> None:
        self._end = time.monotonic() + 60 * minutes

    def check(self, *_: object) -> None:
        """To be called before each piece of work; as a progress callable, too.

        Raises
        ------
        OutOfTime
        """
        if time.monotonic() > self._end:
            raise OutOfTime
