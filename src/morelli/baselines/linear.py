"""Multinomial logistic regression, and the choice of its regularisation on the training pictures alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Labels = NDArray[np.intp]

FOLDS = 3
#: The search goes up the grid until so many values in a row were no better: large ones take the longest by far.
PATIENCE = 5
_STEPS = 500


def published_grid(count: int = 45) -> tuple[float, ...]:
    """Values of C from 1e-6 to 1e5, evenly in the logarithm; 45 as published (UniversalAttribution)."""
    return tuple(np.logspace(-6, 5, count).tolist())


@dataclass(frozen=True, eq=False)
class Linear:
    """Weights (d, m) and intercepts (m,): ``log_probabilities`` are log-softmaxes of ``x @ weights + intercepts``."""

    weights: Array
    intercepts: Array

    def log_probabilities(self, x: Array) -> Array:
        """Shape (n, m)."""
        return log_softmax(x @ self.weights + self.intercepts, axis=1)


def fit_logistic(x: Array, labels: Labels, classes: int, c: float, start: Linear | None = None) -> Linear:
    """Minimise C · Σ −log p(label) + ½‖weights‖²; intercepts go free.

    Parameters
    ----------
    x : ndarray, shape (n, d)
    labels : ndarray of int, shape (n,)
        0 … classes − 1.
    classes : int
    c : float
        Weight of the data against the regularisation, above 0; as scikit-learn's ``C``.
    start : Linear, optional
        Where the search begins.
    """
    n, d = x.shape
    hot = np.eye(classes)[labels]

    def objective(flat: Array) -> tuple[float, Array]:
        w, b = flat[: d * classes].reshape(d, classes), flat[d * classes :]
        logits = x @ w + b
        wrong = (softmax(logits, axis=1) - hot) / n
        value = -(log_softmax(logits, axis=1) * hot).sum() / n + (w**2).sum() / (2 * c * n)
        return value, np.concatenate([(x.T @ wrong + w / (c * n)).ravel(), wrong.sum(axis=0)])

    first = np.zeros(d * classes + classes)
    if start is not None:
        first = np.concatenate([start.weights.ravel(), start.intercepts])
    options = {"maxiter": _STEPS, "gtol": 1e-6, "ftol": 1e-12}
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options).x
    return Linear(found[: d * classes].reshape(d, classes), found[d * classes :])


def choose_c(x: Array, labels: Labels, classes: int, grid: Sequence[float], seed: int = 0) -> float:
    """The C of the least loss on held-out training pictures, in up to three folds that hold every class.

    A class of one picture cannot be held out: with one, the middle of the grid is taken.
    """
    folds = min(FOLDS, int(np.bincount(labels, minlength=classes).min()))
    if len(grid) == 1 or folds < 2:
        return sorted(grid)[len(grid) // 2]
    fold = _stratified(labels, folds, seed)
    models: list[Linear | None] = [None] * folds
    losses: list[float] = []
    for c in sorted(grid):
        losses.append(0.0)
        for number in range(folds):
            out = fold == number
            model = fit_logistic(x[~out], labels[~out], classes, c, models[number])
            losses[-1] -= float(model.log_probabilities(x[out])[np.arange(out.sum()), labels[out]].sum())
            models[number] = model
        if len(losses) - 1 - int(np.argmin(losses)) >= PATIENCE:
            break
    return sorted(grid)[int(np.argmin(losses))]


def _stratified(labels: Labels, folds: int, seed: int) -> Labels:
    rng = np.random.default_rng(seed)
    fold = np.empty(len(labels), dtype=np.intp)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        fold[rows] = np.arange(len(rows)) % folds
    return fold


class Span:
    """Coordinates of vectors in the span of some training vectors; inner products with those are kept.

    A ridge-penalised solution lies in that span, so that a regression over n vectors of d ≫ n numbers is exactly one
    over n numbers.
    """

    def __init__(self, x: Array) -> None:
        self.x = x
        values, vectors = np.linalg.eigh(x @ x.T)
        kept = values > 1e-10 * max(values[-1], np.finfo(float).tiny)
        self._turn = vectors[:, kept] / np.sqrt(values[kept])

    def __call__(self, x: Array) -> Array:
        """Coordinates, shape (n, rank)."""
        return x @ self.x.T @ self._turn
