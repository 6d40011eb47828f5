"""Fields of smooth and of stretched noise, cut out of a bank that is made once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_SIDE = 512
LARGEST = 256  # largest picture side that a cut-out serves


@lru_cache(maxsize=64)
def _bank(across: float, down: float) -> NDArray[np.float32]:
    """Tileable noise of unit variance; Gaussian correlation with the given lengths in pixels, 0 for white noise."""
    white = np.random.default_rng(20240229).standard_normal((_SIDE, _SIDE))
    fx, fy = np.fft.rfftfreq(_SIDE), np.fft.fftfreq(_SIDE)[:, None]
    smooth = np.exp(-2 * np.pi**2 * ((fx * across) ** 2 + (fy * down) ** 2))
    smooth[0, 0] = 0
    field = np.fft.irfft2(np.fft.rfft2(white) * smooth, s=(_SIDE, _SIDE))
    return (field / field.std()).astype(np.float32)


def noise(rng: np.random.Generator, size: int, across: float, down: float | None = None) -> NDArray[np.float32]:
    """A cut-out of the bank at a place chosen by chance.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Side of the picture, pixels, at most `LARGEST`.
    across, down : float
        Correlation lengths in pixels of a picture of 64; ``down`` is as ``across`` by default.

    Returns
    -------
    ndarray, shape (size, size), float32
        Mean about 0, variance about 1; a view, not to be written to.
    """
    down = across if down is None else down
    bank = _bank(across * size / 64, down * size / 64)
    top, left = rng.integers(0, _SIDE - size, 2)
    part = bank[top : top + size, left : left + size]
    return part[:, ::-1] if rng.random() < 0.5 else part
