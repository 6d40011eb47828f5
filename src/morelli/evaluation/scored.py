"""Scored queries, and the figures of one row of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from morelli.errors import ArrayError
from morelli.evaluation import metrics
from morelli.evaluation.bootstrap import paired_lift, prompt_bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from morelli.attribution.calibration import CalibrationPair

    Array = NDArray[np.float64]

TOP = (1, 2, 3, 5)
#: The measured fields of a row; each is in every row, None where the data do not give it.
FIGURES = (
    "n_queries", "n_candidates", "n_unknown", "top1", "top1_low", "top1_high", "top2", "top2_low", "top2_high",
    "top3", "top3_low", "top3_high", "top5", "top5_low", "top5_high", "family_top1",
    "f1", "balanced_accuracy", "ece", "ece_floor", "coverage", "set_size", "auroc", "oscr", "fpr95",
    "lift", "lift_low", "lift_high",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scored:
    """Queries of one protocol scored by one method; equal rows across methods are the same query and candidates.

    Attributes
    ----------
    models : ndarray of str, shape (M,)
        Columns.
    scores : ndarray, shape (n, M)
        −inf where a model is no candidate.
    truth : ndarray of int, shape (n,)
        Column of the right model; −1 where it is none of the candidates (an unknown model).
    rows : ndarray of int, shape (n,)
        Image behind each query; an image may be scored several times, with other references.
    prompts : ndarray of str, shape (n,)
    log_probabilities, p_values : ndarray, shape (n, M), or None
        Calibrated; None where the data did not allow it.
    known : ndarray, shape (n,)
        How well the query fits any known model, higher is better: its best score (`CalibrationPair.known`).
    under_trained : str
        What the method lacked of its published training, "" for nothing (`ImageAttributor.under_trained`).
    """

    models: NDArray[np.str_]
    scores: Array
    truth: NDArray[np.intp]
    rows: NDArray[np.intp]
    prompts: NDArray[np.str_]
    log_probabilities: Array | None
    p_values: Array | None
    known: Array
    under_trained: str = ""

    def __len__(self) -> int:
        return len(self.truth)


class Collector:
    """Gathers batches of scored queries with different candidates into one `Scored`."""

    def __init__(self, models: NDArray[np.str_]) -> None:
        self.models = models
        self._parts: list[tuple[Array, Array, Array, Array]] = []
        self._truth: list[NDArray[np.intp]] = []
        self._rows: list[NDArray[np.intp]] = []
        self._prompts: list[NDArray[np.str_]] = []
        self._calibrated = True

    def add(
        self,
        candidates: NDArray[np.str_],
        scores: Array,
        truth: NDArray[np.str_],
        rows: NDArray[np.intp],
        prompts: NDArray[np.str_],
        calibration: CalibrationPair | None,
        degraded: NDArray[np.bool_],
    ) -> None:
        """Add queries that share candidates; ``truth`` holds model names, one that is no candidate is unknown."""
        columns = np.searchsorted(self.models, candidates)
        self._calibrated &= calibration is not None
        log_p = calibration.log_probabilities(scores, degraded) if calibration else np.zeros_like(scores)
        p = calibration.p_values(scores, degraded) if calibration else np.zeros_like(scores)
        self._parts.append(
            (
                self._spread(scores, columns, -np.inf),
                self._spread(log_p, columns, -np.inf),
                self._spread(p, columns, 0.0),
                calibration.known(scores, degraded) if calibration else scores.max(axis=1),
            )
        )
        place = np.searchsorted(candidates, truth)
        inside = np.isin(truth, candidates)
        self._truth.append(np.where(inside, columns[np.minimum(place, len(columns) - 1)], -1))
        self._rows.append(rows)
        self._prompts.append(prompts)

    def _spread(self, values: Array, columns: NDArray[np.intp], empty: float) -> Array:
        out = np.full((len(values), len(self.models)), empty)
        out[:, columns] = values
        return out

    def result(self, under_trained: str = "") -> Scored:
        """Everything added so far."""
        scores, log_p, p, best = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        return Scored(
            self.models,
            scores,
            np.concatenate(self._truth),
            np.concatenate(self._rows),
            np.concatenate(self._prompts),
            log_p if self._calibrated else None,
            p if self._calibrated else None,
            best,
            under_trained,
        )


def image_weights(rows: NDArray[np.intp]) -> Array:
    """What each of an image's answers counts, so that all of them together count once: shape (len(rows),)."""
    _, code, times = np.unique(rows, return_inverse=True, return_counts=True)
    return 1.0 / times[code]


