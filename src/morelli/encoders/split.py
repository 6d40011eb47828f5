"""A batch of an encoder's run as several small ones side by side, one core each."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from morelli.encoders.base import Encoder, kept_as
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Alone:
    """Inside torch spreads nothing in the calling thread; gives the number of threads that it had before.

    The number is the whole process's: who comes while another one is inside must not take that one's 1 for the usual.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._usual = 1

    def __enter__(self) -> int:
        with self._lock:
            if not self._inside:
                self._usual = torch.get_num_threads()
            self._inside += 1
            torch.set_num_threads(1)
            return self._usual

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            torch.set_num_threads(self._usual)


_ALONE = _Alone()


class SplitEncoder:
    """An encoder whose small batches are spread over the cores by image instead of inside each operation.

    Threads inside an operation wait for each other, and on a machine that others use too that wait can cost ten times
    the work: a verdict's few images then take seconds instead of a fraction of one. Keeps the contract of `Encoder`
    and gives its vectors.

    Parameters
    ----------
    encoder : Encoder
        One that computes with torch on the CPU.
    workers : int, optional
        By default as many as torch would use inside an operation (``torch.get_num_threads()``).
    """

    def __init__(self, encoder: Encoder, workers: int | None = None) -> None:
        self.encoder = encoder
        self.workers = workers

    @property
    def stamp(self) -> EncoderStamp:
        return self.encoder.stamp

    @property
    def kept_as(self) -> EncoderStamp:
        """As the encoder says."""
        return kept_as(self.encoder)

    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        """As the encoder does."""
        return self.encoder.prepare(pixels)

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
        """As the encoder does; torch's number of threads is 1 meanwhile, for the whole process."""
        with _ALONE as before:
            parts = min(self.workers or before, len(prepared))
            bounds = np.linspace(0, len(prepared), parts + 1).astype(int)
            # Each worker for itself: another call that ends meanwhile gives the process its threads back.
            alone = {"initializer": torch.set_num_threads, "initargs": (1,)}
            with ThreadPoolExecutor(parts, thread_name_prefix="morelli-encode", **alone) as pool:
                made = list(pool.map(self.encoder.encode, (prepared[a:b] for a, b in pairwise(bounds))))
        return {name: np.concatenate([part[name] for part in made]) for name in self.stamp.dims}
