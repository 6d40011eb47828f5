"""How often one caller may ask: a bucket of requests that fills up again over a minute."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

#: Callers that are remembered; the one longest silent is forgotten first, and begins with a full bucket again.
REMEMBERED = 10_000


class Rates:
    """Token buckets, one a caller.

    Parameters
    ----------
    per_minute : int
        Requests a minute, and at once; 0: no limit.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when that was

    def take(self, caller: str) -> int:
        """Count one request.

        Returns
        -------
        int
            0 where it may be answered, else seconds until one may be.
        """
        if not self.per_minute:
            return 0
        now = self._clock()
        left, then = self._buckets.pop(caller, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - then) * self.per_minute / 60.0)
        allowed = left >= 1.0 - 1e-9  # a bucket that fills in steps may lack a rounding error
        self._buckets[caller] = (left - 1.0 if allowed else left, now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1.0 - left) * 60.0 / self.per_minute))
