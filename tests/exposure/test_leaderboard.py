"""Bradley–Terry and Elo: closed forms, an independent solver, a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from morelli.errors import ArrayError
from morelli.exposure.leaderboard import bradley_terry, elo, rank_of


def test_two_models_have_a_closed_form():
    theta = bradley_terry([[0, 30], [10, 0]], ridge=1e-12)
    assert theta[0] - theta[1] == pytest.approx(np.log(3))
    assert theta.sum() == pytest.approx(0)


def test_a_general_solver_agrees():
    rng = np.random.default_rng(0)
    wins = rng.integers(0, 20, (3, 6, 6))
    found = bradley_terry(wins, ridge=0.01)

    def loss(theta: np.ndarray, table: np.ndarray) -> float:
        p = 1 / (1 + np.exp(theta[None] - theta[:, None]))
        off = ~np.eye(6, dtype=bool)
        return -float((table * np.log(p))[off].sum()) + 0.005 * float(theta @ theta)

    for theta, table in zip(found, wins, strict=True):
        wanted = minimize(loss, np.zeros(6), args=(table,), method="BFGS", options={"gtol": 1e-8}).x
        assert theta == pytest.approx(wanted - wanted.mean(), abs=1e-4)


def test_the_fixed_point_of_hunters_algorithm():
    # MM (Hunter 2004) without a ridge: p_i = W_i / Σ_j n_ij/(p_i + p_j).
    wins = np.array([[0, 9, 4], [3, 0, 8], [6, 5, 0]], dtype=float)
    p = np.ones(3)
    games = wins + wins.T
    for _ in range(2000):
        p = wins.sum(axis=1) / (games / (p[:, None] + p)).sum(axis=1)
        p /= p.sum()
    assert bradley_terry(wins, ridge=1e-12) == pytest.approx(np.log(p) - np.log(p).mean(), abs=1e-7)


def test_a_model_that_never_lost_stays_finite():
    theta = bradley_terry([[0, 5, 5], [0, 0, 3], [0, 2, 0]])
    assert np.isfinite(theta).all()
    assert rank_of(theta, 0) == 1


def test_the_start_does_not_matter():
    wins = np.random.default_rng(1).integers(1, 9, (4, 5, 5))
    start = np.random.default_rng(2).standard_normal((4, 5)) * 3
    assert bradley_terry(wins, start=start) == pytest.approx(bradley_terry(wins), abs=1e-7)


def test_elo_is_the_formula():
    rng = np.random.default_rng(3)
    first = rng.integers(4, size=(2, 50))
    second = (first + rng.integers(1, 4, size=first.shape)) % 4
    first[:, ::7] = -1  # not cast
    found = elo(np.full((2, 4), 1000.0), first, second, k=16)
    for s in range(2):
        points = [1000.0] * 4
        for w, x in zip(first[s], second[s], strict=True):
            if w >= 0:
                expected = 1 / (1 + 10 ** ((points[x] - points[w]) / 400))
                points[w] += 16 * (1 - expected)
                points[x] -= 16 * (1 - expected)
        assert found[s] == pytest.approx(points)


def test_rank_shares_places():
    assert rank_of([3.0, 1.0, 3.0, 2.0], 0) == 1
    assert rank_of([3.0, 1.0, 3.0, 2.0], 0, last_of_ties=True) == 2
    assert rank_of([[3.0, 1.0, 3.0, 2.0], [0.0, 5.0, 6.0, 7.0]], 1).tolist() == [4, 3]


@pytest.mark.parametrize("wins", [np.zeros((2, 3)), [[0, -1], [1, 0]], [[0, np.inf], [1, 0]], [[0]]])
def test_bad_input(wins):
    with pytest.raises(ArrayError):
        bradley_terry(wins)
    with pytest.raises(ArrayError):
        elo(np.zeros((2, 3)), np.zeros((1, 4), dtype=int), np.zeros((1, 4), dtype=int))
