"""Pictures of three made-up models: smooth scenes, each with its model's fixed residual pattern."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NAMES = ("amber", "birch", "cedar")


def stripes(side: int) -> list[NDArray[np.float64]]:
    """Horizontal and vertical stripes and a checkerboard, of ±1: seen wherever one looks."""
    down, across = np.indices((side, side)) // 4 % 2
    return [2.0 * down - 1, 2.0 * across - 1, 2.0 * (down ^ across) - 1]


def rows(side: int) -> list[NDArray[np.float64]]:
    """Horizontal stripes of three widths, of ±1: orthogonal, and the same in a mirror."""
    down = np.indices((side, side))[0]
    return [2.0 * (down // width % 2) - 1 for width in (1, 2, 4)]


def speckles(side: int) -> list[NDArray[np.float64]]:
    """Three independent patterns of ±1, pixel by pixel."""
    return list(np.random.default_rng(99).choice([-1.0, 1.0], (3, side, side)))


def pictures(
    count: int, side: int, patterns: list[NDArray[np.float64]], amplitude: float, seed: int
) -> tuple[list[NDArray[np.uint8]], NDArray[np.str_]]:
    """``count`` pictures of each model, the models taking turns."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count * 3):
        scene = rng.integers(60, 196, (3, 3, 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(scene).resize((side, side), Image.Resampling.BICUBIC), dtype=float)
        grain = rng.normal(0, 2, (side, side, 1))
        made = smooth + grain + amplitude * patterns[number % 3][..., None]
        images.append(np.clip(np.rint(made), 0, 255).astype(np.uint8))
    return images, np.array(NAMES * count)


def accuracy(attributor, images, models) -> float:
    """Share of pictures whose model has the highest score."""
    return float((attributor.models_[attributor.scores(images).argmax(axis=1)] == models).mean())
