"""Held-out scores: nothing that an attributor memorised can help it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.attribution import crossbank
from morelli.attribution.bank import Bank, BankSettings, fit_bank, view_groups
from morelli.attribution.base import Attributor
from morelli.attribution.centroid import Euclid
from morelli.attribution.crossbank import CrossBank, half_of_models
from morelli.attribution.crossfit import OutOfFold, cross_scores, gather
from morelli.attribution.likelihood import Fused, Lda
from morelli.types import LabelledEmbeddings
from tests.attribution.toys import labelled, simulate

if TYPE_CHECKING:
    from morelli.attribution.base import Vectors


class Cheat(Attributor):
    """Knows an image again that it was fitted on, and its model; anything else scores zero."""

    def fit(self, background: LabelledEmbeddings | None) -> Self:
        assert background is not None
        self.background_, self.models_ = background, np.unique(background.models)
        self.known = {row.tobytes(): m for row, m in zip(background.vectors["v"], background.models, strict=True)}
        return self

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        models = self.candidates(references)
        return np.array([models == self.known.get(row.tobytes()) for row in vectors["v"]], dtype=float)


def accuracy(table: OutOfFold) -> float:
    return float((table.scores.argmax(axis=1) == table.truth).mean())


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_cheat_gets_no_credit(k: int) -> None:
    data = simulate(0, models=4, prompts=10, seeds=3)
    assert Cheat().fit(data).scores(data.vectors).max(axis=1).min() == 1  # it does know what it has seen
    table = cross_scores(Cheat, data, k)
    assert np.nanmax(np.where(np.isfinite(table.scores), table.scores, np.nan)) == 0


@pytest.mark.parametrize("k", [0, 2])
def test_every_image_is_scored_once(k: int) -> None:
    data = simulate(1, models=4, prompts=10, seeds=3)
    table = cross_scores(Euclid, data, k)
    assert sorted(table.rows) == list(range(len(data)))
    assert np.array_equal(np.unique(data.models)[table.truth], data.models[table.rows])
    for fold in np.unique(table.folds):
        inside, outside = table.rows[table.folds == fold], table.rows[table.folds != fold]
        assert not set(data.prompts[inside]) & set(data.prompts[outside])


def spy(monkeypatch: pytest.MonkeyPatch, data: LabelledEmbeddings, shared: bool) -> list[LabelledEmbeddings]:
    """Rows that each fold's statistics are learnt from, in the order of learning."""
    seen: list[LabelledEmbeddings] = []
    learn, relearn = fit_bank, Bank.refit

    def fit(train, groups, settings):
        seen.append(train)
        return learn(train, groups, settings)

    def refit(bank, coordinates, labels, settings):
        # The coordinates of a row stand for it: find the rows back by them.
        name = next(iter(coordinates))
        known = {row.tobytes(): i for i, row in enumerate(bank.coordinates(data.vectors)[name])}
        seen.append(data.take(np.array([known[row.tobytes()] for row in coordinates[name]])))
        return relearn(bank, coordinates, labels, settings)

    monkeypatch.setattr(crossbank, "fit_bank", fit)
    monkeypatch.setattr(Bank, "refit", refit)
    monkeypatch.setattr(crossbank, "SMALL_BACKGROUND", 0 if shared else 10**6)
    return seen


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_statistics_never_saw_the_prompt_that_they_score(k: int, shared: bool, monkeypatch) -> None:
    data = simulate(2, models=4, prompts=10, seeds=3, strength={"a/1": 1.0, "b/1": 1.0})
    names = view_groups(tuple(data.vectors))
    bank = fit_bank(data, names, BankSettings())
    seen = spy(monkeypatch, data, shared)
    cross = CrossBank(data, bank, BankSettings(), ("free", "same"), 5)
    mixture, table = cross.tables(k)
    assert mixture.mean().shape == (2 if k == 0 else 4, len(data), 4)
    assert sorted(table.rows) == list(range(len(data)))
    for fold, train in enumerate(seen):
        prompts = set(train.prompts)
        assert not prompts & set(data.prompts[table.rows[table.folds == fold]])
        assert len(prompts) == 8
    cross.tables(3)
    assert len(seen) == 5  # banks serve every k


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_new_candidates_are_played_by_statistics_that_never_saw_them(k: int, shared: bool, monkeypatch) -> None:
    data = simulate(2, models=8, prompts=10, seeds=3)
    kin = np.array([f"family-{int(model[-1]) // 2}" for model in data.models])
    data = LabelledEmbeddings(data.vectors, data.models, data.prompts, kin)
    bank = fit_bank(data, {"all": ("v",)}, BankSettings())
    seen = spy(monkeypatch, data, shared)
    cross = CrossBank(data, bank, BankSettings(), ("free", "same"), 5)
    table = cross.tables(k, new=True)[1]
    assert sorted(table.rows) == list(range(len(data)))
    assert len(seen) == 10
    start = 0
    for number, train in enumerate(seen):
        fold = table.rows[table.folds == number // 2]
        rows = fold[~np.isin(data.models[fold], train.models)]
        assert len(rows) == 2 * 3 * len(np.unique(data.models[rows])) > 0
        assert not set(train.prompts) & set(data.prompts[rows])
        assert not set(train.families) & set(data.families[rows])
        start += len(rows)
        # Candidates are the new models alone.
        open_to = np.unique(data.models)[np.isfinite(table.scores[np.isin(table.rows, rows)]).any(axis=0)]
        assert not set(open_to) & set(train.models)
    assert start == len(data)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 20))
