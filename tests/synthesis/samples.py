"""Photographs and settings for the tests of synthesis: small enough that a model trains in a blink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from morelli.synthesis.photos import Photos
from morelli.synthesis.settings import TrainingSettings


def picture(seed: int, height: int = 24, width: int = 28) -> NDArray[np.uint8]:
    """Smooth patches of colour with a little grain."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(height, width, 3)), (4, 4, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 235 + rng.normal(scale=3, size=smooth.shape) + 10
    return np.clip(np.rint(smooth), 0, 255).astype(np.uint8)


def photos(count: int = 16) -> Photos:
    return Photos(tuple(picture(seed) for seed in range(count)), digest="made-up")


def write_photos(folder: Path, count: int = 18, height: int = 24, width: int = 28) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        Image.fromarray(picture(seed, height, width)).save(folder / f"{seed:03d}.png")
    return folder


def quick(**others: Any) -> TrainingSettings:
    """Settings of a run of a few steps."""
    given: dict[str, Any] = {"crop": 16, "batch": 4, "max_steps": 4, "check_every": 2, "check_crops": 4, "width": 4}
    return TrainingSettings(**(given | others))
