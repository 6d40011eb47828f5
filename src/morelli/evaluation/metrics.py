"""Figures of merit over arrays. Truth is an index into the columns of scores; −1 says that no column is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float64]


def _table(values: ArrayLike, truth: ArrayLike, name: str) -> tuple[NDArray, NDArray[np.intp]]:
    table, index = np.asarray(values), np.asarray(truth)
    if table.ndim != 2 or index.shape != table.shape[:1] or not table.size:
        raise ArrayError(
            f"needs shape (n, m) with a truth of shape (n,), got {table.shape} and {index.shape}.", argument=name
        )
    if not np.issubdtype(index.dtype, np.integer) or index.min() < -1 or index.max() >= table.shape[1]:
        raise ArrayError(f"must be column numbers from −1 to {table.shape[1] - 1}.", argument="truth")
    if np.isnan(table).any():
        raise ArrayError("has NaN in it.", argument=name)
    return table, index.astype(np.intp)


def _line(values: ArrayLike, name: str) -> Floats:
    line = np.asarray(values, dtype=np.float64)
    if line.ndim != 1 or np.isnan(line).any():
        raise ArrayError(f"needs shape (n,) without NaN, got {line.shape}.", argument=name)
    return line


def _pair(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray, NDArray]:
    a, b = np.asarray(truth), np.asarray(predicted)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ArrayError(f"needs one label a query, got the shapes {a.shape} and {b.shape}.", argument="predicted")
    return a, b


def topk_hits(scores: ArrayLike, truth_index: ArrayLike, ks: Iterable[int] = (1, 2, 3, 5)) -> dict[int, Mask]:
    """Whether the truth is among the k best, query by query.

    Ties are broken against the truth: its rank is the number of other models that score at least as much, so constant
    scores earn nothing for any k < m. For k ≥ m everything is a hit. A truth of −1, or one that scores −inf (not a
    candidate), is never a hit.

    Parameters
    ----------
    scores : array, shape (n, m)
        Higher is better; −inf allowed, NaN not.
    truth_index : array of int, shape (n,)
    ks : iterable of int, each ≥ 1

    Returns
    -------
    dict of int to ndarray of bool, shape (n,)
    """
    table, truth = _table(scores, truth_index, "scores")
    wanted = tuple(ks)
    if any(k < 1 for k in wanted):
        raise ArrayError(f"each k must be at least 1, got {wanted}.", argument="ks")
    own = table[np.arange(len(table)), truth]
    rank = (table >= own[:, None]).sum(axis=1) - 1
    possible = (truth >= 0) & (own > -np.inf)
    return {k: possible & (rank < k) for k in wanted}


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Fraction of equal labels."""
    a, b = _pair(truth, predicted)
    return float((a == b).mean())


def confusion_matrix(
    truth: ArrayLike, predicted: ArrayLike, labels: Sequence[str], weights: ArrayLike | None = None
) -> NDArray[Any]:
    """Counts, shape (len(labels), len(labels)): rows are the truth, columns what was said.

    Parameters
    ----------
    truth, predicted : array of str, shape (n,)
    labels : sequence of str
    weights : array, shape (n,), optional
        What each answer counts; the matrix is then of floats, else of integers.

    Raises
    ------
    ArrayError
        Where a label is not listed (add "none" or "unsure" to the list where they can be said), or listed twice.
    """
    a, b = _pair(truth, predicted)
    names = np.asarray(labels)
    sort = np.argsort(names, kind="stable")
    if len(np.unique(names)) != len(names):
        raise ArrayError("a label is listed twice.", argument="labels")
    missing = np.setdiff1d(np.concatenate([a, b]), names)
    if len(missing):
        raise ArrayError(f"{missing[0]!r} is not among the labels.", argument="labels")
    rows, columns = (sort[np.searchsorted(names, side, sorter=sort)] for side in (a, b))
    each = np.ones(len(a), dtype=np.int64) if weights is None else np.asarray(weights, dtype=np.float64)
    counts = np.zeros((len(names), len(names)), dtype=each.dtype)
    np.add.at(counts, (rows, columns), each)
    return counts


