"""What may happen to a picture on its way, drawn at random: training of the immunised extractor (paper 002)."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from morelli.images.degrade import Subsampling, blur, crop_resize, jpeg, noise, webp

Pixels = NDArray[np.uint8]

#: Ranges: qualities of JPEG (the published test's) and WebP, part of the sides kept (the published test's), sigma of
#: the blur in pixels, of the noise in levels.
JPEG, WEBP, CROP, BLUR, NOISE = (50, 100), (50, 100), (0.5, 1.0), (0.3, 1.0), (0.5, 3.0)
#: Part of the pictures that stay as they are.
UNTOUCHED = 0.3
# Codecs come last, as they do on the way to us.
_CHANCES = {"crop": 0.4, "blur": 0.15, "noise": 0.15, "codec": 0.7}
_JPEG_SHARE = 0.7


def draw_degradation(rng: np.random.Generator) -> Callable[[Pixels], Pixels]:
    """A chain of degradations with all its strengths fixed: pixels (h, w, 3) to pixels of the same shape.

    The same chain may be applied to many pictures; it draws nothing any more.
    """
    steps: list[Callable[[Pixels], Pixels]] = []
    if rng.random() >= UNTOUCHED:
        lots = {name: rng.random() < chance for name, chance in _CHANCES.items()}
        if not any(lots.values()):
            lots["codec"] = True
        makers = {"crop": _crop, "blur": _blur, "noise": _noise, "codec": _codec}
        steps = [makers[name](rng) for name, drawn in lots.items() if drawn]

    def apply(pixels: Pixels) -> Pixels:
        for step in steps:
            pixels = step(pixels)
        return pixels

    return apply


def _crop(rng: np.random.Generator) -> Callable[[Pixels], Pixels]:
    fraction, centre = rng.uniform(*CROP), (rng.random(), rng.random())
    return lambda pixels: crop_resize(pixels, fraction, centre)


def _blur(rng: np.random.Generator) -> Callable[[Pixels], Pixels]:
    sigma = rng.uniform(*BLUR)
    return lambda pixels: blur(pixels, sigma)


def _noise(rng: np.random.Generator) -> Callable[[Pixels], Pixels]:
    sigma, seed = rng.uniform(*NOISE), int(rng.integers(1 << 31))
    return lambda pixels: noise(pixels, sigma, seed)


def _codec(rng: np.random.Generator) -> Callable[[Pixels], Pixels]:
    if rng.random() < _JPEG_SHARE:
        quality, kinds = int(rng.integers(JPEG[0], JPEG[1] + 1)), get_args(Subsampling)
        subsampling = kinds[int(rng.integers(len(kinds)))]
        return lambda pixels: jpeg(pixels, quality, subsampling)
    quality = int(rng.integers(WEBP[0], WEBP[1] + 1))
    return lambda pixels: webp(pixels, quality)
