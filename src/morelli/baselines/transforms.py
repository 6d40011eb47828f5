"""The 170 transforms that DNA-Det learns to tell apart before it sees a model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from morelli.images.degrade import RESAMPLERS, jpeg, noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_QUALITIES = range(30, 100, 3)
_KERNELS = range(3, 30, 2)

#: Kind and strength: JPEG quality (once, or the second of two), kernel of a blur or a median, scale and resampler of a
#: round trip, variance of noise.
TRANSFORMS: tuple[tuple[str, float, str], ...] = (
    *(("jpeg", q, "") for q in _QUALITIES),
    *(("jpeg twice", q, "") for q in _QUALITIES),
    *(("blur", k, "") for k in _KERNELS),
    *(("median", k, "") for k in _KERNELS),
    *(("resize", percent / 100, name) for percent in range(15, 91, 5) for name in RESAMPLERS),
    *(("noise", variance, "") for variance in range(10, 50, 3)),
)


def apply_transform(pixels: Pixels, number: int, rng: np.random.Generator) -> Pixels:
    """A picture (height, width, 3) after the transform of that number: the same shape."""
    kind, strength, name = TRANSFORMS[number]
    if kind == "jpeg":
        return jpeg(pixels, strength)
    if kind == "jpeg twice":
        # Of two equal qualities the second would leave no trace.
        return jpeg(jpeg(pixels, 129 - strength), strength)
    if kind == "blur":
        return kernel_blur(pixels, int(strength))
    if kind == "median":
        from scipy.ndimage import median_filter

        return median_filter(pixels, size=(int(strength), int(strength), 1), mode="mirror")
    if kind == "resize":
        return round_trip(pixels, strength, name)
    return noise(pixels, math.sqrt(strength), seed=int(rng.integers(2**31)))


def kernel_blur(pixels: Pixels, kernel: int) -> Pixels:
    """Gaussian blur with a kernel of odd size; its sigma is 0.3·((kernel − 1)/2 − 1) + 0.8, as OpenCV chooses it."""
    from scipy.ndimage import gaussian_filter1d

    radius, values = (kernel - 1) // 2, pixels.astype(np.float64)
    sigma = 0.3 * (radius - 1) + 0.8
    for axis in (0, 1):
        values = gaussian_filter1d(values, sigma, axis=axis, mode="mirror", radius=radius)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def round_trip(pixels: Pixels, scale: float, name: str) -> Pixels:
    """Shrunk, and enlarged to the size it had, by one resampler."""
    height, width, _ = pixels.shape
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    resample = RESAMPLERS[name]
    return np.array(Image.fromarray(pixels).resize(small, resample).resize((width, height), resample))
