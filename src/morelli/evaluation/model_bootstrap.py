"""Confidence intervals of figures over pairs, by bootstrap over models.

A pair depends on every other pair that shares a model with it, and the question is how pairs of *other models* would
come out, so whole models are drawn. A prompt is shared by pairs too, but prompts are dealt to all models alike, and
there are as a rule fewer of them in a pair's favour than models: intervals over prompts would be the narrower ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError
from morelli.evaluation.bootstrap import Interval, expanded_tail

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    #: From weights of the pairs, shape (draws, p + q), to a figure of each draw.
    Figure = Callable[[Floats], Floats]

DRAWS = 1000
_CELLS = 2_000_000  # weights held at once: 16 MB


class ModelBootstrap:
    """The same resamples of models for every figure of one set of pairs.

    A model that is drawn w times counts w times: a same-model pair has the weight w, a pair of two models the product
    of their weights.

    Parameters
    ----------
    same : array of str, shape (p,)
        Model of each same-model pair.
    first, second : array of str, shape (q,)
        Models of each different-model pair.
    draws, level, seed
        Number of resamples, nominal coverage in (0, 1), random seed.
    """

    def __init__(
        self,
        same: ArrayLike,
        first: ArrayLike,
        second: ArrayLike,
        *,
        draws: int = DRAWS,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        columns = [np.asarray(labels, dtype=np.str_) for labels in (same, first, second)]
        if not all(len(column) for column in columns) or len(columns[1]) != len(columns[2]):
            shapes = ", ".join(str(column.shape) for column in columns)
            raise ArrayError(f"pairs of both kinds are needed; got the shapes {shapes}.", argument="same")
        names = np.unique(np.concatenate(columns))
        self._same, self._first, self._second = (np.searchsorted(names, column) for column in columns)
        self._weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
        self._tail = expanded_tail(level, len(names)) if len(names) > 1 else float("nan")

    def auroc(self, same: ArrayLike, different: ArrayLike) -> Interval:
        """Probability that a same-model pair scores above a different-model pair, ties counting half."""
        return self._interval(_area(*self._scores(same, different)))

    def auroc_difference(self, ours: tuple[ArrayLike, ArrayLike], theirs: tuple[ArrayLike, ArrayLike]) -> Interval:
        """How much the area of one method exceeds that of another, resample by resample.

        Parameters
        ----------
        ours, theirs : (same, different)
            Each method's scores of the same pairs.
        """
        one, other = _area(*self._scores(*ours)), _area(*self._scores(*theirs))
        return self._interval(lambda weights: one(weights) - other(weights))

    def balanced_accuracy(self, same: ArrayLike, different: ArrayLike) -> Interval:
        """Mean of the shares of same-model pairs accepted and of different-model pairs refused; booleans "accepted"."""
        p, q = self._scores(same, different)

        def accuracy(weights: Floats) -> Floats:
            own, other = weights[:, : len(p)], weights[:, len(p) :]
            return ((own @ p) / own.sum(axis=1) + (other @ (1 - q)) / other.sum(axis=1)) / 2

        return self._interval(accuracy)

    def _scores(self, same: ArrayLike, different: ArrayLike) -> tuple[Floats, Floats]:
        p, q = np.asarray(same, dtype=np.float64), np.asarray(different, dtype=np.float64)
        if p.shape != self._same.shape or q.shape != self._first.shape or not np.isfinite([p.sum(), q.sum()]).all():
            raise ArrayError(f"needs one finite value a pair; got {p.shape} and {q.shape}.", argument="same")
        return p, q

    def _interval(self, figure: Figure) -> Interval:
        count = len(self._same) + len(self._first)
        with np.errstate(divide="ignore", invalid="ignore"):
            point = float(figure(np.ones((1, count)))[0])
            step = max(1, _CELLS // count)
            drawn = [figure(self._spread(self._weights[at : at + step])) for at in range(0, len(self._weights), step)]
        figures = np.concatenate(drawn)
        if np.isnan(self._tail) or np.isnan(figures).all():
            return Interval(point, float("nan"), float("nan"))
        low, high = np.nanquantile(figures, [self._tail, 1 - self._tail])
        return Interval(point, float(low), float(high))

    def _spread(self, weights: NDArray[np.int64]) -> Floats:
        own, other = weights[:, self._same], weights[:, self._first] * weights[:, self._second]
        return np.concatenate([own, other], axis=1).astype(np.float64)


def _area(p: Floats, q: Floats) -> Figure:
    """The area under the curve of scores p of same-model pairs and q of others, by weights of all pairs."""
    values, code = np.unique(np.concatenate([p, q]), return_inverse=True)
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(len(values)))
    is_same = np.arange(len(code)) < len(p)

    def area(weights: Floats) -> Floats:
        up = np.add.reduceat((weights * is_same)[:, order], starts, axis=1)
        down = np.add.reduceat((weights * ~is_same)[:, order], starts, axis=1)
        below = np.cumsum(down, axis=1) - 0.5 * down
        return (up * below).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))

    return area
