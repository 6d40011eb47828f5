"""Photographs of a folder, as pixels in memory: what synthetic models learn to give back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morelli.errors import ImageError, NotEnoughPhotosError
from morelli.images.dataset import list_images
from morelli.images.degrade import resize
from morelli.images.load import load_image

#: The least number of photographs.
LEAST = 16
_WHY = "a batch of 8 must show different pictures, and the error is measured on some that training never sees"
_CHECK_EVERY = 8

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Photos:
    """Photographs in memory.

    Attributes
    ----------
    pixels : tuple of ndarray, each of shape (height, width, 3), uint8
        sRGB; ordered by content, so that the file names do not matter.
    digest : str
        SHA-256 of the contents, 64 hexadecimal digits.
    notes : tuple of str
        What was left out; for the user to read.
    """

    pixels: tuple[Pixels, ...]
    digest: str
    notes: tuple[str, ...] = ()

    @property
    def training(self) -> tuple[Pixels, ...]:
        """Seven of eight: what models learn from."""
        return tuple(each for number, each in enumerate(self.pixels) if number % _CHECK_EVERY)

    @property
    def checking(self) -> tuple[Pixels, ...]:
        """The eighth: what their error is measured on."""
        return self.pixels[::_CHECK_EVERY]


def read_photos(
    folder: str | Path | Sequence[str | Path],
    crop: int = 64,
    *,
    shorter: int = 512,
    budget: int = 1 << 30,
    seed: int = 0,
) -> Photos:
    """Read the photographs of a folder, or of several, of any size.

    Parameters
    ----------
    folder : path, or sequence of paths
        Searched through and through.
    crop : int
        Photographs with a side under this many pixels are left out.
    shorter : int
        Larger photographs are shrunk until their shorter side has this many pixels.
    budget : int
        Bytes of pixels to hold at most; where there is more, photographs are drawn at random until it is full.
    seed : int
        Of that draw.

    Raises
    ------
    NotEnoughPhotosError
        Fewer than `LEAST` different, large enough and readable photographs.
    MissingImageError, DatasetError
        No such folder, or no image in it.
    """
    paths = list_images([folder] if isinstance(folder, str | Path) else folder)
    order = np.random.default_rng(seed).permutation(len(paths))
    held: dict[str, Pixels] = {}
    left = {"could not be read": 0, f"have a side under {crop} pixels": 0, "are copies of others": 0}
    unread, small, copies = left
    size = passed = 0
    for number in order:
        if size > budget:
            passed += 1
            continue
        try:
            picture = load_image(paths[number])
        except ImageError:  # counted and told: one broken file must not stop a folder of thousands
            left[unread] += 1
            continue
        if min(picture.pixels.shape[:2]) < crop:
            left[small] += 1
        elif picture.content in held:
            left[copies] += 1
        else:
            held[picture.content] = _shrunk(picture.pixels, max(shorter, crop))
            size += held[picture.content].nbytes
    notes = [f"{count} photographs {why} and were left out." for why, count in left.items() if count]
    if passed:
        notes.append(f"{passed} photographs were passed over: the others fill {budget >> 20} MiB.")
    if len(held) < LEAST:
        raise NotEnoughPhotosError(
            " ".join([f"there are {len(held)} usable photographs, and {LEAST} are the least: {_WHY}.", *notes]),
            argument=str(folder),
            fix="Name a folder with more photographs.",
        )
    contents = sorted(held)
    digest = hashlib.sha256("\n".join(contents).encode()).hexdigest()
    return Photos(tuple(held[content] for content in contents), digest, tuple(notes))


def _shrunk(pixels: Pixels, shorter: int) -> Pixels:
    short = min(pixels.shape[:2])
    return pixels if short <= shorter else resize(pixels, max(shorter / short, 0.05))
