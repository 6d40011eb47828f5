"""Four lights: daylight, dusk, night and a spotlight, as a colour for every pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morelli.generators.zoo.world.grounds import grid

Array = NDArray[np.floating]

_TINTS: dict[str, tuple[float, float, float]] = {
    "daylight": (1.03, 1.02, 0.99),
    "dusk": (1.02, 0.83, 0.68),
    "night": (0.46, 0.54, 0.7),
    "spotlight": (1.14, 1.1, 1.0),
}
_SLOPES: dict[str, float] = {"daylight": 0.16, "dusk": 0.34, "night": 0.22, "spotlight": 0.0}
SHADOWS: dict[str, float] = {"daylight": 0.5, "dusk": 0.55, "night": 0.4, "spotlight": 0.6}


def light_map(name: str, towards: tuple[float, float], rng: np.random.Generator, size: int) -> Array:
    """What each pixel is multiplied with.

    Parameters
    ----------
    name : str
        One of ``LIGHTS``.
    towards : (float, float)
        Unit vector towards the light, (x, y).
    rng : numpy.random.Generator
    size : int
        Side, pixels.

    Returns
    -------
    ndarray, shape (size, size, 3), float32
        About 0.3–1.2.
    """
    x, y = grid(size)
    strength = rng.uniform(0.92, 1.06)
    if name == "spotlight":
        centre, radius = rng.uniform(0.42, 0.58, 2).astype(np.float32), np.float32(rng.uniform(0.4, 0.48))
        distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius
        soft = np.clip((1.28 - distance) / 0.5, 0, 1)
        plane = 0.36 + 0.64 * soft * soft * (3 - 2 * soft)
    else:
        slope = _SLOPES[name] * rng.uniform(0.6, 1.2)
        plane = 1 + np.float32(slope) * ((x - 0.5) * np.float32(towards[0]) + (y - 0.5) * np.float32(towards[1]))
    tint = np.asarray(_TINTS[name], np.float32) * (1 + rng.uniform(-0.03, 0.03, 3).astype(np.float32))
    return (plane * np.float32(strength)).astype(np.float32)[:, :, None] * tint
