"""A protected image brought to another strength, so that defences can be compared at one quality.

At one ε defences differ in how much of it they use: what spares smooth ground changes a picture less than what does
not. What a defence takes from an attack is comparable where the pictures are equally far from the originals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.defence.quality import psnr
from morelli.errors import ArrayError
from morelli.images.pixels import check_pixels, content_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

#: Decibels within which two defences count as equally visible.
TOLERANCE = 0.2
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Matched:
    """The strength at which a set of protected images has a certain quality.

    Attributes
    ----------
    share : float
        Of each image's change, 0–1: what `weakened` takes.
    psnr : float
        Mean over the images, dB.
    """

    share: float
    psnr: float


def weakened(before: Pixels, after: Pixels, share: float) -> Pixels:
    """The image with a share of its change, dithered to whole levels: on average exactly that share remains.

    Parameters
    ----------
    before, after : ndarray, shape (height, width, 3), uint8
    share : float
        0–1; 1 is ``after``, 0 is ``before``. A larger share changes no sample less than a smaller one.

    Returns
    -------
    ndarray, same shape, uint8
        Each sample between those of the two images. The same images give the same result.

    Raises
    ------
    ArrayError
        Not pixels, of two sizes, or a share outside 0–1.
    """
    if check_pixels(before).shape != check_pixels(after).shape:
        raise ArrayError(f"two images of one size are needed; got {before.shape} and {after.shape}.", argument="after")
    if not 0 <= share <= 1:
        raise ArrayError(f"must lie in 0–1; got {share:g}.", argument="share")
    draws = np.random.default_rng(int(content_hash(before)[:8], 16)).random(before.shape)
    change = (after.astype(np.float64) - before) * share
    return (before + np.floor(change + draws)).astype(np.uint8)


def mean_psnr(pairs: Sequence[tuple[Pixels, Pixels]]) -> float:
    """Mean PSNR of pairs of images (before, after), dB; pairs that are equal have none and do not count.

    Infinite where all are equal.
    """
    found = [value for before, after in pairs if math.isfinite(value := psnr(before, after))]
    return float(np.mean(found)) if found else math.inf


def match_psnr(pairs: Sequence[tuple[Pixels, Pixels]], target: float, tolerance: float = TOLERANCE) -> Matched:
    """Weaken protected images until their mean PSNR is the target, by bisection of the share.

    Parameters
    ----------
    pairs : sequence of (ndarray, ndarray), shapes (height, width, 3), uint8
        Images before and after.
    target : float
        dB.
    tolerance : float
        dB > 0.

    Raises
    ------
    ArrayError
        No pair differs, the tolerance is not above 0, or the images at their full strength are nearer to the
        originals than the target allows: make them with a larger ε first.
    """
    if not tolerance > 0:
        raise ArrayError(f"must be above 0; got {tolerance:g}.", argument="tolerance")
    changed = [pair for pair in pairs if not np.array_equal(*pair)]
    if not changed:
        raise ArrayError("no image was changed.", argument="pairs")
    full = mean_psnr(changed)
    if abs(full - target) <= tolerance:
        return Matched(1.0, full)
    if full > target:
        raise ArrayError(
            f"at full strength the images have {full:.2f} dB, and can only be weakened; {target:.2f} are asked for.",
            argument="target",
            fix="Protect them with a larger ε first.",
        )
    low, high, found = 0.0, 1.0, Matched(1.0, full)
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        found = Matched(share, _weakened_psnr(changed, share))
        if abs(found.psnr - target) <= tolerance:
            return found
        low, high = (share, high) if found.psnr > target else (low, share)
    raise ArrayError(
        f"no share comes within {tolerance:g} dB of {target:.2f} dB; the nearest has {found.psnr:.2f}.",
        argument="tolerance",
    )


def _weakened_psnr(pairs: Sequence[tuple[Pixels, Pixels]], share: float) -> float:
    """Infinite as soon as one of the images is back to what it was: otherwise those that are left would be judged."""
    return float(np.mean([psnr(before, weakened(before, after, share)) for before, after in pairs]))
