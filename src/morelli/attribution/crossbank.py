"""Component scores of a background's own images, by banks that saw other prompts only.

The special case of `morelli.attribution.crossfit` for attributors that add several log-likelihood ratios: each
component is scored on its own, so that weights can be learnt, and the banks of the folds serve every k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.bank import Bank, BankSettings, Labels, fit_bank
from morelli.attribution.conditions import CLEAN, MIN_COPIES, Conditions, Mixture, fit_conditions
from morelli.attribution.crossfit import OutOfFold, gather
from morelli.attribution.trials import fold_of_rows, leave_one_out
from morelli.attribution.weights import CONDITION_PULL, DEGRADED_PULL, fit_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.conditions import Coordinates
    from morelli.types import LabelledEmbeddings

    Array = NDArray[np.float64]
    #: Weight of each component, by condition.
    Weights = dict[str, Array]
    #: Candidates, component scores of queries, and the queries' rows in the background.
    Scored = tuple[NDArray[np.str_], Mixture, NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class Part:
    """One fold: statistics of other prompts, and what they score.

    Attributes
    ----------
    fold : int
    bank : Bank
    conditions : Conditions or None
        Of the same rows.
    test : ndarray of int
        Rows of the queries.
    references : ndarray of int or None
        Rows of other prompts' references; None: the statistics' own.
    """

    fold: int
    bank: Bank
    conditions: Conditions | None
    test: NDArray[np.intp]
    references: NDArray[np.intp] | None


# Backgrounds of up to this many images are cheap to learn from anew for each of many folds.
SMALL_BACKGROUND = 1000


def components(bank: Bank, parts: tuple[str, ...], k: int) -> int:
    """How many scores are added up, for k same-prompt references a model (0: none)."""
    return len(bank.groups) * (("free" in parts and bank.has_free) + (k > 0))


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
        self._parts: dict[bool, list[Part]] = {}
        self._tables: dict[tuple[int, bool, bool], tuple[Mixture, OutOfFold]] = {}
        self._weights: dict[tuple[int, bool, bool, int | None], Weights] = {}
        self._mean: tuple[tuple[int, bool, bool], Array] | None = None  # of the kind asked for last: large

    def tables(self, k: int, new: bool = False, degraded: bool = False) -> tuple[Mixture, OutOfFold]:
        """Component scores for k same-prompt references a model (0: none), each image held out once.

        Parameters
        ----------
        k : int
        new : bool
            Play candidates that the statistics have not seen: for each fold of prompts the models (families whole) are
            split in two, and each half is scored by the statistics of the other. No rows where there are too few
            models for that.
        degraded : bool
            The queries are the background's degraded copies; no rows where it has none.

        Returns
        -------
        Mixture
            −inf where a model is no candidate.
        OutOfFold
            The first component's table: rows, right models and folds are those of all.
        """
        kind = (k, new, degraded)
        if kind not in self._tables:
            self._tables[kind] = self._compute(*kind)
        return self._tables[kind]

    def scores(self, k: int, new: bool = False, degraded: bool = False) -> OutOfFold:
        """Component scores put together as those of queries are; the weights of a fold come from the other folds.

        A single component is not weighted.
        """
        mixture, table = self.tables(k, new, degraded)
        if not len(table) or len(mixture.layers) == 1:
            return table
        scores = np.full(table.scores.shape, -np.inf)
        for fold in np.unique(table.folds):
            held = table.folds == fold
            scores[held] = mixture.take(held).marginal(self._weights_without(int(fold), k, new))
        return replace(table, scores=scores)

    def weights(self, k: int, new: bool = False, degraded: bool = False, without: int | None = None) -> Weights:
        """Weights of the components for queries as they are, under `CLEAN`, or for each degradation.

        Of degradations, those under `CLEAN` are those of all of them together; empty where there are no such queries.

        Parameters
        ----------
        k, new, degraded
            As in `tables`.
        without : int, optional
            A fold to leave out, unless it is the only one.
        """
        kind = (k, new, degraded)
        mixture, table = self.tables(*kind)
        if not len(table):
            return {}
        if without is not None and not (table.folds == without).any():
            without = None
        if (*kind, without) not in self._weights:
            if self._mean is None or self._mean[0] != kind:
                self._mean = kind, mixture.mean()
            learn = np.ones(len(table), dtype=np.bool_) if without is None else table.folds != without
            found = weights_by_condition(self._mean[1], table, learn if learn.any() else ~learn)
            self._weights[*kind, without] = found
        return self._weights[*kind, without]

    def _weights_without(self, fold: int, k: int, new: bool) -> Callable[[str], Array]:
        clean, degraded = (self.weights(k, new, kind, fold) for kind in (False, True))
        # Where nothing tells of degraded queries, those of queries as they are; and the other way round.
        fallback = clean or degraded

        def of(condition: str) -> Array:
            if condition == CLEAN or not degraded:
                return fallback[CLEAN]
            return degraded.get(condition, degraded[CLEAN])

        return of

    def _compute(self, k: int, new: bool, degraded: bool) -> tuple[Mixture, OutOfFold]:
        if new not in self._parts:
            self._parts[new] = list(self._fit_new() if new else self._fit_folds())
        models, truth = self.bank.models, self.background.models
        mixtures: list[Mixture] = []
        tables: list[tuple[NDArray[np.str_], Array, NDArray[np.intp], int]] = []
        conditions: list[NDArray[np.str_]] = []
        copies = {"": None} if not degraded else self._copies()
        for part in self._parts[new]:
            # What a part with too few copies has not learnt, it cannot be asked for.
            learnt = ("",) if not degraded else () if part.conditions is None else part.conditions.names
            for name in (name for name in copies if name in learnt):
                for candidates, found, queries in self._score_fold(part, copies[name], k):
                    inside = np.isin(truth[queries], candidates)  # as `gather` has it
                    conditions.append(np.full(int(inside.sum()), name))
                    kept = found.take(inside).among(candidates, models)
                    # Of many images, in half of the memory: the seventh digit of a ratio plays no part.
                    mixtures.append(replace(kept, layers=kept.layers.astype(np.float32)) if self._shared else kept)
                    first = replace(found, layers=found.layers[:1]).mean()[0]
                    tables.append((candidates, first, queries, part.fold))
        table = gather(tables, models, truth)
        if not mixtures:
            return Mixture.clean(np.empty((components(self.bank, self.parts, k), 0, len(models)))), table
        if degraded:
            table = replace(table, conditions=np.concatenate(conditions))
        return Mixture.join(mixtures), table

    def _copies(self) -> dict[str, NDArray[np.intp]]:
        """For each degradation the degraded copy of each image, −1 where it has none: arrays of shape (n,)."""
        held = self.background.degraded
        if held is None:
            return {}
        out = {}
        for name in np.unique(held.names).tolist():
            of_row = np.full(len(self.background), -1, dtype=np.intp)
            which = np.flatnonzero(held.names == name)
            of_row[held.rows[which]] = which
            out[name] = of_row
        return out

    def _fit_folds(self) -> Iterator[Part]:
        of_row = fold_of_rows(self.background.prompts, self.folds)
        for fold in np.unique(of_row):
            train = of_row != fold
            if len(np.unique(self.background.models[train])) >= 2:
                yield Part(int(fold), *self._refit(train), np.flatnonzero(of_row == fold), None)

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
                bank, conditions = self._refit(train)
                # Half the models may lack what all of them have, such as two images of one prompt.
                if (bank.has_free or not self.bank.has_free) and (bank.has_same or not self.bank.has_same):
                    yield Part(int(fold), bank, conditions, np.flatnonzero(test), np.flatnonzero(references))

    def _refit(self, train: NDArray[np.bool_]) -> tuple[Bank, Conditions | None]:
        """Statistics of some rows; of a large background in the subspaces of all.

        A subspace is a choice of coordinates that knows no label, and to choose it anew for each fold costs several
        times as much as all the rest; but where it stands on few prompts it does know those that are held out.
        """
        rows = self.background.take(train)
        labels = Labels(rows.models, rows.prompts)
        if self._shared:
            chosen = {name: z[train] for name, z in self._shared.items()}
            bank = self.bank.refit(chosen, labels, self.settings)
        else:
            bank = fit_bank(rows, self.groups, self.settings)
            chosen = bank.coordinates(rows.vectors) if rows.degraded is not None else {}
        return bank, fit_conditions(bank, chosen, rows.degraded, self.settings)

    def _score_fold(self, part: Part, copies: NDArray[np.intp] | None, k: int) -> Iterator[Scored]:
        """Scores of a fold's images, or of their degraded copies (`_copies`)."""
        background, bank = self.background, part.bank
        if not (bank.has_same if k else "free" in self.parts and bank.has_free):
            return
        held = self._shared or bank.coordinates(background.vectors)
        asked = _Asked(part, held, "free" in self.parts and bank.has_free, self._of_copies(bank, copies))
        if not k:
            others = part.test[:0] if part.references is None else part.references
            models = bank.models if part.references is None else np.unique(background.models[others])
            labels = Labels(background.models[others], background.prompts[others])
            queries = part.test if copies is None else part.test[copies[part.test] >= 0]
            if len(queries):
                yield models, asked.scores(queries, others, labels, models, same=False), queries
            return
        for trial in leave_one_out(background.models, background.prompts, k, part.test):
            queries = trial.queries if copies is None else trial.queries[copies[trial.queries] >= 0]
            if not len(queries):
                continue
            labels = Labels(background.models[trial.references], background.prompts[trial.references])
            candidates = np.unique(labels.models)
            yield candidates, asked.scores(queries, trial.references, labels, candidates, same=True), queries

    def _of_copies(self, bank: Bank, copies: NDArray[np.intp] | None) -> tuple[Coordinates, NDArray[np.intp]] | None:
        if copies is None or self.background.degraded is None:
            return None
        return bank.coordinates(self.background.degraded.vectors), copies


