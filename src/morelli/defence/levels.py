"""Pixels as tensors of levels, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_levels(pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels (h, w, 3), uint8, as an image (3, h, w) of levels 0–255, float32."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float()


def to_pixels(x: Tensor) -> NDArray[np.uint8]:
    """Image (3, h, w) of levels 0–255 as pixels (h, w, 3), uint8; halves go up, what lies outside is cut."""
    return np.ascontiguousarray((x.detach() + 0.5).floor().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())
