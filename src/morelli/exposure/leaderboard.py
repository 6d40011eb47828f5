"""Leaderboards from votes: Bradley–Terry and Elo, many simulations at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: Elo points of one unit of log-odds: a lead of 400 points is odds of 10 to 1.
POINTS = 400 / np.log(10)
#: Pull of every strength towards the mean; keeps a model that never lost finite, and moves no other by much.
RIDGE = 1e-6
_STEPS = 100
_LARGEST_STEP = 1.0
# Equal records give equal strengths up to rounding; a vote more moves them by far more than this.
_EQUAL = 1e-7


def bradley_terry(wins: ArrayLike, *, ridge: float = RIDGE, start: ArrayLike | None = None, tol: float = 1e-9) -> Array:
    """Strengths θ of the Bradley–Terry model, P(i beats j) = 1/(1 + exp(θ_j − θ_i)), by Newton's method.

    Maximises Σ w_ij log P(i beats j) − ridge/2 · Σθ², which is concave; without the second term there is no maximum
    where a model won, or lost, all its battles (Ford 1957).

    Parameters
    ----------
    wins : array, shape (n, n) or (s, n, n), ≥ 0
        How often the row's model beat the column's; the diagonal is ignored. One leaderboard, or s of them.
    ridge : float, > 0
    start : array, shape of the result, optional
        Where to begin.
    tol : float
        Largest step, in log-odds, at which it ends.

    Returns
    -------
    ndarray, shape (n,) or (s, n)
        Log-odds; their mean is 0.

    Raises
    ------
    ArrayError
        Another shape, negative or infinite counts, or a ridge that is not positive.
    """
    counts = np.asarray(wins, dtype=np.float64)
    if counts.ndim not in (2, 3) or counts.shape[-1] != counts.shape[-2] or counts.shape[-1] < 2:
        raise ArrayError(f"needs the shape (n, n) or (s, n, n) with n ≥ 2; got {counts.shape}.", argument="wins")
    if not np.isfinite(counts).all() or (counts < 0).any() or not ridge > 0:
        raise ArrayError("counts must be finite and not negative, and the ridge positive.", argument="wins")
    table = np.atleast_3d(counts) if counts.ndim == 3 else counts[None]
    n = table.shape[-1]
    table = table * (1 - np.eye(n))
    games, won = table + table.transpose(0, 2, 1), table.sum(axis=2)
    theta = np.zeros(won.shape) if start is None else np.array(start, dtype=np.float64).reshape(won.shape)
    active = np.arange(len(theta))
    for _ in range(_STEPS):
        step = _newton(theta[active], games[active], won[active], ridge)
        size = np.abs(step).max(axis=1, keepdims=True)
        theta[active] += step * np.minimum(1.0, _LARGEST_STEP / np.maximum(size, 1e-300))
        active = active[size[:, 0] > tol]
        if not len(active):
            break
    theta -= theta.mean(axis=1, keepdims=True)
    return theta if counts.ndim == 3 else theta[0]


def _newton(theta: Array, games: Array, won: Array, ridge: float) -> Array:
    """One step: (information + ridge)⁻¹ · gradient, shape (s, n)."""
    p = expit(theta[:, :, None] - theta[:, None, :])
    gradient = won - (games * p).sum(axis=2) - ridge * theta
    information = -games * p * (1 - p)
    n = theta.shape[1]
    diagonal = np.arange(n)
    information[:, diagonal, diagonal] = -information.sum(axis=2) + ridge
    return np.linalg.solve(information, gradient[:, :, None])[:, :, 0]


def elo(ratings: ArrayLike, winners: ArrayLike, losers: ArrayLike, k: float = 4.0) -> Array:
    """Elo ratings after votes in order: R_w += K(1 − E), R_l −= K(1 − E), E = 1/(1 + 10^((R_l − R_w)/400)).

    Parameters
    ----------
    ratings : array, shape (s, n)
        Points before, in s simulations.
    winners, losers : array of int, shape (s, t)
        Models of each vote; a vote with winner −1 was not cast.
    k : float
        Points that a vote between equals moves twice over.

    Returns
    -------
    ndarray, shape (s, n)
    """
    points = np.array(ratings, dtype=np.float64)
    won, lost = np.asarray(winners), np.asarray(losers)
    if points.ndim != 2 or won.shape != lost.shape or won.ndim != 2 or len(won) != len(points):
        raise ArrayError(
            f"needs ratings (s, n) and votes (s, t); got {points.shape}, {won.shape} and {lost.shape}.",
            argument="winners",
        )
    rows = np.arange(len(points))
    for t in range(won.shape[1]):
        w, x = won[:, t], lost[:, t]
        gain = np.where(w >= 0, k * expit((points[rows, x] - points[rows, w]) / POINTS), 0.0)
        points[rows, w] += gain
        points[rows, x] -= gain
    return points


def rank_of(strengths: ArrayLike, target: int, *, last_of_ties: bool = False) -> NDArray[np.intp]:
    """Place of the target, 1 the best. Shape (s,) for (s, n).

    Equal models share a place: the best of theirs, or with ``last_of_ties`` the worst.
    """
    values = np.asarray(strengths, dtype=np.float64)
    own = values[..., target, None]
    if last_of_ties:
        return (values >= own - _EQUAL).sum(axis=-1)
    return (values > own + _EQUAL).sum(axis=-1) + 1
