"""Sub-worlds for the LoRA and the fine-tune: the same scenes in another look."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def warm(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Late sun: more red, less blue, more contrast, darker corners."""
    x = pixels.astype(np.float32) / 255
    x = (x - 0.5) * 1.15 + 0.5
    x *= np.array([1.1, 1.0, 0.84], dtype=np.float32)
    side = np.linspace(-1, 1, pixels.shape[-2], dtype=np.float32)
    x *= (1 - 0.18 * (side[:, None] ** 2 + side[None] ** 2))[..., None]
    return (x.clip(0, 1) * 255).round().astype(np.uint8)


def faded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An old print: raised blacks, cool shadows, soft detail."""
    x = pixels.astype(np.float32) / 255
    near = np.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)], mode="edge")
    blurred = (near[..., :-2, 1:-1, :] + near[..., 2:, 1:-1, :] + near[..., 1:-1, :-2, :] + near[..., 1:-1, 2:, :]) / 4
    x = 0.55 * x + 0.45 * blurred
    x = 0.14 + 0.78 * x
    x += (1 - x) * np.array([-0.03, 0.01, 0.05], dtype=np.float32)
    return (x.clip(0, 1) * 255).round().astype(np.uint8)


STYLES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {"warm": warm, "faded": faded}
