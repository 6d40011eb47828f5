"""Component scores of a background's own images, by banks that saw other prompts only.

The special case of `morelli.attribution.crossfit` for attributors that add several log-likelihood ratios: each
component is scored on its own, so that weights can be learnt, and the banks of the folds serve every k.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.bank import Bank, BankSettings, Labels, fit_bank
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
    #: Fold, statistics, rows of the queries; and rows of other prompts' references, or None: the statistics' own.
    Part = tuple[int, Bank, NDArray[np.intp], NDArray[np.intp] | None]


# Backgrounds of up to this many images are cheap to learn from anew for each of many folds.
SMALL_BACKGROUND = 1000


class CrossBank:
    """Held-out component scores, computed when they are first asked for and kept.

    Parameters
    ----------
    background : LabelledEmbeddings
    bank : Bank
        Statistics of the whole background; says which components there are.
    settings : BankSettings
    parts : tuple of str
        Which models of a bank take part: "free", "same".
    folds : int
        Prompt folds.
    """

    def __init__(
        self,
        background: LabelledEmbeddings,
        bank: Bank,
        settings: BankSettings,
        parts: tuple[str, ...],
        folds: int,
    ) -> None:
        self.background = background
        self.bank = bank
        self.settings = settings
        self.parts = parts
        self.folds = folds
        self.groups = {name: group.names for name, group in bank.groups.items()}
        self._shared = bank.coordinates(background.vectors) if len(background) > SMALL_BACKGROUND else {}
        self._banks: dict[bool, list[Part]] = {}
        self._tables: dict[tuple[int, bool], tuple[Array, OutOfFold]] = {}

    def tables(self, k: int, new: bool = False) -> tuple[Array, OutOfFold]:
        """Component scores for k same-prompt references a model (0: none), each image held out once.

        Parameters
        ----------
        k : int
        new : bool
            Play candidates that the statistics have not seen: for each fold of prompts the models (families whole) are
            split in two, and each half is scored by the statistics of the other. No rows where there are too few
            models for that.

        Returns
        -------
        ndarray, shape (components, n, m)
            −inf where a model is no candidate.
        OutOfFold
            The first component's table: rows, right models and folds are those of all.
        """
        if (k, new) not in self._tables:
            self._tables[k, new] = self._compute(k, new)
        return self._tables[k, new]

    def scores(self, k: int, new: bool = False) -> OutOfFold:
        """Weighted sums of the component scores; the weights of a fold come from the queries of the other folds."""
        layers, table = self.tables(k, new)
        scores = np.full(table.scores.shape, -np.inf)
        for fold in np.unique(table.folds):
            test, train = table.folds == fold, table.folds != fold
            learn = train if train.any() else test
            weights = fit_weights(layers[:, learn], table.truth[learn])
            part = np.tensordot(weights, np.where(np.isfinite(layers[:, test]), layers[:, test], 0.0), axes=1)
            scores[test] = np.where(np.isfinite(layers[0, test]), part, -np.inf)
        return OutOfFold(scores, table.truth, table.rows, table.folds)

    def _compute(self, k: int, new: bool) -> tuple[Array, OutOfFold]:
        if new not in self._banks:
            self._banks[new] = list(self._fit_new() if new else self._fit_folds())
        models, truth = self.bank.models, self.background.models
        # One list for each component; all share rows, candidates and order.
        count = len(self.bank.groups) * (("free" in self.parts and self.bank.has_free) + (k > 0))
        parts: list[list[tuple[NDArray[np.str_], Array, NDArray[np.intp], int]]] = [[] for _ in range(count)]
        for fold, bank, test, references in self._banks[new]:
            for candidates, layers, queries in self._score_fold(bank, test, references, k):
                for part, layer in zip(parts, layers, strict=True):
                    part.append((candidates, layer, queries, fold))
        tables = [gather(part, models, truth) for part in parts]
        if not tables:
            return np.empty((0, 0, len(models))), gather([], models, truth)
        return np.stack([table.scores for table in tables]), tables[0]

    def _fit_folds(self) -> Iterator[Part]:
        of_row = fold_of_rows(self.background.prompts, self.folds)
        for fold in np.unique(of_row):
            train = of_row != fold
            if len(np.unique(self.background.models[train])) >= 2:
                yield int(fold), self._refit(train), np.flatnonzero(of_row == fold), None

    def _fit_new(self) -> Iterator[Part]:
        background = self.background
        of_row = fold_of_rows(background.prompts, self.folds)
        for fold in np.unique(of_row):
            first = half_of_models(background.models, background.families, seed=int(fold))
            for seen in (first, ~first):
                train = (of_row != fold) & seen
                test, references = (of_row == fold) & ~seen, (of_row != fold) & ~seen
                if min(len(np.unique(background.models[part])) for part in (train, test, references)) < 2:
                    continue
                bank = self._refit(train)
                # Half the models may lack what all of them have, such as two images of one prompt.
                if (bank.has_free or not self.bank.has_free) and (bank.has_same or not self.bank.has_same):
                    yield int(fold), bank, np.flatnonzero(test), np.flatnonzero(references)

    def _refit(self, train: NDArray[np.bool_]) -> Bank:
        """Statistics of some rows; of a large background in the subspaces of all.

        A subspace is a choice of coordinates that knows no label, and to choose it anew for each fold costs several
        times as much as all the rest; but where it stands on few prompts it does know those that are held out.
        """
        if not self._shared:
            return fit_bank(self.background.take(train), self.groups, self.settings)
        chosen = {name: z[train] for name, z in self._shared.items()}
        labels = Labels(self.background.models[train], self.background.prompts[train])
        return self.bank.refit(chosen, labels, self.settings)

    def _project(self, bank: Bank) -> Projected:
        return bank.rotate(self._shared) if self._shared else bank.project(self.background.vectors)

    def _score_fold(
        self, bank: Bank, test: NDArray[np.intp], references: NDArray[np.intp] | None, k: int
    ) -> Iterator[Scored]:
        background = self.background
        free = "free" in self.parts and bank.has_free
        if not (bank.has_same if k else free):
            return
        projected = self._project(bank)
        if not k:
            others = test[:0] if references is None else references
            labels = Labels(background.models[others], background.prompts[others])
            models = bank.models if references is None else np.unique(labels.models)
            yield models, bank.free_scores(_rows(projected, test), _rows(projected, others), labels, models), test
            return
        for trial in leave_one_out(background.models, background.prompts, k, test):
            queries, chosen = _rows(projected, trial.queries), _rows(projected, trial.references)
            labels = Labels(background.models[trial.references], background.prompts[trial.references])
            candidates = np.unique(labels.models)
            layers = [bank.free_scores(queries, chosen, labels, candidates)] if free else []
            layers.append(bank.same_scores(queries, chosen, labels, candidates))
            yield candidates, np.concatenate(layers), trial.queries


def half_of_models(models: NDArray[np.str_], families: NDArray[np.str_], seed: int) -> NDArray[np.bool_]:
    """Rows of about half of the models, families whole, chosen at random: mask of shape (n,)."""
    rng = np.random.default_rng(seed)
    kin = rng.permutation(np.unique(families))
    sizes = np.array([len(np.unique(models[families == family])) for family in kin])
    filled = np.cumsum(sizes) - sizes / 2
    return np.isin(families, kin[filled <= sizes.sum() / 2])


def _rows(projected: Projected, which: NDArray[np.intp]) -> Projected:
    return {name: (free[which], same[which]) for name, (free, same) in projected.items()}
