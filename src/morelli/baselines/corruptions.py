"""ImageNet-C's corruptions (Hendrycks and Dietterich 2019), those that RepMix trains with.

Every one takes pixels (height, width, 3) as float64 in 0–1, a severity of 1–5 and random numbers, and gives the same
form; values are cut to 0–1 at the end. Left out: motion, glass and zoom blur and snow, which RepMix keeps for testing;
frost and spatter, which need photographs of frost and a water simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from morelli.images.degrade import jpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[np.float64]
    Corruption = Callable[[Array, int, np.random.Generator], Array]


def _gaussian_noise(x: Array, severity: int, rng: np.random.Generator) -> Array:
    return x + rng.normal(0, (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1], x.shape)


def _shot_noise(x: Array, severity: int, rng: np.random.Generator) -> Array:
    photons = (60, 25, 12, 5, 3)[severity - 1]
    return rng.poisson(x * photons) / photons


def _impulse_noise(x: Array, severity: int, rng: np.random.Generator) -> Array:
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    return np.where(rng.random(x.shape) < amount, rng.integers(2, size=x.shape), x)


def _speckle_noise(x: Array, severity: int, rng: np.random.Generator) -> Array:
    return x + x * rng.normal(0, (0.15, 0.2, 0.35, 0.45, 0.6)[severity - 1], x.shape)


def _gaussian_blur(x: Array, severity: int, rng: np.random.Generator) -> Array:
    from scipy.ndimage import gaussian_filter

    sigma = (1, 2, 3, 4, 6)[severity - 1]
    return gaussian_filter(x, (sigma, sigma, 0), mode="nearest")


def _defocus_blur(x: Array, severity: int, rng: np.random.Generator) -> Array:
    from scipy.ndimage import gaussian_filter
    from scipy.signal import fftconvolve

    radius, soft = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[severity - 1]
    across = np.arange(-radius - 2, radius + 3)
    disk = (across[:, None] ** 2 + across**2 <= radius**2).astype(float)
    disk = gaussian_filter(disk, soft)
    margin = radius + 2
    padded = np.pad(x, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return fftconvolve(padded, disk[:, :, None] / disk.sum(), mode="valid", axes=(0, 1))


def _fog(x: Array, severity: int, rng: np.random.Generator) -> Array:
    strength, decay = ((1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[severity - 1]
    fog = strength * plasma(max(x.shape[:2]), decay, rng)[: x.shape[0], : x.shape[1], None]
    return (x + fog) * x.max() / (x.max() + strength)


def plasma(side: int, decay: float, rng: np.random.Generator) -> Array:
    """A fractal in 0–1 whose octaves fall by ``decay``: random grids, each twice as fine, smoothly enlarged."""
    from scipy.ndimage import zoom

    octaves = max(1, math.ceil(math.log2(side)))
    out: Array = np.zeros((side, side))
    for octave in range(octaves):
        grid = rng.uniform(-1, 1, (2**octave + 1, 2**octave + 1))
        finer = np.asarray(zoom(grid, (side + 1) / len(grid), order=1))
        out += finer[:side, :side] / decay**octave
    out -= out.min()
    return out / (out.max() or 1.0)


def _brightness(x: Array, severity: int, rng: np.random.Generator) -> Array:
    # Value of HSV moved up, hue and saturation kept: all channels by one factor.
    value = x.max(axis=2, keepdims=True)
    moved = np.minimum(value + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1], 1.0)
    return np.where(value > 0, x * moved / np.where(value > 0, value, 1.0), moved)


def _contrast(x: Array, severity: int, rng: np.random.Generator) -> Array:
    mean = x.mean(axis=(0, 1), keepdims=True)
    return mean + (x - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]


def _saturate(x: Array, severity: int, rng: np.random.Generator) -> Array:
    factor, offset = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))[severity - 1]
    value = x.max(axis=2, keepdims=True)
    spread = value - x.min(axis=2, keepdims=True)
    saturation = np.where(value > 0, spread / np.where(value > 0, value, 1.0), 0.0)
    wanted = np.clip(saturation * factor + offset, 0, 1)
    # A grey pixel has no hue: red, as HSV's hue 0 says.
    hue = np.where(spread > 0, (value - x) / np.where(spread > 0, spread, 1.0), np.array([0.0, 1.0, 1.0]))
    return value - hue * wanted * value


def _elastic(x: Array, severity: int, rng: np.random.Generator) -> Array:
    from scipy.ndimage import gaussian_filter, map_coordinates

    # Amplitude and smoothness as shares of the side; the published affine part is left out.
    amplitude, smooth = ((2.0, 0.7), (2.0, 0.08), (0.05, 0.01), (0.07, 0.01), (0.12, 0.01))[severity - 1]
    height, width, _ = x.shape
    side = max(height, width)
    moves = [
        amplitude
        * side
        * gaussian_filter(rng.uniform(-1, 1, (height, width)), smooth * side, mode="reflect", truncate=3)
        for _ in range(2)
    ]
    where = [grid + move for grid, move in zip(np.mgrid[:height, :width], moves, strict=True)]
    return np.stack([map_coordinates(x[..., c], where, order=1, mode="reflect") for c in range(3)], axis=2)


def _pixelate(x: Array, severity: int, rng: np.random.Generator) -> Array:
    scale = (0.6, 0.5, 0.4, 0.3, 0.25)[severity - 1]
    height, width, _ = x.shape
    image = Image.fromarray(_levels(x))
    small = image.resize((max(1, int(width * scale)), max(1, int(height * scale))), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX)) / 255.0


def _jpeg(x: Array, severity: int, rng: np.random.Generator) -> Array:
    return jpeg(_levels(x), (25, 18, 15, 10, 7)[severity - 1]) / 255.0


CORRUPTIONS: Mapping[str, Corruption] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "speckle_noise": _speckle_noise,
    "gaussian_blur": _gaussian_blur,
    "defocus_blur": _defocus_blur,
    "fog": _fog,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturate": _saturate,
    "elastic": _elastic,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
}


def corrupt(pixels: NDArray[np.uint8], name: str, severity: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One corruption of a picture (height, width, 3), severity 1 to 5."""
    return _levels(CORRUPTIONS[name](pixels / 255.0, severity, rng))


def corrupt_batch(x: Tensor, chance: float, rng: np.random.Generator) -> Tensor:
    """Each picture of a uint8 batch (n, 3, h, w) corrupted with that chance, the kind and severity drawn evenly."""
    import torch

    names = list(CORRUPTIONS)
    out = x.permute(0, 2, 3, 1).cpu().numpy().copy()
    for place in np.flatnonzero(rng.random(len(out)) < chance).tolist():
        out[place] = corrupt(out[place], names[int(rng.integers(len(names)))], int(rng.integers(1, 6)), rng)
    return torch.from_numpy(out).permute(0, 3, 1, 2).to(x.device)


def _levels(x: NDArray[Any]) -> NDArray[np.uint8]:
    return np.clip(np.rint(x * 255), 0, 255).astype(np.uint8)
