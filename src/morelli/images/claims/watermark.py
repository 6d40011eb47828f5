"""The marks that scripts of Stable Diffusion and FLUX put into pixels, read as invisible-watermark's "dwtDct" does.

ShieldMnt/invisible-watermark (MIT): of the U channel's Haar approximation, in blocks of 4 × 4, the largest coefficient
beside the first tells one bit: whether it lies in the upper half of its step of 36. Bits repeat in reading order, and
each is the majority of its places. (Despite the name there is no cosine transform on this path.) The mark is a claim:
the package is public and marks any picture with any message. Written anew in whole numbers, without OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from morelli.types import Claim

#: Pictures with fewer pixels were never marked: the package refuses them.
MIN_PIXELS = 256 * 256
#: Pixels that are looked at: the topmost rows of a larger picture hold each bit a thousand times.
MAX_PIXELS = 4_000_000
#: How often pixels without a mark agree with a message by chance, if their bits were fair coins.
CHANCE = 1e-8

_STEP, _BLOCK = 36, 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A message that a script writes, and whose it is."""

    whose: str
    bits: tuple[int, ...]


def _of_text(text: bytes) -> tuple[int, ...]:
    return tuple(int(bit) for bit in np.unpackbits(np.frombuffer(text, np.uint8)))


def _of_number(number: int) -> tuple[int, ...]:
    return tuple(int(bit) for bit in f"{number:b}")


#: CompVis/stable-diffusion and Stability-AI/stablediffusion (scripts/txt2img.py), Stability-AI/generative-models and
#: diffusers (StableDiffusionXLWatermarker), black-forest-labs/flux (its 48-bit number loses two leading zeros).
MARKS: tuple[Mark, ...] = (
    Mark("Stable Diffusion 1", _of_text(b"StableDiffusionV1")),
    Mark("Stable Diffusion 1 for inpainting", _of_text(b"StableDiffusionV1-Inpainting")),
    Mark("Stable Diffusion 2", _of_text(b"SDV2")),
    Mark("Stable Diffusion XL", _of_number(0xB3EC907BB19E)),
    Mark("FLUX", _of_number(0x2AFE879CF52E)),
)


def watermark_claims(pixels: NDArray[np.uint8]) -> list[Claim]:
    """The known message that the pixels carry, as a claim; none, or one.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
        RGB, in the orientation and size in which the tool saved them: no mark survives resizing or turning.
    """
    height, width, _ = pixels.shape
    if height * width < MIN_PIXELS:
        return []
    votes = block_votes(pixels[: max(MAX_PIXELS // width, 64)])
    # Texts share letters, so one mark makes another of its kind likelier: the least likely by chance was written.
    found = [(chance(agree, len(mark.bits)), agree, mark) for mark in MARKS if (agree := matches(votes, mark.bits))]
    best, agree, mark = min(found, key=lambda each: each[0], default=(1.0, 0, MARKS[0]))
    if best >= CHANCE:
        return []
    statement = f"the mark that scripts of {mark.whose} write ({agree} of {len(mark.bits)} bits)"
    return [Claim("invisible watermark (pixels)", statement, signed=False)]


def block_votes(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """One bit a block, in reading order.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
        RGB.

    Returns
    -------
    ndarray of bool, shape (height // 8 · width // 8,)
    """
    blue_less_grey = _u_channel(pixels)
    rows, columns = (size // (2 * _BLOCK) for size in blue_less_grey.shape)
    u = blue_less_grey[: rows * 2 * _BLOCK, : columns * 2 * _BLOCK]
    # Twice the approximation, which the package divides by 2: whole numbers keep borderline steps exact.
    doubled = u[0::2, 0::2] + u[0::2, 1::2] + u[1::2, 0::2] + u[1::2, 1::2]
    blocks = doubled.reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    largest = np.abs(blocks[:, 1:]).max(axis=1, initial=0)
    return largest % (2 * _STEP) > _STEP


def matches(votes: NDArray[np.bool_], message: tuple[int, ...]) -> int:
    """Bits of a message that the majority of their votes confirms; 0 where there are fewer votes than bits."""
    count = len(message)
    if len(votes) < count:
        return 0
    places = np.arange(len(votes)) % count
    share = np.bincount(places, weights=votes, minlength=count) / np.bincount(places, minlength=count)
    return int(((share * 255 > 127) == np.array(message, dtype=bool)).sum())


@cache
def chance(agree: int, count: int) -> float:
    """How often fair coins agree with ``agree`` or more of ``count`` bits, 0–1."""
    return sum(comb(count, bits) for bits in range(agree, count + 1)) / 2**count


def _u_channel(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """U of OpenCV's 8-bit BGR2YUV: fixed point with 14 bits, rounded at each of two steps."""
    red, green, blue = (pixels[:, :, channel].astype(np.int32) for channel in range(3))
    grey = (red * 4899 + green * 9617 + blue * 1868 + (1 << 13)) >> 14
    u = ((blue - grey) * 8061 + (128 << 14) + (1 << 13)) >> 14
    return np.clip(u, 0, 255)
