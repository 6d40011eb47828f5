"""Marks in pixels as they stand in the file: profiles, orientation and backgrounds hide marks, and are left out."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from morelli.errors import ImageError, InputError
from morelli.images.claims.carried import Carried
from morelli.images.claims.decoded import Decoded
from morelli.images.claims.stealth import hidden_text
from morelli.images.claims.watermark import watermark_claims
from morelli.images.colour import orientation
from morelli.images.header import Limits, explain, open_header
from morelli.types import Claim

#: Pixels above which no mark is looked for: generators and their upscalers stay below, and decoding more takes seconds.
MARKED_PIXELS = 24_000_000
#: Formats whose header says all that changes pixels when they become a picture.
_PLAIN = ("PNG", "JPEG", "WEBP", "BMP", "AVIF")
_PNG_END = bytes(4) + b"IEND"


def mark_claims(
    data: bytes, name: str, limits: Limits, carried: Carried, decoded: Decoded | None = None
) -> list[Claim]:
    """Claims of the marks; a record that is hidden in the pixels joins the texts.

    Parameters
    ----------
    data : bytes
    name : str
        What messages call the file.
    limits : Limits
    carried : Carried
        Its texts and notes grow.
    decoded : Decoded, optional
        The same file's picture, which is used where its pixels are those of the file; where they are not, the file is
        decoded anew if the time is enough.
    """
    limits = replace(limits, min_side=1, max_pixels=min(limits.max_pixels, MARKED_PIXELS))
    try:
        stream = io.BytesIO(data)
        image = open_header(stream, name, limits)
        if decoded is not None and _is_plain(image, data):
            pixels = decoded.picture.pixels
        elif decoded is not None and decoded.left() < decoded.seconds:
            carried.note("No mark in the pixels was looked for: decoding the picture left no time.")
            return []
        else:
            pixels = _pixels(image, stream, name)
    except ImageError as error:
        carried.note(f"No mark in the pixels was looked for: {error.message}")
        return []
    if pixels is None:
        return []
    try:
        hidden = hidden_text(pixels)
    except InputError as error:
        carried.note(f"The record that is hidden in the pixels was not read: it {error.message}")
        hidden = None
    if hidden is not None:
        carried.text("hidden in pixels", "parameters", hidden)
    return watermark_claims(pixels[:, :, :3])


def _is_plain(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the picture of that file has the very pixels that stand in it."""
    if image.format == "PNG" and not _ends_in_pixels(data):  # a profile or an orientation may follow the pixels
        return False
    return (
        image.format in _PLAIN
        and image.mode == "RGB"
        and not {"icc_profile", "transparency"} & image.info.keys()
        and orientation(image) == 1
    )


def _ends_in_pixels(data: bytes) -> bool:
    """Whether nothing stands between a PNG's last pixels and its end."""
    last = data.rfind(b"IDAT")
    end = last + 8 + int.from_bytes(data[last - 4 : last], "big")
    return last > 4 and data[end : end + 8] == _PNG_END


def _pixels(image: ImageFile.ImageFile, stream: io.BytesIO, name: str) -> NDArray[np.uint8] | None:
    """Shape (height, width, 3 or 4); None where there are no colours of 8 bits, which a mark needs."""
    try:
        image.load()
    # A decoder fed with a hostile file may raise anything; whatever it is, the file is at fault and is named.
    except Exception as error:
        raise explain(error, stream, image.format or "", name) from error
    return np.asarray(image) if image.mode in ("RGB", "RGBA") else None
