"""The conditional logit: gradient, convexity, and what its weights say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.special import log_softmax

from morelli.attribution.weights import fit_weights, logit_loss


def problem(seed: int, parts: int = 3, n: int = 40, m: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    layers, truth = rng.normal(size=(parts, n, m)), rng.integers(0, m, n)
    absent = rng.random((n, m)) < 0.2
    absent[np.arange(n), truth] = False
    layers[:, absent] = -np.inf
    return layers, truth


def loss_of(layers: np.ndarray, truth: np.ndarray) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    finite = np.isfinite(layers[0])
    s, mask = np.where(finite, layers, 0.0), np.where(finite, 0.0, -np.inf)
    at_truth = s[:, np.arange(len(truth)), truth]
    return lambda w: logit_loss(np.asarray(w), s, mask, at_truth)


def drawn(rng: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """A right model for each row with the softmax's probabilities (Gumbel's trick)."""
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_the_mean_surprise_and_its_slope_is_right(seed: int) -> None:
    layers, truth = problem(seed)
    loss = loss_of(layers, truth)
    w = np.random.default_rng(seed).uniform(0, 2, len(layers))
    with np.errstate(invalid="ignore"):
        total = sum(weight * layer for weight, layer in zip(w, layers, strict=True))
    slow = [
        -log_softmax(row[np.isfinite(row)])[int(np.isfinite(row[:t]).sum())]
        for row, t in zip(total, truth, strict=True)
    ]
    assert loss(w)[0] == pytest.approx(np.mean(slow))
    assert check_grad(lambda v: loss(v)[0], lambda v: loss(v)[1], w) < 1e-6


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_the_loss_is_convex(seed: int, t: float) -> None:
    loss = loss_of(*problem(seed))
    a, b = np.random.default_rng(seed).normal(0, 3, (2, 3))
    assert loss(t * a + (1 - t) * b)[0] <= t * loss(a)[0] + (1 - t) * loss(b)[0] + 1e-9


def test_an_informative_layer_outweighs_noise() -> None:
    rng = np.random.default_rng(0)
    good, noise = rng.normal(0, 3, (2, 600, 6))
    truth = drawn(rng, 0.3 * good)
    weights = fit_weights(np.stack([good, noise]), truth)
    assert weights[0] == pytest.approx(0.3, rel=0.2)
    assert 0 <= weights[1] < 0.1 * weights[0]


def test_a_layer_said_twice_counts_half_each() -> None:
    rng = np.random.default_rng(1)
    s = rng.normal(0, 3, (500, 4))
    truth = drawn(rng, 0.4 * s)
    once, twice = fit_weights(s[None], truth), fit_weights(np.stack([s, s]), truth)
    assert twice[0] == pytest.approx(twice[1], rel=1e-3)
    assert twice.sum() == pytest.approx(once.item(), rel=0.2)


def test_weights_are_drawn_to_others_where_data_are_few_and_leave_them_where_data_are_many() -> None:
    rng = np.random.default_rng(3)
    layers = rng.normal(0, 3, (2, 800, 4))
    truth = drawn(rng, 0.5 * layers[1])
    others = np.array([0.4, 0.0])  # a part that the others leave out may come back
    many = fit_weights(layers, truth, 0.03, towards=others)
    assert many == pytest.approx([0.0, 0.5], abs=0.2)
    few = fit_weights(layers[:, :6], truth[:6], 100.0, towards=others)
    assert few == pytest.approx(others, abs=0.02)


def test_a_misleading_layer_gets_little() -> None:
    rng = np.random.default_rng(2)
    s = rng.normal(0, 3, (400, 4))
    truth = drawn(rng, 0.5 * s)
    weights = fit_weights(np.stack([s, -0.5 * s + rng.normal(size=s.shape)]), truth)
    assert weights[0] == pytest.approx(0.5, rel=0.2)
    # Not nothing: every weight is pulled a little towards the common one.
    assert 0 <= weights[1] < 0.2 * weights[0]


def test_no_weight_is_negative() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 3, (2, 500, 4))
    truth = drawn(rng, 0.5 * a - 0.2 * b)  # b speaks against the right model
    weights = fit_weights(np.stack([a, b]), truth)
    assert weights[0] > 0.25
    assert weights[1] == 0


def test_models_that_are_no_candidates_change_nothing() -> None:
    rng = np.random.default_rng(3)
    layers = rng.normal(0, 2, (2, 200, 4))
    truth = drawn(rng, 0.5 * layers[0])
    wider = np.concatenate([layers, np.full((2, 200, 3), -np.inf)], axis=2)
    assert fit_weights(wider, truth) == pytest.approx(fit_weights(layers, truth), rel=1e-6)
    assert np.isfinite(fit_weights(*problem(3))).all()
