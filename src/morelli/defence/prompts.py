"""Filtering prompts: what an attack still reaches when the prompts that give models away are not asked.

Paper 000, §4: "defenders can use it to filter high-exposure prompts", it being D(i). Any score of prompts serves. A
score is put together from some images of a prompt and judged on others: chosen and judged by the same images, prompts
that were lucky once are left out, and the accuracy of what remains looks lower than it will be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: Scores of prompts that an audit takes from references alone.
SCORES = ("expected_accuracy", "d", "mean_frac")
#: Shares of the prompts that are tried where nobody says how many to leave out.
SHARES = (0.1, 0.25, 0.5, 0.75)


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
        The same had the prompts been dropped by the judged accuracy itself: no score can do better.
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
    exposure : array, shape (P,) or (R, P)
        The score by which prompts are dropped: higher is more exposing. Each of R rows comes from one choice of images,
        none of which its row of ``accuracy`` is judged on.
    accuracy : array, same shape, 0–1
        Of the attack on each prompt, on the other images.
    drop : sequence of int
        Numbers of prompts to leave out, 0 … P − 1.

    Returns
    -------
    list of Remaining
        One for each number, averaged over the rows.

    Raises
    ------
    ArrayError
        The two differ in shape, an accuracy is no number in 0–1, or a q leaves no prompt.

    Examples
    --------
    >>> [one.accuracy for one in remaining_accuracy([0.9, 0.1, 0.5], [1.0, 0.4, 0.6], [0, 1, 2])]
    [0.6666666666666666, 0.5, 0.4]
    """
    scores, reached = np.asarray(exposure, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if scores.ndim not in (1, 2) or scores.shape != reached.shape or not scores.size:
        raise ArrayError(f"one number a prompt is needed; got {scores.shape} and {reached.shape}.", argument="accuracy")
    if not ((reached >= 0) & (reached <= 1)).all():
        raise ArrayError("must lie in 0–1 for every prompt.", argument="accuracy")
    scores, reached = np.atleast_2d(scores), np.atleast_2d(reached)
    prompts = scores.shape[1]
    ordered = np.stack([row[keep_order(score)] for score, row in zip(scores, reached, strict=True)])
    best = np.sort(reached, axis=1)
    out = []
    for q in drop:
        if not 0 <= q < prompts:
            raise ArrayError(f"0 to {prompts - 1} prompts can be left out of {prompts}; got {q}.", argument="q")
        kept = prompts - q
        out.append(Remaining(int(q), kept, float(ordered[:, :kept].mean()), float(best[:, :kept].mean())))
    return out


def from_audit(result: Mapping[str, Any], drop: Sequence[int], by: str = "expected_accuracy") -> list[Remaining]:
    """`remaining_accuracy` of an audit's result, schema ``morelli.exposure/1``.

    Each of the audit's choices of references puts the prompts in order, and the images that are not among them judge;
    figures are averaged over the choices. Prompts that lack the score in one of them take no part.

    Parameters
    ----------
    result : mapping
    drop : sequence of int
    by : {"expected_accuracy", "d", "mean_frac"}

    Raises
    ------
    ArrayError
        No such score, an audit without ``held_out`` (of an older version), or as `remaining_accuracy`.
    """
    if by not in SCORES:
        raise ArrayError(f"must be {', '.join(SCORES[:-1])} or {SCORES[-1]}; got {by!r}.", argument="by")
    rows = [row.get("held_out") or [] for row in result["prompts"]]
    most = max((len(row) for row in rows), default=0)
    scores, reached = (
        np.array([[_number(one.get(name)) for one in row] for row in rows if len(row) == most], dtype=np.float64)
        for name in (by, "accuracy")
    )
    return remaining_accuracy(*whole_prompts(scores.T, reached.T, by), drop)


def whole_prompts(scores: Array, accuracy: Array, by: str) -> tuple[Array, Array]:
    """Prompts and choices that have all scores and accuracies: shapes (R, P) to (R′, P′).

    A choice that some prompts do not have, as they have fewer images, is left out, and those prompts stay.

    Raises
    ------
    ArrayError
        There is none.
    """
    known = np.isfinite(scores) & np.isfinite(accuracy)
    counts = known.sum(axis=1) if known.size else np.zeros(1, dtype=np.intp)
    choices = counts == counts.max()
    whole = known[choices].all(axis=0) if counts.max() else np.zeros(0, dtype=np.bool_)
    if not whole.any():
        raise ArrayError(
            f"no prompt has {by} of references and an accuracy on other images.",
            argument="by",
            fix="Run the audit with its sweeps, on a dataset with several images a model and prompt.",
        )
    return scores[choices][:, whole], accuracy[choices][:, whole]


def drops(prompts: int) -> list[int]:
    """Numbers of prompts to leave out that are worth a look: `SHARES` of them, at least one, in order."""
    return sorted({q for q in (0, *(round(share * prompts) for share in SHARES)) if 0 <= q < prompts})


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
