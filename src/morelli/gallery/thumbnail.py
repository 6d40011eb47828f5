"""A small picture of a reference, for people to look at; no attributor uses it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEDIA_TYPE = "image/webp"


def make_thumbnail(pixels: NDArray[np.uint8], side: int = 128) -> bytes:
    """Shrink an image so that its longer side is at most ``side`` pixels; aspect is kept, nothing is enlarged.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
        sRGB.
    side : int, optional
        Longest side, pixels, ≥ 1.

    Returns
    -------
    bytes
        A WebP file, quality 80, without metadata.

    Raises
    ------
    ArrayError
        The array is no picture.
    """
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ArrayError(
            f"must have the shape (height, width, 3) and dtype uint8, and has {pixels.shape} and {pixels.dtype}.",
            argument="pixels",
        )
    if side < 1:
        raise ArrayError(f"must be at least 1 pixel, and is {side}.", argument="side")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, format="WEBP", quality=80)
    return out.getvalue()
