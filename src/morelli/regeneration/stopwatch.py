"""Seconds by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

#: What an attribution by regeneration consists of.
STAGES = ("invert", "generate", "embed", "score")


class Stopwatch:
    """Adds up what each stage takes.

    Attributes
    ----------
    seconds : dict of str to float
        Of every stage, 0 where it did not run.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of a block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start
