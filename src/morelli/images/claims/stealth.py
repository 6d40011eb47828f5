"""Records hidden in the lowest bits of pixels: "stealth pnginfo", as NovelAI and an extension of web UI write it.

Bits run down the columns, first of opacity ("stealth_pnginfo", "stealth_pngcomp") or else of red, green and blue
("stealth_rgbinfo", "stealth_rgbcomp"): fifteen letters, a length in bits (32, big-endian), the text, gzipped in "comp".
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from morelli.errors import InputError
from morelli.images.claims.limits import MAX_TEXT, inflate

_HEAD = 8 * 15 + 32
_GZIP = zlib.MAX_WBITS | 16
# Letters → whether the text is compressed.
_ALPHA: Mapping[bytes, bool] = {b"stealth_pnginfo": False, b"stealth_pngcomp": True}
_COLOUR: Mapping[bytes, bool] = {b"stealth_rgbinfo": False, b"stealth_rgbcomp": True}


def hidden_text(pixels: NDArray[np.uint8]) -> str | None:
    """The text, or None where there is none.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3 or 4), uint8
        As they stand in the file.

    Raises
    ------
    InputError
        The letters are there and the text is not: a length beyond the picture, a bomb, a broken stream, no UTF-8.
    """
    if pixels.shape[2] == 4:
        found = _read(pixels[:, :, 3:], _ALPHA)
        if found is not None:
            return found
    return _read(pixels[:, :, :3], _COLOUR)


def _read(samples: NDArray[np.uint8], letters: Mapping[bytes, bool]) -> str | None:
    height, width, channels = samples.shape
    if height * width * channels < _HEAD:
        return None
    head = _bits(samples, _HEAD)
    compressed = letters.get(np.packbits(head[:120]).tobytes())
    if compressed is None:
        return None
    count = int.from_bytes(np.packbits(head[120:]).tobytes(), "big")
    if count % 8 or count > min(8 * MAX_TEXT, height * width * channels - _HEAD):
        raise InputError("states a length that it cannot have.")
    data = np.packbits(_bits(samples, _HEAD + count)[_HEAD:]).tobytes()
    if compressed:
        data = inflate(data, wbits=_GZIP)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("is no text.") from error


def _bits(samples: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """The first bits, down the columns; no more columns are looked at than it takes."""
    height, _, channels = samples.shape
    columns = -(-count // (height * channels))
    return samples[:, :columns].transpose(1, 0, 2).reshape(-1)[:count] & np.uint8(1)
