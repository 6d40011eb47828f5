"""Filtering prompts: what an attack still reaches when the prompts that give models away are not asked.

Paper 000, §4: "defenders can use it to filter high-exposure prompts", it being D(i). Any score of prompts serves:
D(i) and the expected accuracy of ``morelli exposure`` stand in its JSON under ``prompts``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left when some prompts are dropped.

    Attributes
    ----------
    dropped : int
        Prompts left out: the most exposing.
    kept : int
    accuracy : float
        Mean over the kept prompts, 0–1.
    oracle : float
        The same had the prompts been dropped by the accuracy itself: no score can do better.
    """

    dropped: int
    kept: int
    accuracy: float
    oracle: float


def keep_order(exposure: ArrayLike) -> NDArray[np.intp]:
    """Prompts from the least to the most exposing, shape (P,); a NaN counts as the most, equal ones stay in order."""
    values = np.asarray(exposure, dtype=np.float64)
    return np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable")


def remaining_accuracy(exposure: ArrayLike, accuracy: ArrayLike, drop: Sequence[int]) -> list[Remaining]:
    """Accuracy that remains when the q most exposing prompts are left out, for each q.

    Parameters
    ----------
    exposure : array, shape (P,)
        The score by which prompts are dropped: higher is more exposing. It should come from other images than
        ``accuracy``, or the figure flatters the defence.
    accuracy : array, shape (P,), 0–1
        Of the attack on each prompt.
    drop : sequence of int
        Numbers of prompts to leave out, 0 … P − 1.

    Returns
    -------
    list of Remaining
        One for each number.

    Raises
    ------
    ArrayError
        The two differ in length, an accuracy is no number in 0–1, or a q leaves no prompt.

    Examples
    --------
    >>> [one.accuracy for one in remaining_accuracy([0.9, 0.1, 0.5], [1.0, 0.4, 0.6], [0, 1, 2])]
    [0.6666666666666666, 0.5, 0.4]
    """
    scores, reached = np.asarray(exposure, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != reached.shape or not len(scores):
        raise ArrayError(f"one number a prompt is needed; got {scores.shape} and {reached.shape}.", argument="accuracy")
    if not ((reached >= 0) & (reached <= 1)).all():
        raise ArrayError("must lie in 0–1 for every prompt.", argument="accuracy")
    order, best = keep_order(scores), np.argsort(reached, kind="stable")
    out = []
    for q in drop:
        if not 0 <= q < len(scores):
            raise ArrayError(f"0 to {len(scores) - 1} prompts can be left out of {len(scores)}; got {q}.", argument="q")
        kept = len(scores) - q
        out.append(Remaining(int(q), kept, float(reached[order[:kept]].mean()), float(reached[best[:kept]].mean())))
    return out


def from_audit(result: Mapping[str, Any], drop: Sequence[int], by: str = "expected_accuracy") -> list[Remaining]:
    """`remaining_accuracy` of an audit's result, schema ``morelli.exposure/1``.

    Prompts without the score or the accuracy take no part.

    Parameters
    ----------
    result : mapping
    drop : sequence of int
    by : {"expected_accuracy", "d", "mean_frac"}
        ``expected_accuracy`` is foretold from references alone; ``d`` and ``mean_frac`` are of the very images that
        are attacked.

    Raises
    ------
    ArrayError
        No such score, or as `remaining_accuracy`.
    """
    if by not in ("expected_accuracy", "d", "mean_frac"):
        raise ArrayError(f"must be expected_accuracy, d or mean_frac; got {by!r}.", argument="by")
    rows = [row for row in result["prompts"] if row.get(by) is not None and row.get("accuracy") is not None]
    if not rows:
        raise ArrayError(f"no prompt has {by} and an accuracy.", argument="by", fix="Run the audit with its sweeps.")
    return remaining_accuracy([row[by] for row in rows], [row["accuracy"] for row in rows], drop)
