"""Weights in LPIPS' two files, and pictures: the same on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

SHAPES = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}


def write_weights(folder: Path) -> tuple[Path, Path]:
    """Files of AlexNet's convolutions and of the layers on top, of made-up numbers."""
    rng = np.random.default_rng(0)
    network, top = {}, {}
    for number, (k, shape) in enumerate(SHAPES.items()):
        spread = (2 / np.prod(shape[1:])) ** 0.5
        network[f"features.{k}.weight"] = torch.from_numpy(rng.normal(0, spread, shape).astype(np.float32))
        network[f"features.{k}.bias"] = torch.from_numpy(rng.normal(0, 0.1, shape[0]).astype(np.float32))
        weight = rng.random((1, shape[0], 1, 1)).astype(np.float32)
        top[f"lin{number}.model.1.weight"] = torch.from_numpy(weight)
    network["classifier.1.weight"] = torch.zeros(2, 2)
    paths = folder / "alexnet.pth", folder / "alex.pth"
    torch.save(network, paths[0])
    torch.save(top, paths[1])
    return paths


def pictures() -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pairs of two sizes: noise of two levels, and two pictures that have nothing in common."""
    rng = np.random.default_rng(1)
    one = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
    near = np.clip(one.astype(int) + rng.integers(-2, 3, one.shape), 0, 255).astype(np.uint8)
    small = rng.integers(0, 256, (31, 31, 3), dtype=np.uint8)
    other = rng.integers(0, 256, (31, 31, 3), dtype=np.uint8)
    return [(one, near), (small, other)]
