"""What a server that has decoded a file gives to the reader of its claims: the picture, and the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass

from morelli.images.load import Picture


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file that was decoded before its claims are read, under one clock for both.

    Attributes
    ----------
    picture : Picture
    seconds : float
        That decoding it took.
    until : float
        When the claims must be there, by `time.monotonic`, seconds.
    """

    picture: Picture
    seconds: float
    until: float

    def left(self) -> float:
        """Seconds that remain; negative where none do."""
        return self.until - time.monotonic()
