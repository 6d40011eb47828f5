"""Scores of a background's own images by an attributor that has not seen their prompts, to calibrate by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.base import Attributor
from morelli.attribution.trials import fold_of_rows, leave_one_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

FOLDS = 5


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Scores of n queries against all M models of a background.

    Attributes
    ----------
    scores : ndarray, shape (n, M), float64
        −inf where a model is no candidate of that query.
    truth : ndarray of int, shape (n,)
        Column of the model that made the query.
    rows : ndarray of int, shape (n,)
        Row of the query in the background.
    folds : ndarray of int, shape (n,)
        Fold that was held out when the query was scored.
    conditions : ndarray of str, shape (n,), or None
        What degraded copies went through; None: images as they are.
    """

    scores: NDArray[np.float64]
    truth: NDArray[np.intp]
    rows: NDArray[np.intp]
    folds: NDArray[np.intp]
    conditions: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.truth)


def cross_scores(
    make: Callable[[], Attributor], background: LabelledEmbeddings, k: int, folds: int = FOLDS, seed: int = 0
) -> OutOfFold:
    """Hold out each fold of prompts, fit on the others, score the held-out images.

    Parameters
    ----------
    make : callable
        A fresh attributor.
    background : LabelledEmbeddings
    k : int
        References a model of the query's own prompt; 0: none, the prompt is unknown.
    """
    models = np.unique(background.models)
    of_row = fold_of_rows(background.prompts, folds, seed)
    parts = []
    for fold in np.unique(of_row):
        train, test = np.flatnonzero(of_row != fold), np.flatnonzero(of_row == fold)
        if len(np.unique(background.models[train])) < 2:
            continue
        attributor = make().fit(background.take(train))
        if k:
            for trial in leave_one_out(background.models, background.prompts, k, test):
                references, queries = background.take(trial.references), background.take(trial.queries)
                scores = attributor.scores(queries.vectors, references, trial.prompt)
                parts.append((attributor.candidates(references), scores, trial.queries, fold))
        else:
            scores = attributor.scores(background.take(test).vectors)
            parts.append((attributor.candidates(), scores, test, fold))
    return gather(parts, models, background.models)


def gather(
    parts: list[tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.intp], int]],
    models: NDArray[np.str_],
    truth: NDArray[np.str_],
) -> OutOfFold:
    """Put parts with different candidates into one table; queries whose model is no candidate are left out."""
    tables, labels, rows, folds = [], [], [], []
    for candidates, scores, queries, fold in parts:
        inside = np.isin(truth[queries], candidates)
        table = np.full((int(inside.sum()), len(models)), -np.inf)
        table[:, np.searchsorted(models, candidates)] = scores[inside]
        tables.append(table)
        labels.append(np.searchsorted(models, truth[queries[inside]]))
        rows.append(queries[inside])
        folds.append(np.full(int(inside.sum()), fold))
    if not tables:
        empty = np.empty(0, dtype=np.intp)
        return OutOfFold(np.empty((0, len(models))), empty, empty, empty)
    return OutOfFold(np.concatenate(tables), np.concatenate(labels), np.concatenate(rows), np.concatenate(folds))
