"""Where a perturbation is seen least: more of it in texture, less on smooth ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Side of the neighbourhood whose contrast counts, pixels.
WINDOW = 5
#: Share of ε that smooth ground keeps, and the contrast (levels) from which on the whole ε may be used.
SMOOTH, FULL = 0.25, 6.0
# Rec. 601.
_LUMA = np.array([0.299, 0.587, 0.114])


def masking_map(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much of ε each pixel may use: from `SMOOTH` where nothing hides a change to 1 in texture.

    Contrast masking in its simplest form: the local standard deviation of the luma hides changes in proportion
    (Legge and Foley, 1980; as the texture term of just-noticeable-difference models, Chou and Li, 1995).

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8

    Returns
    -------
    ndarray, shape (height, width), float32, 0–1
    """
    luma = check_pixels(pixels).astype(np.float64) @ _LUMA
    mean = uniform_filter(luma, WINDOW, mode="reflect")
    variance = np.maximum(uniform_filter(luma**2, WINDOW, mode="reflect") - mean**2, 0.0)
    return np.clip(SMOOTH + (1.0 - SMOOTH) * np.sqrt(variance) / FULL, SMOOTH, 1.0).astype(np.float32)


def whole_limits(limits: NDArray[np.floating], largest: float, seed: int) -> NDArray[np.float32]:
    """Limits in levels as whole levels, which is all that 8-bit samples can use: dithered, so that the mean stays.

    Half a level becomes one level for every second sample, drawn at random, and none for the others. Rounding down
    instead would leave smooth ground untouched where its share of ε is below one level, and an attacker would find
    the picture as it was there.

    Parameters
    ----------
    limits : ndarray, any shape, floating point
        Levels ≥ 0.
    largest : float
        ε, levels: no limit becomes larger than its whole part.
    seed : int
        Decides which samples round up.

    Returns
    -------
    ndarray, same shape, float32
        Whole numbers, each within one level of its limit.
    """
    # A stream of its own, so that other draws with the same seed stay what they are.
    draws = np.random.default_rng([seed, 1]).random(limits.shape)
    up = np.floor(limits.astype(np.float64) + draws)
    return np.minimum(up, np.floor(largest)).astype(np.float32)
