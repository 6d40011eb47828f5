"""Trials inside a background: the rules of honesty as properties."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.attribution.trials import fold_of_rows, leave_one_out, seeds_per_cell
from tests.attribution.toys import labelled

ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "p", "q", "r"])), max_size=40)


@given(ROWS, st.integers(1, 5), st.randoms(use_true_random=False))
def test_leave_one_out(raw: list[tuple[str, str]], k: int, random: Random) -> None:
    models, prompts = np.array([m for m, _ in raw], dtype="U1"), np.array([p for _, p in raw], dtype="U1")
    rows = np.array(sorted(random.sample(range(len(raw)), random.randint(0, len(raw)))), dtype=np.intp)
    cells = Counter((models[i], prompts[i]) for i in rows if prompts[i])
    fit = {cell: n for cell, n in cells.items() if n >= 2}
    rivals = Counter(prompt for _, prompt in fit)
    asked: Counter[int] = Counter()
    for trial in leave_one_out(models, prompts, k, rows):
        assert not set(trial.queries) & set(trial.references)
        assert {prompts[i] for i in [*trial.queries, *trial.references]} == {trial.prompt} != {""}
        assert {*trial.queries, *trial.references} <= set(rows)
        assert len(set(trial.references)) == len(trial.references)
        per_model = Counter(models[i] for i in trial.references)
        assert per_model == {m: min(k, n - 1) for (m, p), n in fit.items() if p == trial.prompt}
        assert len({models[i] for i in trial.queries}) == len(trial.queries)
        asked.update(trial.queries)
    # Every image that has a sibling and a rival is asked once.
    eligible = {i for i in rows if (models[i], prompts[i]) in fit and rivals[prompts[i]] >= 2}
    assert asked == dict.fromkeys(eligible, 1)


@given(st.lists(st.sampled_from(["", "p", "q", "r", "s"]), max_size=40), st.integers(2, 6))
def test_folds_share_no_prompt(raw: list[str], folds: int) -> None:
    prompts = np.array(raw, dtype="U1")
    of_row = fold_of_rows(prompts, folds)
    assert of_row.shape == prompts.shape
    for prompt in set(raw) - {""}:
        assert len(set(of_row[prompts == prompt])) == 1
    units = len(set(raw) - {""}) + raw.count("")
    dealt = Counter({prompt: of_row[i] for i, prompt in enumerate(p or f"row {i}" for i, p in enumerate(raw))}.values())
    assert len(dealt) == min(folds, units)
    assert not dealt or max(dealt.values()) - min(dealt.values()) <= 1
    assert np.array_equal(of_row, fold_of_rows(prompts, folds))


@pytest.mark.parametrize(
    ("models", "prompts", "expected"),
    [("aabb", "pppp", 2), ("abab", "ppqq", 1), ("aaab", "pppp", 2), ("ab", None, 0)],
)
def test_seeds_per_cell(models: str, prompts: str | None, expected: int) -> None:
    data = labelled(np.zeros((len(models), 1)), list(models), None if prompts is None else list(prompts))
    assert seeds_per_cell(data) == expected
