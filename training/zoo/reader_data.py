"""What the reader learns from: drawn scenes, what is in them, and pictures that are as imperfect as generators'."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from training.zoo.reader_net import GRID, SIDE

from morelli.generators.zoo.world import COLOURS, SHAPES, TEXTURES, Scene, draw, placed_objects, sample_scene
from morelli.generators.zoo.world.scene import Split

ABSENT = -100  # cross entropy leaves these out


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures with the truth about them; n pictures, eight shapes.

    Attributes
    ----------
    pixels : (n, 3, 64, 64), float32, 0–1
    count : (n, 8), int64, 0–3
    colour, texture : (n, 8), int64, `ABSENT` where the shape is not there
    centroid : (n, 8, 2), float32, 0–1
    heat : (n, 8, 16, 16), float32, 0–1, near 1 at the objects' centres
    """

    pixels: Tensor
    count: Tensor
    colour: Tensor
    texture: Tensor
    centroid: Tensor
    heat: Tensor


def _heat(centres: NDArray[np.float64]) -> NDArray[np.float32]:
    axis = np.arange(GRID) + 0.5
    bumps = np.exp(-((axis - centres[:, :, None] * GRID) ** 2) / 0.9)  # object, x or y, cell
    return (bumps[:, 1, :, None] * bumps[:, 0, None, :]).max(axis=0).astype(np.float32)


def _truth(scenes: list[Scene], seeds: list[int]) -> dict[str, Tensor]:
    n = len(scenes)
    count = np.zeros((n, len(SHAPES)), np.int64)
    colour = np.full((n, len(SHAPES)), ABSENT, np.int64)
    texture = colour.copy()
    centroid = np.zeros((n, len(SHAPES), 2), np.float32)
    heat = np.zeros((n, len(SHAPES), GRID, GRID), np.float32)
    for i, (scene, seed) in enumerate(zip(scenes, seeds, strict=True)):
        for group, placed in zip(scene.groups, placed_objects(scene, seed), strict=True):
            k = SHAPES.index(group.shape)
            count[i, k] = group.count
            colour[i, k], texture[i, k] = COLOURS.index(group.colour), TEXTURES.index(group.texture)
            centroid[i, k] = placed.centroid
            heat[i, k] = _heat(placed.centres)
    arrays = {"count": count, "colour": colour, "texture": texture, "centroid": centroid, "heat": heat}
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(packed).convert("RGB"))


def _soften(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur each picture by a width of its own, 0–1.1 pixels; every third stays as it is."""
    sigma = torch.from_numpy(rng.uniform(0.3, 1.1, len(pixels)).astype(np.float32))
    taps = torch.exp(-(torch.arange(-2, 3, dtype=torch.float32) ** 2) / (2 * sigma[:, None] ** 2))
    taps = taps / taps.sum(dim=1, keepdim=True)
    kernels = (taps[:, :, None] * taps[:, None, :]).repeat_interleave(3, dim=0)[:, None]
    padded = F.pad(pixels, (2, 2, 2, 2), mode="reflect").reshape(1, -1, SIDE + 4, SIDE + 4)
    blurred = F.conv2d(padded, kernels, groups=len(kernels)).reshape(pixels.shape)
    keep = torch.from_numpy(rng.random(len(pixels)) < 1 / 3)[:, None, None, None]
    return torch.where(keep, pixels, blurred)


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Pictures (n, 64, 64, 3), uint8, as (n, 3, 64, 64), float32, 0–1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


def spoil(pixels: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Pictures as generators might have made them: JPEG, blur, brightness, contrast, tint and noise, mild.

    Parameters
    ----------
    pixels : ndarray, shape (n, 64, 64, 3), uint8
    rng : numpy.random.Generator

    Returns
    -------
    Tensor, shape (n, 3, 64, 64), float32, 0–1
    """
    n = len(pixels)
    pixels = pixels.copy()
    for i in np.flatnonzero(rng.random(n) < 0.25):
        pixels[i] = _jpeg(pixels[i], int(rng.integers(45, 95)))
    values = _soften(to_tensor(pixels), rng)

    def each(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (n, channels, 1, 1)).astype(np.float32))

    values = (values - 0.5) * each(0.85, 1.15) + 0.5 + each(-0.06, 0.06)
    values = values * each(0.96, 1.04, 3)
    grain = rng.standard_normal((n, 3, SIDE, SIDE), dtype=np.float32)
    return (values + each(0, 0.05) * torch.from_numpy(grain)).clamp(0, 1)


def make_batch(split: Split, count: int, seed: int, spoiled: bool = True) -> Batch:
    """Freshly drawn pictures; the same for the same arguments.

    Parameters
    ----------
    split : {"train", "test"}
    count : int
    seed : int
    spoiled : bool
        Whether the pictures go through `spoil`.
    """
    rng = np.random.default_rng([seed, int(split == "test")])
    scenes = [sample_scene(rng, split) for _ in range(count)]
    seeds = [int(s) for s in rng.integers(0, 2**31, count)]
    pixels = np.stack([draw(scene, s, SIDE) for scene, s in zip(scenes, seeds, strict=True)])
    return Batch(pixels=spoil(pixels, rng) if spoiled else to_tensor(pixels), **_truth(scenes, seeds))
