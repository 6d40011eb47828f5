"""What a defence costs to look at: PSNR and MS-SSIM.

MS-SSIM after Wang, Simoncelli and Bovik, *Multi-scale structural similarity for image quality assessment* (2003), on
the luma, with the window (11 × 11, σ = 1.5), constants and weights of its authors. Between scales the image is averaged
over 2 × 2 samples and halved. An image too small for five scales is compared on as many as it has room for, with their
weights scaled to the same sum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import correlate1d

from morelli.errors import ArrayError, ImageTooSmallError
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pixels = NDArray[np.uint8]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Rec. 601.
_LUMA = np.array([0.299, 0.587, 0.114])


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio of two images of one size, dB, over all samples; infinite where they are equal.

    Raises
    ------
    ArrayError
        Not pixels, or of two sizes.
    """
    _check(one, other)
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def scales(height: int, width: int) -> int:
    """How many of the five scales an image has room for; 0 where it is smaller than the window."""
    side = min(height, width)
    return sum((side >> number) >= WINDOW for number in range(len(WEIGHTS)))


def ms_ssim(one: Pixels, other: Pixels) -> float:
    """Multi-scale structural similarity of two images of one size, 0–1; 1 where they are equal.

    A scale on which the structures are opposed counts as 0.

    Raises
    ------
    ArrayError
        Not pixels, or of two sizes.
    ImageTooSmallError
        A side is shorter than the window.
    """
    _check(one, other)
    height, width = one.shape[:2]
    count = scales(height, width)
    if not count:
        raise ImageTooSmallError(f"{width} × {height} pixels: structural similarity needs {WINDOW} each way.")
    weights = np.array(WEIGHTS[:count]) / sum(WEIGHTS[:count])
    x, y = one.astype(np.float64) @ _LUMA, other.astype(np.float64) @ _LUMA
    product = 1.0
    for number, weight in enumerate(weights):
        light, structure = _terms(x, y)
        # Luminance counts on the coarsest scale alone (equation 7).
        value = (light * structure).mean() if number == count - 1 else structure.mean()
        product *= max(float(value), 0.0) ** weight
        x, y = _halved(x), _halved(y)
    return product


def _check(one: Pixels, other: Pixels) -> None:
    check_pixels(one)
    check_pixels(other)
    if one.shape != other.shape:
        raise ArrayError(f"two images of one size are needed; got {one.shape} and {other.shape}.", argument="pixels")


def _terms(x: Array, y: Array) -> tuple[Array, Array]:
    """Luminance, and contrast times structure, at every place of the window inside the image."""
    mx, my = _local(x), _local(y)
    vx, vy, cov = _local(x * x) - mx**2, _local(y * y) - my**2, _local(x * y) - mx * my
    return (2 * mx * my + _C1) / (mx**2 + my**2 + _C1), (2 * cov + _C2) / (vx + vy + _C2)


def _local(x: Array) -> Array:
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        x = correlate1d(x, weights, axis=axis)
    edge = WINDOW // 2
    return x[edge:-edge, edge:-edge]


def _halved(x: Array) -> Array:
    """Means of 2 × 2 samples; an odd last row or column is left out."""
    x = x[: len(x) // 2 * 2, : x.shape[1] // 2 * 2]
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
