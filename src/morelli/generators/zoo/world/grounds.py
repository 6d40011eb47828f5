"""What the objects lie on: six grounds whose texture has a phase and a scale of its own in every picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from morelli.generators.zoo.world.noise import noise

Array = NDArray[np.floating]


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Array, Array]:
    """Pixel centres, x across (shape (1, size)) and y down (shape (size, 1)), in pictures' sides."""
    axis = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return axis[None, :], axis[:, None]


def _colour(*values: int) -> Array:
    return np.asarray(values, np.float32) / 255


def _mix(low: Array, high: Array, share: Array) -> Array:
    """Colours between two, by a plane of shares 0–1."""
    return low + share[:, :, None] * (high - low)


def _paper(rng: np.random.Generator, size: int) -> Array:
    tone = 1 + 0.035 * noise(rng, size, 3) + 0.02 * noise(rng, size, 0.6, 2)
    return tone[:, :, None] * _colour(150, 150, 152)


def _tiles(rng: np.random.Generator, size: int) -> Array:
    x, y = grid(size)
    turn, period = rng.uniform(-0.2, 0.2), rng.uniform(0.22, 0.3)
    c, s = np.float32(np.cos(turn) / period), np.float32(np.sin(turn) / period)
    u, v = c * x + s * y + np.float32(rng.random()), c * y - s * x + np.float32(rng.random())
    # A product of two triangle waves is positive on every other tile; its slope softens the edge over a pixel.
    wave = (np.abs(u % 2 - 1) - 0.5) * (np.abs(v % 2 - 1) - 0.5)
    share = np.clip(0.5 + wave * np.float32(size * period * 2), 0, 1) + 0.04 * noise(rng, size, 1.5)
    return _mix(_colour(112, 118, 130), _colour(168, 172, 178), share)


def _sand(rng: np.random.Generator, size: int) -> Array:
    x, y = grid(size)
    turn = rng.uniform(-0.5, 0.5)
    phase = (y * np.cos(turn) + x * np.sin(turn)).astype(np.float32) * np.float32(2 * np.pi * rng.uniform(8, 11))
    ripples = np.sin(phase + 1.1 * noise(rng, size, 6) + np.float32(6.3 * rng.random()))
    tone = 1 + 0.06 * ripples + 0.06 * noise(rng, size, 0.5)
    return tone[:, :, None] * _colour(184, 164, 128)


def _grass(rng: np.random.Generator, size: int) -> Array:
    blades = 0.5 + 0.22 * noise(rng, size, 0.55, 2.4) + 0.1 * noise(rng, size, 5)
    return _mix(_colour(58, 76, 44), _colour(116, 134, 82), np.clip(blades, 0, 1))


def _brick(rng: np.random.Generator, size: int) -> Array:
    x, y = grid(size)
    height, width = rng.uniform(0.105, 0.13), rng.uniform(0.24, 0.29)
    v = y / np.float32(height) + np.float32(rng.random())
    course = np.floor(v)
    u = x / np.float32(width) + np.float32(rng.random()) + 0.5 * (course % 2)
    brick = np.floor(u)
    # Distance to the nearest joint, in pixels, and a tone for each brick from a cheap hash of its place.
    across = (0.5 - np.abs(u - brick - 0.5)) * np.float32(width * size)
    down = (0.5 - np.abs(v - course - 0.5)) * np.float32(height * size)
    wall = np.clip(np.minimum(across, down) * np.float32(64 / size) - 0.15, 0, 1)
    tone = (
        0.86 + 0.24 * ((brick * 0.618 + course * 0.382 + np.float32(rng.random())) % 1) + 0.05 * noise(rng, size, 0.7)
    )
    return _mix(_colour(158, 150, 144), _colour(140, 92, 80), wall) * tone[:, :, None]


def _water(rng: np.random.Generator, size: int) -> Array:
    _, y = grid(size)
    horizon = np.float32(rng.uniform(0.34, 0.5))
    height = np.clip(y / horizon, 0, 1)
    clouds = np.clip(0.18 * noise(rng, size, 7, 3) + 0.05 * noise(rng, size, 2, 1), 0, 0.6)
    sky = _mix(_colour(116, 146, 184), _colour(186, 200, 212), np.clip(height * 0.9 + clouds, 0, 1))
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)
    waves = (0.35 + 0.5 * depth) * noise(rng, size, 3, 0.7)
    sea = _mix(_colour(96, 128, 146), _colour(40, 74, 104), np.clip(0.15 + 0.75 * depth + 0.16 * waves, 0, 1))
    below = np.clip((y - horizon) * size + 0.5, 0, 1)
    return sky + below[:, :, None] * (sea - sky)


_PAINTERS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "paper": _paper,
    "tiles": _tiles,
    "sand": _sand,
    "grass": _grass,
    "brick": _brick,
    "water": _water,
}


def paint_ground(name: str, rng: np.random.Generator, size: int) -> Array:
    """One ground, as it looks by plain white light.

    Parameters
    ----------
    name : str
        One of ``GROUNDS``.
    rng : numpy.random.Generator
    size : int
        Side, pixels.

    Returns
    -------
    ndarray, shape (size, size, 3), float32
        About 0–1, not clipped.
    """
    return _PAINTERS[name](rng, size).astype(np.float32, copy=False)
