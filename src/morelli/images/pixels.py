"""What "pixels" means everywhere in Morelli: uint8, (height, width, 3), sRGB."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.errors import ArrayError

#: Levels between the darkest and the brightest sample of a channel up to which an image counts as blank.
BLANK_RANGE = 2


def check_pixels(pixels: Any, argument: str = "pixels") -> NDArray[np.uint8]:
    """The array itself if it is pixels as every function here expects them.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
        sRGB.
    argument : str
        Name for the message.

    Raises
    ------
    ArrayError
        Another type, dtype or shape, or an empty array.
    """
    if not isinstance(pixels, np.ndarray):
        raise ArrayError(f"must be a numpy array, not {type(pixels).__name__}.", argument=argument)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ArrayError(
            f"must be uint8 of shape (height, width, 3); got {pixels.dtype} of shape {pixels.shape}.",
            argument=argument,
            fix="Use morelli.images.load.from_array to bring an array to that form.",
        )
    return pixels


def is_blank(pixels: NDArray[np.uint8]) -> bool:
    """Whether every channel keeps within `BLANK_RANGE` levels: one colour, which shows no model's habits.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    """
    spread = pixels.max(axis=(0, 1)).astype(int) - pixels.min(axis=(0, 1))
    return bool(spread.max() <= BLANK_RANGE)


def content_hash(pixels: NDArray[np.uint8]) -> str:
    """Identity of a picture whatever file it came in: SHA-256 over shape and bytes.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
        sRGB.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ArrayError
        The array is not pixels.
    """
    check_pixels(pixels)
    height, width, channels = pixels.shape
    digest = hashlib.sha256(f"{height}x{width}x{channels}:".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