class _Asked:
    """Scores of rows of a background by one fold's statistics, in the condition that each query is in.

    Parameters
    ----------
    part : Part
    held : mapping of str to ndarray, shape (n, r)
        The whole background in the bank's subspaces.
    free : bool
        Whether prompt-free scores take part.
    copies : (mapping, ndarray), optional
        Coordinates of degraded copies, and which of them stands for each row.
    """

    def __init__(
        self, part: Part, held: Coordinates, free: bool, copies: tuple[Coordinates, NDArray[np.intp]] | None
    ) -> None:
        self.part, self.held, self.free, self.copies = part, held, free, copies

    def scores(
        self,
        queries: NDArray[np.intp],
        references: NDArray[np.intp],
        labels: Labels,
        models: NDArray[np.str_],
        *,
        same: bool,
    ) -> Mixture:
        """Component scores of each query, under the conditions that it may be in."""
        source, rows = (self.held, queries) if self.copies is None else (self.copies[0], self.copies[1][queries])
        coordinates = {name: z[rows] for name, z in source.items()}
        score = partial(self._score, references, labels, models, same)
        if self.part.conditions is None:
            return Mixture.clean(score(self.part.bank, coordinates, rows))
        return self.part.conditions.mix(coordinates, score)

    def _score(
        self,
        references: NDArray[np.intp],
        labels: Labels,
        models: NDArray[np.str_],
        same: bool,
        bank: Bank,
        coordinates: Coordinates,
        _rows: NDArray[np.intp],
    ) -> Array:
        queries, chosen = bank.rotate(coordinates), bank.rotate({name: z[references] for name, z in self.held.items()})
        layers = [bank.free_scores(queries, chosen, labels, models)] if self.free else []
        if same:
            layers.append(bank.same_scores(queries, chosen, labels, models))
        return np.concatenate(layers)


