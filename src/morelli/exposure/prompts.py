"""What a score of prompts is good for: accuracy among prompts of each band, and prompts that an attacker picks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: D(i) from the first number up to below the second; the last band is D(i) = 1 alone.
BANDS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0), (1.0, np.inf))


def band_name(low: float, high: float) -> str:
    """ "0.25 – 0.5", or "1"."""
    return f"{low:g}" if np.isinf(high) else f"{low:g} – {high:g}"


def bands(scores: ArrayLike) -> NDArray[np.intp]:
    """The band (index into `BANDS`) of each D(i); −1 for NaN. Same shape as ``scores``, which are in 0–1."""
    d = np.asarray(scores, dtype=np.float64)
    # A thousandth of rounding must not take 1 out of its band.
    found = np.searchsorted([low for low, _ in BANDS], d + 1e-9, side="right") - 1
    return np.where(np.isnan(d), -1, found)


def most_exposing(scores: ArrayLike, m: int, tie_break: ArrayLike | None = None) -> NDArray[np.intp]:
    """The m prompts with the highest score, best first; of equal ones those with the higher ``tie_break``, then order.

    Parameters
    ----------
    scores : array, shape (P,)
        NaN comes last.
    m : int
        1 … P.
    tie_break : array, shape (P,), optional

    Raises
    ------
    ArrayError
        m out of its range.
    """
    first = np.asarray(scores, dtype=np.float64)
    if not 1 <= m <= len(first):
        raise ArrayError(f"must be 1 to {len(first)}, the number of prompts; got {m}.", argument="m")
    second = np.zeros_like(first) if tie_break is None else np.asarray(tie_break, dtype=np.float64)
    keys = [np.where(np.isnan(side), -np.inf, side) for side in (second, first)]
    return np.lexsort((np.arange(len(first)), -keys[0], -keys[1]))[:m]


def chosen_accuracy(
    scores: ArrayLike, accuracy: ArrayLike, sizes: Sequence[int], tie_break: ArrayLike | None = None
) -> list[float]:
    """Mean accuracy on the m most exposing prompts, for each m.

    Parameters
    ----------
    scores, tie_break : array, shape (R, P)
        By which prompts are chosen; each row from images that are not among those that ``accuracy`` is of.
    accuracy : array, shape (R, P)
        Measured on the held-out images of each row; NaN where there are none.
    sizes : sequence of int

    Returns
    -------
    list of float
        Averaged over the rows.
    """
    chosen, measured = np.atleast_2d(scores), np.atleast_2d(np.asarray(accuracy, dtype=np.float64))
    breaks = np.zeros(chosen.shape) if tie_break is None else np.atleast_2d(tie_break)
    out = []
    for m in sizes:
        means = [
            np.nanmean(row[most_exposing(score, m, tie)])
            for score, tie, row in zip(chosen, breaks, measured, strict=True)
            if np.isfinite(row[most_exposing(score, m, tie)]).any()
        ]
        out.append(float(np.mean(means)) if means else float("nan"))
    return out


def chosen_sizes(n: int) -> list[int]:
    """How many prompts an attacker may pick of n: 1, 2, 5, 10, 20, 50, …, n."""
    steps = [m * 10**power for power in range(7) for m in (1, 2, 5)]
    return [m for m in steps if m < n] + [n]
