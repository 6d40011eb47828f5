"""One-vs-many: by hand, and true-positive rates on Gaussian data."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.attribution.one_vs_many import OneVsMany, conformal, published, references_for
from morelli.errors import ArrayError, InputError, NotEnoughReferencesError

LINE = np.array([[0.0], [2.0], [4.0], [10.0]])  # centroid 4, distances 4, 2, 0, 6


def test_published_by_hand() -> None:
    # The 0.5-quantile of 0, 2, 4, 6 is 3.
    near, far = published(np.array([6.9]), LINE, 0.5), published(np.array([7.1]), LINE, 0.5)
    assert (near.accepted, far.accepted) == (True, False)
    assert near.statistic == pytest.approx(2.9 / 3)
    # The 0.75-quantile is 4.5.
    assert published(np.array([8.4]), LINE, 0.75).accepted
    assert not published(np.array([8.6]), LINE, 0.75).accepted


def test_published_with_equal_references() -> None:
    same = np.ones((3, 2))
    assert published(np.ones(2), same, 0.5).statistic == 0
    assert published(np.ones(2), same, 0.5).accepted
    assert published(np.zeros(2), same, 0.5).statistic == math.inf
    assert not published(np.zeros(2), same, 0.5).accepted


def test_conformal_by_hand() -> None:
    references = np.array([[0.0], [1.0], [3.0]])
    # With 0: centroid 1, distances 1, 0, 2 and 1: three of four are at least as far as the query's own.
    answer = conformal(np.array([0.0]), references, 0.5)
    assert (answer.statistic, answer.accepted, answer.attainable) == (0.75, True, True)
    # With 16: centroid 5, the query is farthest: p = 1/4, which 1 − α = 0.25 still refuses.
    for alpha, accepted, attainable in ((0.5, False, True), (0.75, False, True), (0.8, True, False)):
        answer = conformal(np.array([16.0]), references, alpha)
        assert (answer.statistic, answer.accepted, answer.attainable) == (0.25, accepted, attainable)
        assert bool(answer.note) is not attainable
    assert "at least 4 are needed" in conformal(np.array([16.0]), references, 0.8).note


@pytest.mark.parametrize(("alpha", "k"), [(0.1, 2), (0.5, 2), (0.75, 3), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_references_for(alpha: float, k: int) -> None:
    assert references_for(alpha) == k


@given(st.floats(0.01, 0.98))
def test_references_for_is_the_least_that_can_refuse(alpha: float) -> None:
    k = references_for(alpha)
    far = np.array([1e6])

    def spread(count: int) -> np.ndarray:
        return np.arange(count, dtype=float)[:, None]

    assert not conformal(far, spread(k), alpha).accepted
    assert conformal(far, spread(k), alpha).attainable
    if k > 2:
        assert conformal(far, spread(k - 1), alpha).accepted
        assert not conformal(far, spread(k - 1), alpha).attainable


def rates(k: int, alpha: float, shift: float = 0.0, n: int = 1500, d: int = 20) -> tuple[float, float]:
    """Fraction of queries that each rule accepts; shift moves them away from the target, 0 makes them its own."""
    rng = np.random.default_rng(k)
    spread = np.geomspace(3, 0.2, d)
    x = rng.normal(size=(n, k + 1, d)) * spread
    x[:, -1] += shift
    both = [(published(one[-1], one[:-1], alpha).accepted, conformal(one[-1], one[:-1], alpha).accepted) for one in x]
    return tuple(np.mean(both, axis=0))


@pytest.mark.parametrize("alpha", [0.5, 0.75])
@pytest.mark.parametrize("k", [3, 5, 10])
def test_conformal_keeps_its_rate_and_the_published_rule_does_not(k: int, alpha: float) -> None:
    as_published, mended = rates(k, alpha)
    # p is uniform on 1/(k + 1) … 1, so the exact rate is the share of these above 1 − α.
    exact = np.mean([j / (k + 1) > 1 - alpha + 1e-12 for j in range(1, k + 2)])
    assert exact >= alpha
    assert mended == pytest.approx(exact, abs=3 * np.sqrt(0.25 / 1500))
    assert as_published < alpha - 3 * np.sqrt(0.25 / 1500)
    if k == 3:
        assert as_published < alpha / 2


def test_conformal_refuses_another_model() -> None:
    assert rates(10, 0.75, shift=3.0)[1] < 0.05


@given(st.integers(2, 8), st.integers(0, 10**6))
def test_the_p_value_is_a_rank(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(k + 1, 3))
    p = [conformal(x[i], np.delete(x, i, axis=0), 0.5).statistic for i in range(k + 1)]
    # Each of the k + 1 takes the query's place once: all ranks come up, whoever the query is.
    assert sorted(p) == pytest.approx([j / (k + 1) for j in range(1, k + 2)])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert conformal(5 * x[0] @ turn + 1, 5 * x[1:] @ turn + 1, 0.5).statistic == pytest.approx(p[0])


@pytest.mark.parametrize("rule", [published, conformal])
def test_bad_input_is_named(rule: Callable[..., OneVsMany]) -> None:
    q = np.array([1.0])
    for alpha in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            rule(q, LINE, alpha)
    with pytest.raises(NotEnoughReferencesError, match="here is 1"):
        rule(q, LINE[:1], 0.5)
    for query, references in (
        (np.array([np.nan]), LINE),
        (q, np.full_like(LINE, np.inf)),
        (q[None], LINE),
        (np.ones(2), LINE),
    ):
        with pytest.raises(ArrayError):
            rule(query, references, 0.5)