def macro_f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean over the models, of truth or said, of F1 = 2·TP / (2·TP + FP + FN); every model counts the same."""
    a, b = _pair(truth, predicted)
    names = np.union1d(a, b)
    counts = confusion_matrix(a, b, names.tolist())
    return float((2 * counts.diagonal() / (counts.sum(axis=0) + counts.sum(axis=1))).mean())


def _probabilities(probabilities: ArrayLike, truth: ArrayLike) -> tuple[Floats, NDArray[np.intp]]:
    table, index = _table(probabilities, truth, "probabilities")
    table = table.astype(np.float64)
    if table.min() < 0 or np.abs(table.sum(axis=1) - 1).max() > 1e-3:
        raise ArrayError("each row must be non-negative and sum to 1.", argument="probabilities")
    return table, index


def ece(
    probabilities: ArrayLike, truth_index: ArrayLike, bins: int = 15, binning: Literal["width", "mass"] = "width"
) -> float:
    """Expected calibration error: mean over queries of |confidence − accuracy| of the bin they fall in.

    Confidence is the largest probability; a tie for the first place counts as wrong, as in `topk_hits`.

    Parameters
    ----------
    probabilities : array, shape (n, m)
        Rows sum to 1.
    truth_index : array of int, shape (n,)
        −1 for a query of an unknown model: always wrong.
    bins : int
        Number of bins.
    binning : "width" or "mass"
        Bins of equal width over (0, 1], or between the quantiles of the confidences; equal confidences share a bin.

    Returns
    -------
    float in 0–1
    """
    table, truth = _probabilities(probabilities, truth_index)
    confidence = table.max(axis=1)
    hit = topk_hits(table, truth, (1,))[1]
    if bins < 1 or binning not in ("width", "mass"):
        raise ArrayError(
            f'bins must be positive and binning "width" or "mass", got {bins}, {binning!r}.', argument="bins"
        )
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = inner if binning == "width" else np.quantile(confidence, inner)
    which = np.searchsorted(edges, confidence, side="left")
    # |Σ (confidence − hit)| of a bin is its |confidence − accuracy| times its number of queries.
    gaps = np.bincount(which, weights=confidence - hit, minlength=bins)
    return float(np.abs(gaps).sum() / len(table))


def ece_floor(probabilities: ArrayLike, bins: int = 15, draws: int = 200, seed: int = 0) -> float:
    """The `ece` that forecasts would show, on average, if they were calibrated perfectly: what few queries alone give.

    Each query is right with the probability of its confidence, ``draws`` times over. With n queries the floor falls
    about as 1/√n, so that an ECE is to be read beside it. Bins are of equal width.

    Parameters
    ----------
    probabilities : array, shape (n, m)
        Rows sum to 1.
    bins, draws : int
    seed : int

    Returns
    -------
    float in 0–1
    """
    table, _ = _probabilities(probabilities, np.zeros(len(np.asarray(probabilities)), dtype=np.intp))
    if bins < 1 or draws < 1:
        raise ArrayError("must be 1 or more.", argument="bins" if bins < 1 else "draws")
    confidence = table.max(axis=1)
    which = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")
    hits = np.random.default_rng(seed).random((draws, len(confidence))) < confidence
    inside = np.equal.outer(which, np.arange(bins)).astype(np.float64)
    return float(np.abs((confidence - hits) @ inside).sum(axis=1).mean() / len(confidence))


def nll(probabilities: ArrayLike, truth_index: ArrayLike) -> float:
    """Mean of −log p(truth), natural logarithm; p is kept above 2.2e-16 so that one miss does not give infinity."""
    table, truth = _probabilities(probabilities, truth_index)
    if truth.min() < 0:
        raise ArrayError("an unknown model has no probability to take the logarithm of.", argument="truth_index")
    own = table[np.arange(len(table)), truth]
    return float(-np.log(np.maximum(own, np.finfo(np.float64).eps)).mean())


def covered(candidates: ArrayLike, truth_index: ArrayLike) -> Mask:
    """Whether each candidate set (row of booleans, shape (n, m)) holds the truth; a truth of −1 is in no set."""
    table, truth = _table(candidates, truth_index, "candidates")
    if table.dtype != np.bool_:
        raise ArrayError(f"must be boolean, got {table.dtype}.", argument="candidates")
    return table[np.arange(len(table)), truth] & (truth >= 0)


def coverage(candidates: ArrayLike, truth_index: ArrayLike) -> float:
    """Fraction of candidate sets that hold the truth."""
    return float(covered(candidates, truth_index).mean())


def mean_set_size(candidates: ArrayLike) -> float:
    """Mean number of models in a candidate set."""
    table = np.asarray(candidates)
    covered(table, np.zeros(len(table), dtype=np.intp))
    return float(table.sum(axis=1).mean())


def true_positive_rate(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Fraction of the positives that are called so; NaN where there are none. Both boolean, shape (n,)."""
    return _rate(truth, predicted, of=True)


