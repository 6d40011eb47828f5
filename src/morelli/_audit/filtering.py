"""The audit without the prompts that its references call most exposing: what an attack still reaches, and says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._audit.measured import Measured
from morelli._audit.prediction import Prediction, over_prompts
from morelli.defence.prompts import drops, keep_order, remaining_accuracy, whole_prompts
from morelli.errors import ArrayError
from morelli.evaluation.scored import image_confusion
from morelli.exposure.confusion import Confusion, from_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Share of the prompts without which votes are simulated.
VOTES_WITHOUT = 0.5


def filtered_rows(held: Prediction, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Accuracy that remains without the q prompts that the references call most exposing; beside the best possible.

    ``_lift``: less the accuracy on all prompts, with its interval over pools of as many prompts. Of the choices of
    references and the prompts that `whole_prompts` keeps where both predictors have to judge, so that all of a row is
    about the same ones.

    Returns
    -------
    rows : list of dict
    notes : list of str
        What was left out.
    """
    rows: dict[int, dict[str, Any]] = {}
    scores = {"by_d": held.d, "by_expected": held.expected}
    measured = {name: each for name, each in scores.items() if np.isfinite(each).any()}
    try:
        kept = _whole(held.accuracy, *measured.values())
    except ArrayError:
        return [], ["No table without the most exposing prompts: none has scores and an accuracy on other images."]
    judged = held.accuracy.ravel()[kept]
    for name, each in measured.items():
        chosen = each.ravel()[kept]
        sizes = drops(chosen.shape[1])

        def lifts(chosen: Array, judged: Array, sizes: Sequence[int] = sizes) -> list[float]:
            left = [one.accuracy for one in remaining_accuracy(chosen, judged, sizes)]
            return [each - left[0] for each in left]

        low, high = over_prompts(lifts, (chosen, judged), seed)
        for at, one in enumerate(remaining_accuracy(chosen, judged, sizes)):
            empty = {"dropped": one.dropped, "kept": one.kept, "by_d": None, "by_expected": None, "oracle": one.oracle}
            row = rows.setdefault(one.dropped, empty)
            row[name] = one.accuracy
            if one.dropped:
                row[f"{name}_lift"] = one.accuracy - rows[0][name]
                row[f"{name}_lift_low"], row[f"{name}_lift_high"] = float(low[at]), float(high[at])
    return [rows[q] for q in sorted(rows)], _left_out(kept.shape, held.accuracy.shape)


def _whole(*tables: Array) -> NDArray[np.intp]:
    """Places in the raveled tables (R, P) of the choices and prompts that `whole_prompts` keeps: shape (R′, P′).

    Raises
    ------
    ArrayError
        There is none.
    """
    known = np.all([np.isfinite(each) for each in tables], axis=0)
    cells = np.where(known, np.arange(known.size, dtype=np.float64).reshape(known.shape), np.nan)
    return whole_prompts(cells, cells, "every score")[0].astype(np.intp)


def _left_out(kept: tuple[int, ...], there: tuple[int, ...]) -> list[str]:
    """A sentence on choices of references and prompts that took no part; shapes (R, P)."""
    if kept == there:
        return []
    return [
        f"The table without the most exposing prompts is of {kept[0]} of {there[0]} choices of references and of "
        f"{kept[1]} of {there[1]} prompts: choices that some prompts lack are left out, and prompts that lack one of "
        "the rest."
    ]


def filtered_confusion(held: Prediction, found: Measured) -> tuple[dict[str, Confusion], list[str]]:
    """How the attack's answers fall without the half of the prompts that the references call most exposing.

    By expected accuracy or, where that was not measured, by D(i). Each choice of references leaves out prompts of its
    own, and the images that are not among them judge; an image that several choices ask counts once.

    Returns
    -------
    confusions : dict of str to Confusion
        By a name that says how many prompts are left out; empty where it cannot be had.
    notes : list of str
        By what prompts were left out, or why there is none.
    """
    expected = bool(np.isfinite(held.expected).any())
    score, said = (held.expected, "expected accuracy") if expected else (held.d, "D(i)")
    try:
        kept = _whole(held.accuracy, score)
    except ArrayError:
        return {}, ["Not simulated without the most exposing prompts: none has a score and images to judge."]
    choices, prompts = kept.shape
    out = round(VOTES_WITHOUT * prompts)
    names, scored = found.scored.models, found.scored
    rows = found.rows("main")
    inside = np.zeros(len(rows), dtype=np.bool_)
    for choice in kept:
        safest = choice[keep_order(score.ravel()[choice])[: prompts - out]]
        asked = held.prompts[safest % len(held.prompts)]
        inside |= (found.number[rows] == safest[0] // len(held.prompts)) & np.isin(scored.prompts[rows], asked)
    labels, matrix, images = image_confusion(scored, rows[inside])
    every = np.unique(scored.truth[rows])
    if not out or len(every) < 2 or (images[every] == 0).any():
        return {}, ["Not simulated without the most exposing prompts: too few remain, or a model has no image of them."]
    name = f"without {out} of {prompts} prompts"
    return {name: from_counts(names[every].tolist(), labels, matrix[every], images=images[every])}, [
        f"{name}: the most exposing by {said} of the references, of {choices} choices of them; the others judge."
    ]
