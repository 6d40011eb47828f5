"""The Fréchet distance against scipy's matrix square root, and on Gaussians whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.synthesis.ffd import ffd, frechet


def by_sqrtm(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    one, two = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(sqrtm(one @ two))
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(one + two - 2 * root))


@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.1, 10))
def test_against_scipy(seed: int, bins: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, bins)) @ rng.normal(size=(bins, bins))
    y = scale * rng.normal(size=(30, bins)) @ rng.normal(size=(bins, bins)) + rng.normal(size=bins)
    assert ffd(x, y) == pytest.approx(by_sqrtm(x, y), rel=1e-5, abs=1e-6)
    assert ffd(y, x) == pytest.approx(ffd(x, y), rel=1e-6, abs=1e-8)


def test_gaussians_worked_out_by_hand() -> None:
    # Means 3 and 4 apart; variances 4 and 9 against 1 and 1: 25 + (2 − 1)² + (3 − 1)².
    got = frechet(np.zeros(2), np.diag([4.0, 9.0]), np.array([3.0, 4.0]), np.eye(2))
    assert got == pytest.approx(25 + 1 + 4)


def test_a_set_is_at_no_distance_from_itself_and_shifting_costs_its_square() -> None:
    x = np.random.default_rng(0).normal(size=(20, 5))
    assert ffd(x, x) == pytest.approx(0, abs=1e-9)
    assert ffd(x, x + 2) == pytest.approx(5 * 4)


def test_fewer_models_than_bins_are_no_trouble() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(4, 30)), rng.normal(size=(5, 30)) + 1
    covariances = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    # In the space that both span, by the nuclear norm: Tr(Σ₁Σ₂)^½ = ‖A Bᵀ‖* of the centred, scaled data.
    a, b = (x - x.mean(0)) / np.sqrt(3), (y - y.mean(0)) / 2
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    wanted = np.square(x.mean(0) - y.mean(0)).sum() + sum(map(np.trace, covariances)) - 2 * shared
    assert ffd(x, y) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "error"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], NotEnoughReferencesError),
        ([[1.0], [2.0]], [[1.0, 2.0], [3.0, 4.0]], ArrayError),
        ([[1.0], [np.nan]], [[1.0], [2.0]], ArrayError),
        ([1.0, 2.0], [[1.0], [2.0]], ArrayError),
    ],
)
def test_bad_spectra_are_refused(one: list, other: list, error: type[Exception]) -> None:
    with pytest.raises(error):
        ffd(one, other)
