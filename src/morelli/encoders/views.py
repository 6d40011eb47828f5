"""What an encoder is shown of an image: named views, each a few square patches.

Models differ most in the finest structure of their pictures, which shrinking an image to a network's usual input
destroys. So a view takes patches at native resolution, optionally keeps only what a median filter removes from them,
and magnifies them by a whole factor without interpolation: the network's first filters then see single pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morelli.errors import ImageTooSmallError, InputError

Pixels = NDArray[np.uint8]

# The least picture that says anything: below it a patch would be mostly made of its own margin.
MIN_SIDE = 16
# Centre first, then the corners of the inner 70 %, so that a smaller count keeps the best-lit part of most pictures.
_POSITIONS = ((0.5, 0.5), (0.15, 0.15), (0.85, 0.85), (0.15, 0.85), (0.85, 0.15))
# Sorting network for the median of nine: 19 exchanges (Smith, 1996; Paeth, 1990).
_MEDIAN_OF_NINE = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
    (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at an image.

    Attributes
    ----------
    name : str
        First part of its vectors' names.
    kind : {"pixels", "residual", "whole"}
        Patches as they are; what a 3×3 median removes from them, magnified in value; the whole image shrunk.
    side : int
        Side of a patch in the image's own pixels; of the shrunk image for "whole".
    count : int
        Patches, at most 5; an image that one patch covers gives one.
    input : int
        Side that the network is shown at most: a patch is magnified by the whole factor ``input // side``, at least 1.
        Small images, whose patches are small, are magnified more.
    gain : int
        Factor on the residual's values before they are cut to 8 bit around 127.
    """

    name: str
    kind: Literal["pixels", "residual", "whole"]
    side: int
    count: int = 1
    input: int = 384
    gain: int = 8

    def __post_init__(self) -> None:
        known = self.kind in ("pixels", "residual", "whole")
        if not known or not 1 <= self.count <= len(_POSITIONS) or self.side < MIN_SIDE:
            raise InputError(
                f"a view shows pixels, residual or whole in 1–{len(_POSITIONS)} patches of at least {MIN_SIDE} px; "
                f"got {self}.",
                argument="views",
            )

    def describe(self) -> dict[str, Any]:
        """Everything that decides what the network sees, for the preprocessing's hash."""
        return {**asdict(self), "positions": _POSITIONS[: self.count]}

    def zoom(self, side: int) -> int:
        """Factor by which a patch of that side is magnified."""
        return 1 if self.kind == "whole" else max(1, self.input // side)

    def patches(self, pixels: Pixels) -> Pixels:
        """The view's patches of an image (h, w, 3): shape (patches, side', side', 3), uint8, not yet magnified.

        ``side'`` is smaller than ``side`` where the image is.
        """
        height, width = pixels.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise ImageTooSmallError(
                f"the image has {width} × {height} pixels, and a view needs {MIN_SIDE} a side.", argument="pixels"
            )
        if self.kind == "whole":
            return shrink(pixels, self.side)[None]
        side = min(self.side, height, width)
        alone = max(height, width) < side + MIN_SIDE
        places = _POSITIONS[: 1 if alone else self.count]
        cut = [_crop(pixels, side, place) for place in places]
        if self.kind == "residual":
            cut = [residual(patch, self.gain) for patch in cut]
        return np.stack(cut)


def _crop(pixels: Pixels, side: int, place: tuple[float, float]) -> Pixels:
    height, width = pixels.shape[:2]
    top, left = int((height - side) * place[0]), int((width - side) * place[1])
    return pixels[top : top + side, left : left + side]


def shrink(pixels: Pixels, side: int) -> Pixels:
    """The whole image as side × side pixels, aspect not kept (Lanczos down, bicubic up)."""
    height, width = pixels.shape[:2]
    if (height, width) == (side, side):
        return pixels
    down = min(height, width) >= side
    resample = Image.Resampling.LANCZOS if down else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize((side, side), resample))


def median3(pixels: Pixels) -> Pixels:
    """Median over each pixel's 3 × 3 neighbourhood, channel by channel, borders repeated."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    s = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    for a, b in _MEDIAN_OF_NINE:
        s[a], s[b] = np.minimum(s[a], s[b]), np.maximum(s[a], s[b])
    return s[4]


def residual(pixels: Pixels, gain: int) -> Pixels:
    """(image − median of 3 × 3)·gain + 127, cut to 0–255, uint8."""
    difference = pixels.astype(np.int16) - median3(pixels).astype(np.int16)
    return np.clip(difference * np.int16(gain) + 127, 0, 255).astype(np.uint8)


def group_by_shape(arrays: Sequence[Pixels]) -> dict[tuple[int, ...], list[int]]:
    """Indices of the arrays of each shape, so that equal ones can share a run of the network."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, array in enumerate(arrays):
        groups.setdefault(array.shape[1:], []).append(i)
    return groups