def false_positive_rate(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Fraction of the negatives that are called positive; NaN where there are none. Both boolean, shape (n,)."""
    return _rate(truth, predicted, of=False)


def _rate(truth: ArrayLike, predicted: ArrayLike, *, of: bool) -> float:
    a, b = _pair(truth, predicted)
    if a.dtype != np.bool_ or b.dtype != np.bool_:
        raise ArrayError(f"must be boolean, got {a.dtype} and {b.dtype}.", argument="predicted")
    chosen = b[a == of]
    return float(chosen.mean()) if len(chosen) else float("nan")


def balanced_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean of the true-positive and the true-negative rate; 0.5 is chance; NaN where one kind is missing."""
    return (true_positive_rate(truth, predicted) + 1 - false_positive_rate(truth, predicted)) / 2


def _wins(positive: Floats, negative: Floats) -> Floats:
    """For each positive the number of negatives that it beats, ties counting half."""
    order = np.sort(negative)
    return (np.searchsorted(order, positive, side="left") + np.searchsorted(order, positive, side="right")) / 2


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Probability that a positive scores above a negative, ties counting half; NaN where one kind is missing."""
    a, b = _line(positive, "positive"), _line(negative, "negative")
    return float(_wins(a, b).mean() / len(b)) if len(a) and len(b) else float("nan")


def fpr_at_tpr(scores_known: ArrayLike, scores_unknown: ArrayLike, tpr: float = 0.95) -> float:
    """Fraction of the unknown that passes the highest threshold which at least ``tpr`` of the known pass (score ≥ it).

    NaN where there are no known or no unknown scores.
    """
    known, unknown = _line(scores_known, "scores_known"), _line(scores_unknown, "scores_unknown")
    if not 0 < tpr <= 1:
        raise ArrayError(f"must be in (0, 1], got {tpr}.", argument="tpr")
    if not len(known) or not len(unknown):
        return float("nan")
    # The small number keeps 0.07 · 100 = 7.000000000000001 from asking for an eighth.
    needed = int(np.ceil(tpr * len(known) - 1e-9))
    return float((unknown >= np.sort(known)[-needed]).mean())


def oscr(scores_known: ArrayLike, correct: ArrayLike, scores_unknown: ArrayLike) -> float:
    """Open-set classification rate: area under CCR against FPR as the threshold falls.

    CCR is the fraction of the known queries that are above the threshold and correctly classified, FPR the fraction of
    the unknown above it. The area is at most the closed-set accuracy, and equals it when all correct known queries
    score above all unknown ones. Ties count half (straight lines join the curve). NaN where one kind is missing.

    Parameters
    ----------
    scores_known : array, shape (n,)
        Largest score of each known query.
    correct : array of bool, shape (n,)
        Whether its first place is the truth.
    scores_unknown : array, shape (u,)
        Largest score of each unknown query.
    """
    known, unknown = _line(scores_known, "scores_known"), _line(scores_unknown, "scores_unknown")
    right = np.asarray(correct)
    if right.dtype != np.bool_ or right.shape != known.shape:
        raise ArrayError(f"needs a boolean a known query, {known.shape}, got {right.shape}.", argument="correct")
    if not len(known) or not len(unknown):
        return float("nan")
    return float(_wins(known[right], unknown).sum() / len(known) / len(unknown))
