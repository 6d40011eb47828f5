"""Component scores of a background's own images, by banks that saw other prompts only.

The special case of `morelli.attribution.crossfit` for attributors that add several log-likelihood ratios: each
component is scored on its own, so that weights can be learnt, and the banks of the folds serve every k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.bank import Bank, Labels
from morelli.attribution.crossfit import OutOfFold, gather
from morelli.attribution.trials import fold_of_rows, leave_one_out
from morelli.attribution.weights import fit_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.bank import Projected
    from morelli.types import LabelledEmbeddings

    Array = NDArray[np.float64]
    #: Candidates, component scores (components, n, candidates), and the queries' rows in the background.
    Scored = tuple[NDArray[np.str_], Array, NDArray[np.intp]]


class CrossBank:
    """Held-out component scores, computed when they are first asked for and kept.

    Parameters
    ----------
    background : LabelledEmbeddings
    bank : Bank
        Statistics of the whole background; says which components there are.
    refit : callable
        Statistics of a part of it.
    parts : tuple of str
        Which models of a bank take part: "free", "same".
    folds : int
        Prompt folds.
    """

    def __init__(
        self,
        background: LabelledEmbeddings,
        bank: Bank,
        refit: Callable[[LabelledEmbeddings], Bank],
        parts: tuple[str, ...],
        folds: int,
    ) -> None:
        self.background = background
        self.bank = bank
        self.refit = refit
        self.parts = parts
        self.folds = folds
        self._banks: list[tuple[int, Bank, NDArray[np.intp]]] | None = None
        self._tables: dict[int, tuple[Array, OutOfFold]] = {}

    def tables(self, k: int) -> tuple[Array, OutOfFold]:
        """Component scores for k same-prompt references a model (0: none), each image held out once.

        Returns
        -------
        ndarray, shape (components, n, m)
            −inf where a model is no candidate.
        OutOfFold
            The first component's table: rows, right models and folds are those of all.
        """
        if k not in self._tables:
            self._tables[k] = self._compute(k)
        return self._tables[k]

    def scores(self, k: int) -> OutOfFold:
        """Weighted sums of the component scores; the weights of a fold come from the queries of the other folds."""
        layers, table = self.tables(k)
        scores = np.full(table.scores.shape, -np.inf)
        for fold in np.unique(table.folds):
            test, train = table.folds == fold, table.folds != fold
            learn = train if train.any() else test
            weights = fit_weights(layers[:, learn], table.truth[learn])
            part = np.tensordot(weights, np.where(np.isfinite(layers[:, test]), layers[:, test], 0.0), axes=1)
            scores[test] = np.where(np.isfinite(layers[0, test]), part, -np.inf)
        return OutOfFold(scores, table.truth, table.rows, table.folds)

    def _compute(self, k: int) -> tuple[Array, OutOfFold]:
        if self._banks is None:
            self._banks = list(self._fit_folds())
        models, truth = self.bank.models, self.background.models
        # One list for each component; all share rows, candidates and order.
        count = len(self.bank.groups) * (("free" in self.parts and self.bank.has_free) + (k > 0))
        parts: list[list[tuple[NDArray[np.str_], Array, NDArray[np.intp], int]]] = [[] for _ in range(count)]
        for fold, bank, test in self._banks:
            for candidates, layers, queries in self._score_fold(bank, test, k):
                for part, layer in zip(parts, layers, strict=True):
                    part.append((candidates, layer, queries, fold))
        tables = [gather(part, models, truth) for part in parts]
        if not tables:
            return np.empty((0, 0, len(models))), gather([], models, truth)
        return np.stack([table.scores for table in tables]), tables[0]

    def _fit_folds(self) -> Iterator[tuple[int, Bank, NDArray[np.intp]]]:
        of_row = fold_of_rows(self.background.prompts, self.folds)
        for fold in np.unique(of_row):
            train = self.background.take(of_row != fold)
            if len(np.unique(train.models)) >= 2:
                yield int(fold), self.refit(train), np.flatnonzero(of_row == fold)

    def _score_fold(self, bank: Bank, test: NDArray[np.intp], k: int) -> Iterator[Scored]:
        background = self.background
        free = "free" in self.parts and bank.has_free
        if not (bank.has_same if k else free):
            return
        projected = bank.project(background.vectors)
        if not k:
            none = Labels(background.models[:0], background.prompts[:0])
            layers = bank.free_scores(_rows(projected, test), _rows(projected, test[:0]), none, bank.models)
            yield bank.models, layers, test
            return
        for trial in leave_one_out(background.models, background.prompts, k, test):
            queries, references = _rows(projected, trial.queries), _rows(projected, trial.references)
            labels = Labels(background.models[trial.references], background.prompts[trial.references])
            candidates = np.unique(labels.models)
            layers = [bank.free_scores(queries, references, labels, candidates)] if free else []
            layers.append(bank.same_scores(queries, references, labels, candidates))
            yield candidates, np.concatenate(layers), trial.queries


def _rows(projected: Projected, which: NDArray[np.intp]) -> Projected:
    return {name: (free[which], same[which]) for name, (free, same) in projected.items()}