def test_half_of_the_models_with_their_families(raw: list[int], seed: int) -> None:
    models = np.array([f"m{i}" for i in range(len(raw))])
    families = np.array([f"f{i}" for i in raw])
    first = half_of_models(models, families, seed)
    assert first.any()
    assert first.all() == (len(set(raw)) == 1)
    assert not set(families[first]) & set(families[~first])
    largest = max(raw.count(i) for i in raw)
    assert abs(first.sum() - len(raw) / 2) <= largest / 2


def test_held_out_scores_are_those_of_an_attributor_that_was_fitted_without_them() -> None:
    data = simulate(3, models=4, prompts=10, seeds=2)
    lda = Lda().fit(data)
    table = lda.cross_scores(0)
    test = table.rows[table.folds == 2]
    apart = Lda().fit(data.take(~np.isin(data.prompts, data.prompts[test]))).scores(data.take(test).vectors)
    ours = table.scores[table.folds == 2]
    factor = (ours * apart).sum() / (apart * apart).sum()  # the weights come from other queries
    assert ours == pytest.approx(factor * apart, rel=1e-6, abs=1e-9)


def test_labels_without_meaning_are_guessed_at_chance() -> None:
    data = simulate(4, models=4, prompts=30, seeds=3, strength={"a/1": 0.0, "b/1": 0.0})
    attributor = Fused().fit(data)
    for k in (0, 2):
        table = attributor.cross_scores(k)
        assert accuracy(table) == pytest.approx(0.25, abs=3 * np.sqrt(0.25 * 0.75 / len(table)))


def test_gather_lines_candidates_up() -> None:
    truth = np.array(["a", "b", "c", "b"])
    parts = [
        (np.array(["a", "c"]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1]), 0),
        (np.array(["b", "c"]), np.array([[5.0, 6.0]]), np.array([2]), 1),
    ]
    table = gather(parts, np.array(["a", "b", "c"]), truth)
    assert table.scores.tolist() == [[1, -np.inf, 2], [-np.inf, 5, 6]]  # row 1 is b's, which was no candidate
    assert (table.truth.tolist(), table.rows.tolist(), table.folds.tolist()) == ([0, 2], [0, 2], [0, 1])


def test_nothing_to_score() -> None:
    empty = labelled(np.empty((0, 2)), [])
    assert len(cross_scores(Euclid, empty, 0)) == 0
    # One prompt is one fold: nothing is left to fit on.
    assert len(cross_scores(Euclid, labelled(np.eye(4), ["a", "a", "b", "b"], ["p"] * 4), 1)) == 0
    assert cross_scores(Euclid, labelled(np.eye(4), ["a", "a", "b", "b"], ["p"] * 4), 1).scores.shape == (0, 2)