def weights_by_condition(layers: Array, table: OutOfFold, rows: NDArray[np.bool_]) -> Weights:
    """Weights of the components for each degradation, and under `CLEAN` those of all rows together.

    A degradation takes away what some components go by and leaves others alone, so each has weights of its own, drawn
    to those of all of them; one with too few copies has none.

    Parameters
    ----------
    layers : ndarray, shape (components, n, m)
    table : OutOfFold
        Of the same n queries.
    rows : ndarray of bool, shape (n,)
        Which to learn from.
    """
    if table.conditions is None:
        return {CLEAN: fit_weights(layers[:, rows], table.truth[rows])}
    found = {CLEAN: fit_weights(layers[:, rows], table.truth[rows], DEGRADED_PULL)}
    names, counts = np.unique(table.conditions[rows], return_counts=True)
    for name in names[counts >= MIN_COPIES].tolist():
        own = rows & (table.conditions == name)
        found[name] = fit_weights(layers[:, own], table.truth[own], CONDITION_PULL, towards=found[CLEAN])
    return found


def half_of_models(models: NDArray[np.str_], families: NDArray[np.str_], seed: int) -> NDArray[np.bool_]:
    """Rows of about half of the models, families whole, chosen at random: mask of shape (n,)."""
    rng = np.random.default_rng(seed)
    kin = rng.permutation(np.unique(families))
    sizes = np.array([len(np.unique(models[families == family])) for family in kin])
    filled = np.cumsum(sizes) - sizes / 2
    return np.isin(families, kin[filled <= sizes.sum() / 2])
