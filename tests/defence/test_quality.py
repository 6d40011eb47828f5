"""PSNR and MS-SSIM against hand calculation, slow loops and the single-scale index."""

from __future__ import annotations

import math

import numpy as np
import pytest

from morelli.defence.quality import WEIGHTS, ms_ssim, psnr, scales
from morelli.errors import ArrayError, ImageTooSmallError
from morelli.images.degrade import blur, noise
from morelli.regeneration.ssim import ssim

from .toys import scene


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[:, :, :1], 3, axis=2)


def slow(one: np.ndarray, other: np.ndarray, count: int) -> float:
    """Equation 7 of Wang, Simoncelli and Bovik (2003), one window after another, on grey images."""
    x, y = one[:, :, 0].astype(float), other[:, :, 0].astype(float)
    axis = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    weights = np.array(WEIGHTS[:count]) / sum(WEIGHTS[:count])
    out = 1.0
    for scale in range(count):
        light, structure = [], []
        for i in range(x.shape[0] - 10):
            for j in range(x.shape[1] - 10):
                a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
                ma, mb = (window * a).sum(), (window * b).sum()
                va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                cov = (window * (a - ma) * (b - mb)).sum()
                light.append((2 * ma * mb + 6.5025) / (ma**2 + mb**2 + 6.5025))
                structure.append((2 * cov + 58.5225) / (va + vb + 58.5225))
        last = scale == count - 1
        out *= np.mean(np.array(light) * structure if last else structure) ** weights[scale]
        h, w = x.shape[0] // 2, x.shape[1] // 2
        x, y = (v[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean(axis=(1, 3)) for v in (x, y))
    return float(out)


def test_psnr_by_hand() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, np.full_like(black, 255)) == pytest.approx(0.0)
    assert psnr(black, np.full_like(black, 2)) == pytest.approx(20 * math.log10(255 / 2))
    assert psnr(black, black) == math.inf


@pytest.mark.parametrize(("size", "count"), [((26, 30), 2), ((45, 47), 3)])
def test_ms_ssim_is_the_slow_one(size: tuple[int, int], count: int) -> None:
    one = grey(scene(1, *size))
    other = grey(noise(blur(one, 0.8), 6))
    assert scales(*size) == count
    assert ms_ssim(one, other) == pytest.approx(slow(one, other, count), abs=1e-9)


def test_one_scale_is_ssim() -> None:
    one = grey(scene(2, 16, 20))
    other = grey(noise(one, 12))
    assert scales(16, 20) == 1
    assert ms_ssim(one, other) == pytest.approx(ssim(one, other), abs=1e-6)


def test_how_many_scales_fit() -> None:
    assert [scales(side, 900) for side in (10, 11, 22, 128, 175, 176, 4000)] == [0, 1, 2, 4, 4, 5, 5]


def test_order_and_range() -> None:
    one = scene(3, 64, 64)
    found = [ms_ssim(one, one), ms_ssim(one, noise(one, 2)), ms_ssim(one, noise(one, 20)), ms_ssim(one, 255 - one)]
    assert found[0] == pytest.approx(1.0)
    assert found == sorted(found, reverse=True)
    assert found[-1] >= 0.0


def test_refused() -> None:
    with pytest.raises(ArrayError, match="one size"):
        psnr(scene(0, 20, 20), scene(0, 20, 21))
    with pytest.raises(ImageTooSmallError, match="11 each way"):
        ms_ssim(scene(0, 10, 20), scene(0, 10, 20))
    with pytest.raises(ArrayError):
        ms_ssim(scene().astype(float), scene())  # type: ignore[arg-type]
