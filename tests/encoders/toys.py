"""Encoders that need no network, and pictures to feed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from morelli.errors import ArrayError
from morelli.types import EncoderStamp

STAMP = EncoderStamp("toy", "1", "plain", {"mean": 3, "shape": 2})


class ToyEncoder:
    """Mean colour, and height and width: hand-computable. Records the sizes of its batches."""

    def __init__(self, stamp: EncoderStamp = STAMP) -> None:
        self._stamp = stamp
        self.batches: list[int] = []
        self.prepared = 0

    @property
    def stamp(self) -> EncoderStamp:
        return self._stamp

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        self.prepared += 1
        return np.array([*pixels.mean(axis=(0, 1)), *pixels.shape[:2]])

    def encode(self, prepared: Sequence[NDArray[np.float64]]) -> Mapping[str, NDArray[np.float32]]:
        self.batches.append(len(prepared))
        x = np.stack(list(prepared)).astype(np.float32)
        return {"mean": x[:, :3], "shape": x[:, 3:]}


class PickyEncoder(ToyEncoder):
    """Refuses a whole batch when one picture in it is all black; gives NaN for a picture that is all white."""

    def encode(self, prepared: Sequence[NDArray[np.float64]]) -> Mapping[str, NDArray[np.float32]]:
        if any(x[0] == 0 for x in prepared):
            raise ArrayError("black pictures are not for me.", argument="pixels")
        out = super().encode(prepared)
        out["mean"][out["mean"][:, 0] == 255] = np.nan
        return out


def flat(value: int, height: int = 32, width: int = 40) -> NDArray[np.uint8]:
    """A picture of one grey."""
    return np.full((height, width, 3), value, np.uint8)
