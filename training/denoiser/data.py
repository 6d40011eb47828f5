"""Photographs in memory, and noisy patches of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from morelli.errors import DatasetError
from morelli.fingerprint.denoiser import UNIT
from morelli.images.load import load_image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
#: Every so many photographs, one is kept for checking and never trained on.
HELD_OUT_EVERY = 12
#: Photographs that training wants at least: with fewer, the network learns them by heart.
LEAST = 24
SIGMAS = (0.5, 3.0)


@dataclass(frozen=True, eq=False)
class Photographs:
    """Pictures as arrays (h, w, 3), uint8, for training and for checking."""

    training: list[np.ndarray]
    held_out: list[np.ndarray]


def read_photographs(folder: Path, least_side: int) -> Photographs:
    """All pictures under a folder whose sides are ``least_side`` pixels at least, in the order of their names.

    Raises
    ------
    DatasetError
        There are too few.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    pictures = [load_image(path).pixels for path in paths]
    pictures = [pixels for pixels in pictures if min(pixels.shape[:2]) >= least_side]
    if len(pictures) < LEAST:
        raise DatasetError(
            f"holds {len(pictures)} pictures of {least_side} pixels a side, and the denoiser needs {LEAST}.",
            argument=str(folder),
        )
    held = pictures[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    return Photographs([p for i, p in enumerate(pictures) if (i + 1) % HELD_OUT_EVERY], held)


def draw_batch(pictures: list[np.ndarray], rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor]:
    """Noisy patches (count, 3, side, side) in 0–1 and their noise in units of 1/256, float32.

    The noise's sigma is drawn log-normally around 1/256 and cut to 0.5–3. Half of the noisy patches are rounded to 8
    bit, as every file is, and their noise is then what the rounded patch differs by. Orientation and the order of the
    colour channels are drawn too.
    """
    clean = np.stack([_patch(pictures[int(rng.integers(len(pictures)))], rng, side) for _ in range(count)])
    sigma = np.clip(np.exp(rng.normal(0, 0.6, (count, 1, 1, 1))), *SIGMAS)
    noisy = clean / 255.0 + rng.standard_normal(clean.shape) * sigma * UNIT
    rounded = np.rint(np.clip(noisy, 0, 1) * 255) / 255
    noisy = np.where(rng.random((count, 1, 1, 1)) < 0.5, rounded, noisy)
    noise = (noisy - clean / 255.0) / UNIT
    return torch.from_numpy(noisy.astype(np.float32)), torch.from_numpy(noise.astype(np.float32))


def _patch(picture: np.ndarray, rng: np.random.Generator, side: int) -> np.ndarray:
    top, left = (int(rng.integers(extent - side + 1)) for extent in picture.shape[:2])
    patch = np.rot90(picture[top : top + side, left : left + side], int(rng.integers(4)))
    patch = patch[:, ::-1] if rng.random() < 0.5 else patch
    return patch[:, :, rng.permutation(3)].transpose(2, 0, 1).astype(np.float64)
