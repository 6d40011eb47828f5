"""The ellipsoid's volume: the printed formula where the eigenvalues are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.synthesis.volume import log_volume


def cross(*sizes: float) -> np.ndarray:
    """Points on the axes, so that the covariance is diagonal with known eigenvalues: 2 · size² / (2 n − 1)."""
    n = len(sizes)
    return np.concatenate([np.diag(sizes), -np.diag(sizes)]).reshape(2 * n, n)


def test_the_printed_formula() -> None:
    sizes = (1.0, 3.0, 0.5)
    product = math.prod(2 * size**2 / 5 for size in sizes)
    wanted = (2 * math.pi) ** 1.5 / math.gamma(2.5) * math.sqrt(product)
    assert math.exp(log_volume(cross(*sizes))) == pytest.approx(wanted)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=8), st.floats(0.1, 10))
def test_scaling_all_spectra_scales_the_volume_by_the_power_n(sizes: list[float], factor: float) -> None:
    n = len(sizes)
    grown = log_volume(factor * cross(*sizes)) - log_volume(cross(*sizes))
    assert grown == pytest.approx(n * math.log(factor), abs=1e-8)


def test_many_dimensions_do_not_underflow() -> None:
    x = 1e-6 * np.random.default_rng(0).normal(size=(900, 300))
    assert math.isfinite(log_volume(x)) and log_volume(x) < -3000


def test_an_eigenvalue_of_rounding_counts_as_the_floor() -> None:
    flat = cross(1.0, 1.0, 0.0)
    largest = 2 / 5
    wanted = 1.5 * math.log(2 * math.pi) - math.lgamma(2.5) + 0.5 * (2 * math.log(largest) + math.log(1e-4 * largest))
    assert log_volume(flat, floor=1e-4) == pytest.approx(wanted)


def test_equal_spectra_have_no_volume() -> None:
    assert log_volume(np.ones((5, 2))) == -math.inf


def test_not_more_models_than_bins_is_refused() -> None:
    x = np.random.default_rng(0).normal(size=(4, 4))
    with pytest.raises(NotEnoughReferencesError, match="4 models for 4 bins"):
        log_volume(x)
    assert math.isfinite(log_volume(x[:, :3]))
    with pytest.raises(ArrayError):
        log_volume([[np.inf], [1.0]])
