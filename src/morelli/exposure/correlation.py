"""How well a score of prompts goes with the success of an attack on them: Pearson and Spearman, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


class Correlation(NamedTuple):
    """A coefficient, −1 to 1, and its interval; NaN where one side does not vary."""

    point: float
    low: float
    high: float


def correlate(
    x: ArrayLike, y: ArrayLike, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, Correlation]:
    """Pearson's and Spearman's coefficient over prompts, with percentile intervals when prompts are drawn anew.

    Parameters
    ----------
    x, y : array, shape (P,) or (R, P)
        One value a prompt; with R rows the coefficients of the rows are averaged, in each draw over the same prompts. A
        prompt with NaN in it is left out.
    draws, level, seed
        Number of resamples, nominal coverage in (0, 1), random seed. Resamples in which a side does not vary are left
        out of the interval.

    Returns
    -------
    dict
        "pearson" and "spearman" (ranks are drawn along, not made anew: ties would otherwise come from the drawing).

    Raises
    ------
    ArrayError
    """
    a, b = (np.atleast_2d(np.asarray(side, dtype=np.float64)) for side in (x, y))
    if a.ndim != 2 or a.shape != b.shape:
        raise ArrayError(f"needs one value a prompt on both sides; got {a.shape} and {b.shape}.", argument="y")
    if not 0 < level < 1 or draws < 1:
        raise ArrayError(f"level must be in (0, 1) and draws positive, got {level} and {draws}.", argument="level")
    known = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    a, b = a[:, known], b[:, known]
    weights = _draws(a.shape[1], draws, seed)
    return {
        "pearson": _interval(a, b, weights, level),
        "spearman": _interval(_ranks(a), _ranks(b), weights, level),
    }


def _draws(n: int, draws: int, seed: int) -> Array:
    """How often each of n prompts is drawn, shape (draws, n)."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws) / n if n else np.zeros((draws, 0))


def _ranks(x: Array) -> Array:
    from scipy.stats import rankdata

    return rankdata(x, axis=1) if x.shape[1] else x


def _interval(a: Array, b: Array, weights: Array, level: float) -> Correlation:
    n = a.shape[1]
    if n < 3:
        return Correlation(float("nan"), float("nan"), float("nan"))
    point = float(_weighted(a, b, np.full((1, n), 1 / n))[0])
    figures = _weighted(a, b, weights)
    figures = figures[np.isfinite(figures)]
    if np.isnan(point) or not len(figures):
        return Correlation(point, float("nan"), float("nan"))
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return Correlation(point, float(low), float(high))


def _weighted(a: Array, b: Array, weights: Array) -> Array:
    """Mean over the rows of the correlation under each set of weights, shape (draws,)."""
    out = np.zeros(len(weights))
    for x, y in zip(a, b, strict=True):
        x, y = x - x.mean(), y - y.mean()
        mx, my = weights @ x, weights @ y
        vx, vy = weights @ x**2 - mx**2, weights @ y**2 - my**2
        floor = 1e-12 * max(float((x**2).mean() * (y**2).mean()), 1e-300)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = (weights @ (x * y) - mx * my) / np.sqrt(vx * vy)
        out += np.where(vx * vy > floor, r, np.nan)
    return np.clip(out / len(a), -1, 1)
