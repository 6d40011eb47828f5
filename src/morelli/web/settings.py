"""What a server allows: sizes, counts, rates, time and memory."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields

from morelli.errors import InputError

MIB = 2**20


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of one server; each is an option of ``morelli serve`` under the same name.

    Attributes
    ----------
    max_bytes : int
        Bytes of one image file.
    max_pixels : int
        Width × height of one image.
    max_images : int
        Images of one request.
    max_request : int
        Bytes of one request, all its images together.
    rate : int
        Requests a minute of one token, or of one address where there are no tokens; 0: no limit.
    concurrent : int
        Requests that are worked on at a time.
    queue : int
        Further requests that are received or wait; one more is answered with 503.
    share : float
        Share of all these places that one token, or one address where there are no tokens, may take, above 0 to 1;
        one request more of it is answered with 429. Below 1 it is also never worked on in all turns at once.
    connections : int
        Open connections.
    seconds : float
        From a request's first byte to its answer; after that what is not answered is told 503 (408 while it is still
        arriving).
    protect_seconds : float
        The same of a request to protect images, its upload counted; that must have come within ``seconds``.
    grace : float
        Seconds that requests have left once the server is told to stop.
    header_seconds : float
        Until a connection has sent a request's head; and until it has taken what it was answered.
    decoders : int
        Processes that decode images.
    decode_seconds : float
        For one image, on the clock and of the processor.
    decode_memory : int
        Bytes that decoding one image may take.
    batch : int
        Images of one run of the network.
    wait_ms : float
        Milliseconds that a run of the network waits for more images.
    held_bytes : int
        Of references, embeddings and what was learnt from them, that are kept ready in memory; see
        `morelli.web.shelf`.
    """

    max_bytes: int = 32 * MIB
    max_pixels: int = 4096 * 4096
    max_images: int = 16
    max_request: int = 64 * MIB
    rate: int = 120
    concurrent: int = 4
    queue: int = 32
    share: float = 0.5
    connections: int = 512
    seconds: float = 30.0
    protect_seconds: float = 80.0
    grace: float = 20.0
    header_seconds: float = 10.0
    decoders: int = 2
    decode_seconds: float = 6.0
    decode_memory: int = 1024 * MIB
    batch: int = 32
    wait_ms: float = 5.0
    held_bytes: int = 4096 * MIB

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        InputError
            A number that is negative, not finite, or 0 where one is needed; a share above 1.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("rate", "queue", "wait_ms") else 1 if isinstance(field.default, int) else 0.1
            if not math.isfinite(value) or value < least:
                option = f"--{field.name.replace('_', '-')}"
                raise InputError(f"must be {least:g} or more; got {value:g}.", argument=option)
        if self.share > 1:
            raise InputError(f"must be 1 or less; got {self.share:g}.", argument="--share")
