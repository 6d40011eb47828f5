"""Where a fingerprint is taken in a large image: nine windows, three by three, or all that have room side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morelli.errors import ImageTooSmallError, InputError
from morelli.images.pixels import check_pixels

Pixels = NDArray[np.uint8]

SIDE = 128
#: The least side of an image: below it, enlarging would make most of what is seen.
LEAST = 16
Small = Literal["resize", "crop"]
#: Windows along an axis that `grid_windows` takes at most.
ACROSS = 8
#: Sides of JPEG's blocks, pixels.
BLOCK = 8
# How much longer than wide an image may be that is enlarged.
_LONGEST = 64


def positions(extent: int, side: int = SIDE) -> tuple[int, int, int]:
    """First, middle and last start of a window along an axis of ``extent`` pixels, at least ``side``.

    The stride is ⌊(extent − side)/2⌋ as published. The published loop divides by a stride of zero at one pixel over
    ``side``, and finds a fourth position at three; here there are always three, which coincide where there is no room.
    """
    stride = (extent - side) // 2
    return 0, stride, 2 * stride


def nine_windows(pixels: Pixels, side: int = SIDE, small: Small = "resize") -> Pixels:
    """Nine windows of an image (h, w, 3): shape (m, side, side, 3), uint8, rows first.

    m is smaller than 9 where windows coincide: their mean is the same without the copies.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8
    side : int
    small : {"resize", "crop"}
        What becomes of an image with a side below ``side``: enlarged until its short side fits (bicubic, the published
        text), or the window cut from the centre with black around it (the published code).

    Raises
    ------
    ImageTooSmallError
        A side is below `LEAST` pixels.
    InputError
        Another word for ``small``.
    """
    pixels = _large_enough(pixels, side, small)
    height, width = pixels.shape[:2]
    return _cut(pixels, side, positions(height, side), positions(width, side))


def grid_windows(pixels: Pixels, side: int = SIDE, across: int = ACROSS, small: Small = "resize") -> Pixels:
    """Windows of an image (h, w, 3) side by side from its corner: shape (m, side, side, 3), uint8, rows first.

    They begin at multiples of 8, so that the 8 × 8 blocks of JPEG lie the same way in all of them; see `grid_starts`.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8
    side, across : int
    small : {"resize", "crop"}
        As in `nine_windows`.

    Raises
    ------
    ImageTooSmallError
        A side is below `LEAST` pixels.
    InputError
        Another word for ``small``.
    """
    pixels = _large_enough(pixels, side, small)
    height, width = pixels.shape[:2]
    return _cut(pixels, side, grid_starts(height, side, across), grid_starts(width, side, across))


def grid_starts(extent: int, side: int = SIDE, across: int = ACROSS) -> list[int]:
    """Starts of the windows of `grid_windows` along an axis of ``extent`` pixels, at least ``side``.

    Multiples of ``side``, and one more window at the end where these leave 8 pixels or more there; of more than
    ``across`` so many, evenly spread.
    """
    starts = [*range(0, extent - side + 1, side)]
    last = (extent - side) // BLOCK * BLOCK
    if last > starts[-1]:
        starts.append(last)
    return [starts[int(number)] for number in np.linspace(0, len(starts) - 1, min(len(starts), across)).round()]


def _large_enough(pixels: Pixels, side: int, small: Small) -> Pixels:
    """The image, or what ``small`` makes of one with a side below ``side``."""
    if small not in ("resize", "crop"):
        raise InputError(f"must be resize or crop; got {small!r}.", argument="small")
    height, width = check_pixels(pixels).shape[:2]
    check_size(height, width)
    if min(height, width) >= side:
        return pixels
    return enlarge(pixels, side) if small == "resize" else _centre(pixels, side)


def check_size(height: int, width: int) -> None:
    """Refuse an image that is too small for a fingerprint.

    Raises
    ------
    ImageTooSmallError
        A side is below `LEAST` pixels.
    """
    if min(height, width) < LEAST:
        raise ImageTooSmallError(
            f"the image has {width} × {height} pixels, and a fingerprint needs {LEAST} a side.", argument="pixels"
        )


def _cut(pixels: Pixels, side: int, tops: Sequence[int], lefts: Sequence[int]) -> Pixels:
    starts = dict.fromkeys((top, left) for top in tops for left in lefts)
    return np.stack([pixels[top : top + side, left : left + side] for top, left in starts])


def enlarge(pixels: Pixels, side: int) -> Pixels:
    """The image scaled up, aspect kept, until its short side has ``side`` pixels (bicubic).

    Of one that is more than 64 times as long as it is wide, the middle.
    """
    height, width = pixels.shape[:2]
    rows, columns, (height, width) = enlarged(height, width, side)
    return np.asarray(Image.fromarray(pixels[rows, columns]).resize((width, height), Image.Resampling.BICUBIC))


def enlarged(height: int, width: int, side: int) -> tuple[slice, slice, tuple[int, int]]:
    """Rows and columns that `enlarge` scales up, and the height and width that they come to."""
    longest = _LONGEST * min(height, width)
    top, left = (max(0, (extent - longest) // 2) for extent in (height, width))
    height, width = min(height, longest), min(width, longest)
    scale = side / min(height, width)
    size = (max(side, round(height * scale)), max(side, round(width * scale)))
    return slice(top, top + height), slice(left, left + width), size


def _centre(pixels: Pixels, side: int) -> Pixels:
    """The window in the middle of an image with a side below it, black where the image does not reach."""
    height, width = pixels.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    part = pixels[top : top + side, left : left + side]
    out = np.zeros((side, side, 3), np.uint8)
    down, across = (side - part.shape[0]) // 2, (side - part.shape[1]) // 2
    out[down : down + part.shape[0], across : across + part.shape[1]] = part
    return out
