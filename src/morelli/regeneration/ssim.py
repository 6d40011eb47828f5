"""Structural similarity of two images. Source: Wang et al., *Image quality assessment* (2004), with its constants.

Gaussian window of 11 × 11 with σ = 1.5, K₁ = 0.01, K₂ = 0.03, samples of 0–255; places where the window leaves the
image do not count. The index is the mean over places and the three channels. As the authors advise, large images are
first averaged down so that their smaller side is about 256 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import correlate1d

from morelli.errors import ImageTooSmallError
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pixels = NDArray[np.uint8]

WINDOW, SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SCALE = 256


@dataclass(frozen=True, eq=False)
class Moments:
    """An image and its local statistics, each channel alone.

    Attributes
    ----------
    values : ndarray, shape (height, width, 3), float64
    mean, variance : ndarray, shape (height − 10, width − 10, 3)
    """

    values: Array
    mean: Array
    variance: Array


def ssim(one: Pixels, other: Pixels) -> float:
    """Similarity of two images of one size, −1–1; 1 where they are equal.

    Parameters
    ----------
    one, other : ndarray, shape (height, width, 3), uint8

    Raises
    ------
    ImageTooSmallError
        A side is shorter than the window.
    """
    return similarity(moments(one), moments(other))


def moments(pixels: Pixels) -> Moments:
    """Local statistics of an image, to compare it several times; raises as `ssim`."""
    height, width, _ = check_pixels(pixels).shape
    if min(height, width) < WINDOW:
        raise ImageTooSmallError(f"{width} × {height} pixels: structural similarity needs {WINDOW} each way.")
    factor = max(1, round(min(height, width) / _SCALE))
    values = np.asarray(Image.fromarray(pixels).reduce(factor), dtype=np.float64)
    mean = _local_mean(values)
    return Moments(values, mean, _local_mean(values**2) - mean**2)


def similarity(one: Moments, other: Moments) -> float:
    """`ssim` of two images whose statistics are known."""
    covariance = _local_mean(one.values * other.values) - one.mean * other.mean
    light = (2 * one.mean * other.mean + _C1) / (one.mean**2 + other.mean**2 + _C1)
    structure = (2 * covariance + _C2) / (one.variance + other.variance + _C2)
    return float((light * structure).mean())


def match_sizes(one: Pixels, other: Pixels) -> tuple[Pixels, Pixels]:
    """Both images at the smaller height and the smaller width of the two; one that has them stays as it is."""
    height, width = (min(one.shape[axis], other.shape[axis]) for axis in (0, 1))
    return _fit(one, width, height), _fit(other, width, height)


def _fit(pixels: Pixels, width: int, height: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def _local_mean(values: Array) -> Array:
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        values = correlate1d(values, weights, axis=axis)
    edge = WINDOW // 2
    return values[edge:-edge, edge:-edge]
