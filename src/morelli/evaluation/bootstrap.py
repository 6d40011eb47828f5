"""Confidence intervals by bootstrap over prompts.

Queries of one prompt depend on each other: a hard prompt is hard for all of them. Resampling whole prompts keeps that
dependence; resampling queries would pretend that there are more independent observations than there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from morelli.errors import ArrayError
from morelli.evaluation.plan import prompt_units

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_CELLS = 2_000_000  # numbers held at once while drawing: 16 MB


class Interval(NamedTuple):
    """A figure with its confidence interval; ``low`` and ``high`` are NaN where there is none."""

    point: float
    low: float
    high: float


def _mean(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return means[..., 0]


def prompt_bootstrap(
    values: ArrayLike,
    prompts: ArrayLike,
    statistic: Statistic = _mean,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic when whole prompts are drawn with replacement.

    The quantiles are widened for few prompts: a plain percentile interval over P prompts is too narrow by about
    √((P−1)/P) and by the difference between Student's t with P − 1 degrees of freedom and the normal [1]_.

    Parameters
    ----------
    values : array, shape (n,) or (n, c), finite
        What was measured for each query: a hit as 0 or 1, or several columns.
    prompts : array of str, shape (n,)
        Prompt ids. A query of unknown prompt ("") counts as a prompt of its own: where none is known this is the
        ordinary bootstrap over images, which is too narrow if some of them share a prompt after all.
    statistic : callable, optional
        From column means, shape (..., c), to a figure, shape (...). Default: the mean of the first column. A rate among
        positives is ``lambda m: m[..., 0] / m[..., 1]`` with the columns "positive and hit" and "positive".
    draws, level, seed
        Number of resamples, nominal coverage in (0, 1), random seed.

    Returns
    -------
    Interval
        With a single prompt ``low`` and ``high`` are NaN: nothing is known of how prompts differ. Where all values are
        equal the interval has no width, which is no proof of certainty. Resamples without a defined figure (0/0) are
        left out of the quantiles.

    Raises
    ------
    ArrayError
        For no values, values that are not finite, lengths that differ, or a level outside (0, 1).

    References
    ----------
    .. [1] T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69 (2015), §3.3
       ("expanded percentile interval").

    Examples
    --------
    >>> prompt_bootstrap([1, 1, 0, 0], ["a", "a", "b", "b"]).point
    0.5
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    units = prompt_units(prompts)
    if x.ndim != 2 or len(x) != len(units):
        raise ArrayError(f"needs one row a query, {len(units)}, got the shape {x.shape}.", argument="values")
    if not np.isfinite(x).all():
        raise ArrayError("must be finite, and some are NaN or infinite.", argument="values")
    if not 0 < level < 1 or draws < 1:
        raise ArrayError(f"level must be in (0, 1) and draws positive, got {level} and {draws}.", argument="level")
    n_prompts = int(units.max()) + 1
    # Last column: queries a prompt. Every resample needs sums only, so queries are summed once.
    table = np.zeros((n_prompts, x.shape[1] + 1))
    np.add.at(table, units, np.column_stack([x, np.ones(len(x))]))
    with np.errstate(divide="ignore", invalid="ignore"):
        point = float(statistic(x.mean(axis=0)))
        if n_prompts == 1 or np.isnan(point):
            return Interval(point, float("nan"), float("nan"))
        figures = np.asarray(statistic(_resampled_means(table, draws, np.random.default_rng(seed))))
    tail = expanded_tail(level, n_prompts)
    low, high = np.nanquantile(figures, [tail, 1 - tail])
    return Interval(point, float(low), float(high))


def paired_lift(
    values_a: ArrayLike,
    values_b: ArrayLike,
    prompts: ArrayLike,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of a − b over the same queries, with its interval over prompts.

    Parameters
    ----------
    values_a, values_b : array, shape (n,)
        The two methods' values for each query, in the same order. Positive: a is better, where higher is better.
    prompts, draws, level, seed
        As in `prompt_bootstrap`.
    """
    a, b = np.asarray(values_a, dtype=np.float64), np.asarray(values_b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ArrayError(f"pairs are needed, got the shapes {a.shape} and {b.shape}.", argument="values_b")
    return prompt_bootstrap(a - b, prompts, draws=draws, level=level, seed=seed)


def _resampled_means(table: NDArray[np.float64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Column means, shape (draws, c), of as many prompts as there are, drawn with replacement."""
    n = len(table)
    step = max(1, _CELLS // n)
    sums = np.empty((draws, table.shape[1]))
    for start in range(0, draws, step):
        stop = min(draws, start + step)
        picked = rng.integers(n, size=(stop - start, n), dtype=np.int32)
        for column in range(table.shape[1]):
            sums[start:stop, column] = table[:, column].take(picked).sum(axis=1)
    return sums[:, :-1] / sums[:, -1:]


def expanded_tail(level: float, n: int) -> float:
    """The quantile at which an interval over n clusters ends, widened as in `prompt_bootstrap`."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))
