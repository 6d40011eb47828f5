"""Structural similarity against the formula by a slow loop, and what must hold of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from morelli.errors import ArrayError, ImageTooSmallError
from morelli.images.degrade import degrade
from morelli.regeneration.ssim import match_sizes, moments, similarity, ssim

from .painters import paint


def slow(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The index by its definition, window by window; weights that sum to 1, no sample correction."""
    away = np.arange(-5, 6)
    window = np.exp(-(away[:, None] ** 2 + away**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    x, y = one.astype(float), other.astype(float)
    found = []
    for channel in range(3):
        for i in range(x.shape[0] - 10):
            for j in range(x.shape[1] - 10):
                a, b = x[i : i + 11, j : j + 11, channel], y[i : i + 11, j : j + 11, channel]
                ma, mb = (window * a).sum(), (window * b).sum()
                va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                cov = (window * (a - ma) * (b - mb)).sum()
                found.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(found))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(11, 17), st.integers(11, 17), st.floats(0, 1))
def test_it_is_the_formula(seed: int, height: int, width: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    one, noise = rng.integers(0, 256, (2, height, width, 3))
    other = (share * one + (1 - share) * noise).astype(np.uint8)
    assert ssim(one.astype(np.uint8), other) == pytest.approx(slow(one.astype(np.uint8), other), abs=1e-9)


def test_flat_images_by_hand() -> None:
    """Without structure it is the comparison of brightness alone."""
    one, other = np.full((20, 30, 3), 100, np.uint8), np.full((20, 30, 3), 200, np.uint8)
    c1 = 6.5025
    assert ssim(one, other) == pytest.approx((2 * 100 * 200 + c1) / (100**2 + 200**2 + c1))


def test_what_must_hold() -> None:
    picture = paint("a", "p", 0)
    assert ssim(picture, picture) == pytest.approx(1.0)
    assert ssim(picture, 255 - picture) < 0
    worse = [ssim(picture, degrade(picture, f"noise:{sigma}")) for sigma in (1, 4, 16, 64)]
    assert worse == sorted(worse, reverse=True)
    other = paint("b", "p", 0)
    assert ssim(picture, other) == pytest.approx(ssim(other, picture))
    assert similarity(moments(picture), moments(other)) == ssim(picture, other)


def test_large_images_are_averaged_down() -> None:
    picture, other = paint("a", "p", 0, 512), paint("b", "p", 0, 512)

    def halved(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.rint(x.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3)) + 1e-9).astype(np.uint8)

    assert ssim(picture, other) == pytest.approx(ssim(halved(picture), halved(other)), abs=2e-3)
    assert moments(picture).values.shape == (256, 256, 3)
    assert moments(paint("a", "p", 0, 256)).values.shape == (256, 256, 3)


def test_sizes() -> None:
    one, other = paint("a", "p", 0, 40), np.ascontiguousarray(paint("a", "p", 0, 64)[:, :30])
    mine, theirs = match_sizes(one, other)
    assert mine.shape == theirs.shape == (40, 30, 3)
    same, _ = match_sizes(one, one)
    assert same is one
    with pytest.raises(ImageTooSmallError, match="11 each way"):
        ssim(one[:10], one[:10])
    with pytest.raises(ArrayError):
        ssim(one[:, :, 0], one)