def image_confusion(scored: Scored, rows: NDArray[np.intp]) -> tuple[list[str], Array, NDArray[np.intp]]:
    """First places of some queries whose model is a candidate, each image once however often it was asked.

    Returns
    -------
    labels : list of str, length m
    matrix : ndarray, shape (m, m)
        Rows made the image, columns were named; a row sums to its model's images.
    images : ndarray of int, shape (m,)
        Different images of each model.
    """
    labels, truth = scored.models.tolist(), scored.models[scored.truth[rows]]
    said = scored.models[scored.scores[rows].argmax(axis=1)]
    weights = image_weights(scored.rows[rows])
    matrix = metrics.confusion_matrix(truth, said, labels, weights).round(9)
    return labels, matrix, np.rint(matrix.sum(axis=1)).astype(np.intp)


def per_image(values: Array, rows: NDArray[np.intp]) -> Array:
    """Mean over the times each image was scored, for each image: shape (images,), in the order of np.unique(rows)."""
    _, code = np.unique(rows, return_inverse=True)
    return np.bincount(code, weights=values) / np.bincount(code)


def _first(values: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    return values[np.unique(rows, return_index=True)[1]]


def figures(
    scored: Scored, families: Mapping[str, str], *, baseline: Scored | None, epsilon: float, seed: int
) -> dict[str, Any]:
    """The measured fields of a row of schema ``morelli.evaluation/1``; a figure that the data do not give is None.

    Closed-set figures are over queries whose model is a candidate. The lift over ``baseline`` is paired.

    Raises
    ------
    ArrayError
        ``baseline`` does not hold the same queries in the same order.
    """
    if baseline is not None and not _same_queries(scored, baseline):
        raise ArrayError("must hold the same queries in the same order.", argument="baseline")
    closed = scored.truth >= 0
    out: dict[str, Any] = dict.fromkeys(FIGURES)
    if closed.any():
        out |= _closed(scored, closed, families, baseline, epsilon, seed)
    if (~closed).any() and closed.any():
        known, unknown = scored.known[closed], scored.known[~closed]
        right = scored.scores[closed].argmax(axis=1) == scored.truth[closed]
        out["n_unknown"] = int((~closed).sum())
        out["auroc"] = metrics.auroc(known, unknown)
        out["oscr"] = metrics.oscr(known, right, unknown)
        out["fpr95"] = metrics.fpr_at_tpr(known, unknown)
    return out


def _same_queries(one: Scored, other: Scored) -> bool:
    """Whether they are the same images with the same right models; columns may differ."""
    ours, theirs = (np.append(each.models, "")[each.truth] for each in (one, other))  # −1 is the last: no model
    return np.array_equal(one.rows, other.rows) and np.array_equal(ours, theirs)


def _closed(
    scored: Scored,
    closed: NDArray[np.bool_],
    families: Mapping[str, str],
    baseline: Scored | None,
    epsilon: float,
    seed: int,
) -> dict[str, Any]:
    scores, truth, rows = scored.scores[closed], scored.truth[closed], scored.rows[closed]
    prompts = _first(scored.prompts[closed], rows)
    hits = metrics.topk_hits(scores, truth, TOP)
    candidates = np.isfinite(scores).sum(axis=1)
    predicted = scored.models[scores.argmax(axis=1)]
    names = scored.models[truth]
    same_family = np.array([families[a] == families[b] for a, b in zip(predicted, names, strict=True)], dtype=float)
    out: dict[str, Any] = {
        "n_queries": len(prompts),
        "n_candidates": float(candidates.mean()),
    }
    for k in TOP:
        if k == 1 or (candidates > k).all():
            # One seed and the same prompts: the resamples of every k are the same.
            found = prompt_bootstrap(per_image(hits[k].astype(float), rows), prompts, seed=seed)
            out |= {f"top{k}": found.point, f"top{k}_low": found.low, f"top{k}_high": found.high}
    out["family_top1"] = float(per_image(same_family, rows).mean())
    out["f1"] = metrics.macro_f1(names, predicted)
    recalls = [float((predicted[names == name] == name).mean()) for name in np.unique(names)]
    out["balanced_accuracy"] = float(np.mean(recalls))
    if scored.log_probabilities is not None and scored.p_values is not None:
        probabilities = softmax(scored.log_probabilities[closed], axis=1)
        sets = scored.p_values[closed] > epsilon
        out["ece"] = metrics.ece(probabilities, truth)
        out["ece_floor"] = metrics.ece_floor(probabilities, seed=seed)
        out["coverage"] = metrics.coverage(sets, truth)
        out["set_size"] = metrics.mean_set_size(sets)
    if baseline is not None and baseline is not scored:
        theirs = metrics.topk_hits(baseline.scores[closed], baseline.truth[closed], (1,))[1]
        lift = paired_lift(
            per_image(hits[1].astype(float), rows), per_image(theirs.astype(float), rows), prompts, seed=seed
        )
        out |= {"lift": lift.point, "lift_low": lift.low, "lift_high": lift.high}
    return out
