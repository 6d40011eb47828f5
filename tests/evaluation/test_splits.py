"""Whatever the data: a query is never its own reference, folds share no prompt, every image has its turn."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.evaluation.splits import (
    any_prompt_folds,
    candidate_partition,
    open_set_rounds,
    prompt_folds,
    prompt_units,
    same_prompt_trials,
)

labelled = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "p", "q", "r", "s"])), min_size=1, max_size=60
)


def grid(n_models: int, n_prompts: int, each: int):
    """A balanced set in the order of a folder: model by model, prompt by prompt, seed by seed."""
    cells = [(f"m{j}", f"p{i:02}") for j in range(n_models) for i in range(n_prompts) for _ in range(each)]
    models, prompts = np.array(cells).T
    return models, prompts


def test_units_number_prompts_and_lone_rows():
    units = prompt_units(["b", "", "a", "", "b"])
    assert units[0] == units[4]
    assert sorted(set(units.tolist())) == [0, 1, 2, 3]


@settings(deadline=None, max_examples=60)
@given(labelled, st.integers(2, 9), st.integers(0, 99))
def test_folds_split_no_prompt_and_are_even(rows, n_folds, seed):
    models, prompts = np.array(rows).T
    folds = prompt_folds(prompts, n_folds, seed, models)
    units = prompt_units(prompts)
    assert all(len(set(folds[units == u])) == 1 for u in set(units))
    sizes = np.bincount([folds[units == u][0] for u in sorted(set(units))])
    assert len(sizes) == min(n_folds, units.max() + 1)
    assert sizes.max() - sizes.min() <= 1
    assert (folds == prompt_folds(prompts, n_folds, seed, models)).all()


def test_folds_depend_on_the_seed():
    prompts = [f"p{i}" for i in range(40)]
    assert (prompt_folds(prompts, 5, 0) != prompt_folds(prompts, 5, 1)).any()


def test_lone_rows_of_a_model_are_dealt_apart():
    models = np.repeat(["a", "b", "c"], 5)
    folds = prompt_folds([""] * 15, 5, 0, models)
    assert all(sorted(folds[models == name]) == [0, 1, 2, 3, 4] for name in "abc")


@pytest.mark.parametrize(("k", "n_trials", "turns"), [(1, 4, 3), (2, 6, 3), (3, 4, 1)])
def test_a_balanced_set_uses_every_choice_of_references(k, n_trials, turns):
    models, prompts = grid(7, 6, 4)
    plan = same_prompt_trials(models, prompts, k, prompt_folds(prompts, 3))
    assert plan.notes == ()
    assert len(plan) == 6 * n_trials
    assert (np.bincount(np.concatenate([t.queries for t in plan])) == turns).all()
    choices = {tuple(t.references[:k]) for t in plan if t.prompt == "p00"}
    assert choices == set(combinations(range(4), k))  # rows 0–3 are m0's of p00
    for t in plan:
        assert len(t.references) == 7 * k
        assert len(t.queries) == 7 * (4 - k)
        held = [
            np.flatnonzero(np.isin(np.arange(s, s + 4), t.queries)).tolist()
            for s in range(int(t.prompt[1:]) * 4, len(models), 24)
        ]
        assert all(h == held[0] for h in held)  # the same seeds for every model


@pytest.mark.parametrize(("each", "k", "max_choices"), [(30, 10, 4), (30, 29, 4), (10, 3, 8), (9, 7, 1), (12, 1, 5)])
def test_many_choices_are_sampled_and_all_images_have_their_turn(each, k, max_choices):
    models, prompts = grid(3, 2, each)
    plan = same_prompt_trials(models, prompts, k, prompt_folds(prompts, 2), max_choices=max_choices)
    turns = np.bincount(np.concatenate([t.queries for t in plan]), minlength=len(models))
    assert turns.min() >= 1
    assert turns.max() - turns.min() <= 1
    assert len(plan) == 2 * max(max_choices, -(-each // (each - k)))
    assert all(len(t.references) == 3 * k for t in plan)


@settings(deadline=None, max_examples=150)
@given(labelled, st.integers(1, 5), st.integers(0, 9), st.integers(1, 8))
def test_same_prompt_properties(rows, k, seed, max_choices):
    models, prompts = np.array(rows).T
    folds = prompt_folds(prompts, 3, seed)
    try:
        plan = same_prompt_trials(models, prompts, k, folds, seed, max_choices)
    except NotEnoughReferencesError:
        plan = None
    asked = set()
    for p in {p for p in prompts if p}:
        cells = {name: np.flatnonzero((models == name) & (prompts == p)) for name in set(models[prompts == p])}
        if len(cells) > 1:
            asked |= {int(r) for cell in cells.values() if len(cell) > 1 for r in cell}
    assert (plan is None) == (not asked)
    if plan is None:
        return
    for t in plan:
        assert not set(t.references) & set(t.queries)
        assert set(prompts[t.references]) == {t.prompt} == set(prompts[t.queries])
        assert (folds[t.queries] == t.fold).all()
        assert (np.diff(t.references) > 0).all()
        names = set(models[prompts == t.prompt])
        assert set(models[t.references]) == names  # every model of the prompt is a candidate
        for name in names:
            n = int(((models == name) & (prompts == t.prompt)).sum())
            assert (models[t.references] == name).sum() == min(k, max(n - 1, 1))
    assert {int(r) for t in plan for r in t.queries} == asked  # every image that can be is a query
    again = same_prompt_trials(models, prompts, k, folds, seed, max_choices)
    assert [t.references.tolist() for t in plan] == [t.references.tolist() for t in again]


def test_what_the_data_did_not_allow_is_counted():
    models = np.array(list("aaabbbcccaa"))
    prompts = np.array(["p"] * 6 + ["q"] * 3 + ["", "p"])
    plan = same_prompt_trials(models, prompts, 3, prompt_folds(prompts, 2, models=models))
    # p: a has four images, b three (short of 3 + 1); q: one model only; one row has no prompt.
    assert any(note.startswith("1 images have no known prompt") for note in plan.notes)
    assert any(note.startswith("3 images are of prompts") for note in plan.notes)
    assert any(note.startswith("1 times a model had fewer than 3") for note in plan.notes)
    lone = same_prompt_trials(list("aab"), ["p"] * 3, 1, [0, 0, 0])
    assert lone.notes == ("1 images are their model's only one of their prompt: references there, never queries.",)
    assert [(t.references.tolist(), t.queries.tolist()) for t in lone] == [([0, 2], [1]), ([1, 2], [0])]


def test_same_prompt_refuses_what_cannot_be():
    with pytest.raises(NotEnoughReferencesError, match="any-prompt"):
        same_prompt_trials(list("ab"), list("pp"), 1, [0, 0])
    with pytest.raises(ArrayError, match="more than one fold"):
        same_prompt_trials(list("aabb"), list("pppp"), 1, [0, 0, 1, 1])
    for bad in ({"k": 0}, {"k": 1, "max_choices": 0}):
        with pytest.raises(ArrayError):
            same_prompt_trials(list("aabb"), list("pppp"), folds=[0] * 4, **bad)
    with pytest.raises(ArrayError, match="folds"):
        same_prompt_trials(list("aabb"), list("pppp"), 1, [0])


@settings(deadline=None, max_examples=100)
@given(labelled, st.integers(2, 8), st.none() | st.integers(1, 4), st.integers(0, 9))
def test_any_prompt_properties(rows, n_folds, k, seed):
    models, prompts = np.array(rows).T
    try:
        plan = any_prompt_folds(models, prompts, n_folds, k, seed)
    except NotEnoughReferencesError:
        assume(False)
        return
    units = prompt_units(prompts)
    for t in plan:
        assert not set(units[t.references]) & set(units[t.queries])
        assert set(models[t.queries]) <= set(models[t.references])
        assert len(set(models[t.references])) >= 2
        outside = np.flatnonzero(prompt_folds(prompts, n_folds, seed, models) != t.fold)
        for name in set(models[outside]):
            there = int((models[outside] == name).sum())
            assert (models[t.references] == name).sum() == (there if k is None else min(k, there))
    queries = np.concatenate([t.queries for t in plan])
    assert len(set(queries)) == len(queries)
    dropped = len(models) - len(queries)
    assert dropped == sum(int(note.split()[0]) for note in plan.notes if "no queries" in note)
    again = any_prompt_folds(models, prompts, n_folds, k, seed)
    assert [t.references.tolist() for t in plan] == [t.references.tolist() for t in again]


def test_any_prompt_on_a_balanced_set_asks_every_image_once():
    models, prompts = grid(5, 14, 2)
    plan = any_prompt_folds(models, prompts)
    assert len(plan) == 7
    assert plan.notes == ()
    assert sorted(np.concatenate([t.queries for t in plan])) == list(range(len(models)))


def test_any_prompt_without_prompts_still_works():
    plan = any_prompt_folds(np.repeat(["a", "b"], 6), [""] * 12, 3)
    assert sum(len(t.queries) for t in plan) == 12


def test_any_prompt_refuses_one_prompt():
    with pytest.raises(NotEnoughReferencesError, match="same-prompt"):
        any_prompt_folds(list("aabb"), ["p"] * 4)
    with pytest.raises(ArrayError):
        any_prompt_folds(list("aabb"), list("pqpq"), k=0)
    with pytest.raises(ArrayError):
        any_prompt_folds(list("aabb"), list("pqpq"), n_folds=1)


def test_each_model_or_family_is_left_out_once():
    models, families = np.array(list("aabbcc")), np.array(list("xxxxyy"))
    by_model = open_set_rounds(models, families)
    assert [r.left_out for r in by_model] == ["a", "b", "c"]
    assert by_model.items[0].unknown.tolist() == [0, 1]
    assert by_model.items[0].known.tolist() == [2, 3, 4, 5]
    by_family = open_set_rounds(models, families, by="family")
    assert [r.left_out for r in by_family] == ["y"]  # without x one model remains
    assert by_family.notes[0].startswith("1 of 2 rounds")
    with pytest.raises(NotEnoughReferencesError):
        open_set_rounds(list("ab"), list("ab"))


@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from("xyzuvw"), min_size=2, max_size=20), st.integers(0, 9))
def test_partitions_split_no_family(kinds, seed):
    models = np.array([f"m{i:02}" for i in range(len(kinds))])
    families = np.array(kinds)
    try:
        parts = candidate_partition(np.repeat(models, 2), np.repeat(families, 2), seed, repeats=4)
    except NotEnoughReferencesError:
        sizes = np.unique(families, return_counts=True)[1]
        subsets = [sum(c) for r in range(1, len(sizes)) for c in combinations(sizes, r)]
        assert not any(2 <= s <= len(models) - 2 for s in subsets)
        return
    kin = dict(zip(models, families, strict=True))
    for candidates, background in parts:
        assert sorted([*candidates, *background]) == sorted(models)
        assert not {kin[c] for c in candidates} & {kin[b] for b in background}
        assert min(len(candidates), len(background)) >= 2
    keys = [tuple(c) for c, _ in parts]
    assert len(set(keys)) == len(keys)
    assert len(parts) % 2 == 0
    assert [tuple(c) for c, _ in candidate_partition(models, families, seed, 4)] == keys


def test_halves_are_about_even():
    models = [f"m{i:02}" for i in range(41)]
    for candidates, background in candidate_partition(models, models, repeats=3):
        assert abs(len(candidates) - len(background)) == 1


def test_labels_of_unequal_length_are_refused():
    for call in (
        lambda: any_prompt_folds(["a"], ["p", "q"]),
        lambda: open_set_rounds(["a"], []),
        lambda: prompt_folds([]),
        lambda: prompt_units([["p"]]),
    ):
        with pytest.raises(ArrayError):
            call()
