"""Pairs: every one that there is, none twice, uniformly; and cuts of models that judge each pair once."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.attribution.halves import across_halves, deal_halves
from morelli.attribution.pairs import Pairs, different_models, draw_pairs, same_model
from morelli.errors import ArrayError, NotEnoughReferencesError

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=14)


def as_set(pairs: Pairs) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}


def slow(equal, different) -> set[frozenset[int]]:
    rows = range(len(equal))
    return {
        frozenset((i, j)) for i, j in combinations(rows, 2) if equal[i] == equal[j] and different[i] != different[j]
    }


@given(LABELS, st.integers(1, 30), st.integers(0, 99))
def test_pairs_are_those_of_a_slow_loop_and_none_comes_twice(labels, count, seed):
    equal, different = (list(column) for column in zip(*labels, strict=True))
    wanted = slow(equal, different)
    everyone = draw_pairs(equal, different, None, np.random.default_rng(seed))
    assert as_set(everyone) == wanted
    assert len(everyone) == len(wanted)
    some = draw_pairs(equal, different, count, np.random.default_rng(seed))
    assert len(some) == len(as_set(some)) == min(count, len(wanted))
    assert as_set(some) <= wanted


def test_pairs_are_drawn_uniformly():
    models = np.array(list("aaaabbc"))
    counts: dict[frozenset[int], int] = {}
    for seed in range(3000):
        (pair,) = as_set(different_models(models, 1, np.random.default_rng(seed)))
        counts[pair] = counts.get(pair, 0) + 1
    assert set(counts) == slow([0] * 7, models)
    # 14 pairs, 214 each on average with a standard deviation of 14.
    assert all(abs(count - 3000 / 14) < 5 * 14 for count in counts.values())


def test_many_images_are_no_trouble():
    models = np.arange(60_000) % 300
    pairs = different_models(models, 5000, np.random.default_rng(0))
    assert len(as_set(pairs)) == 5000
    assert (models[pairs.first] != models[pairs.second]).all()
    assert len(same_model(models, 5000, np.random.default_rng(0))) == 5000


def test_bad_labels_are_refused():
    for arguments in (([0, 1], [0], 3), ([0, 1], [0, 1], 0)):
        with pytest.raises(ArrayError):
            draw_pairs(*arguments, np.random.default_rng(0))


@given(st.integers(4, 12), st.integers(1, 3), st.integers(0, 50))
def test_every_pair_is_judged_once_by_what_lacks_both_models(count, per_family, seed):
    models = np.repeat([f"m{j:02}" for j in range(count)], 3)
    families = np.repeat([f"f{j // per_family:02}" for j in range(count)], 3)
    halves = deal_halves(models, families, seed)
    everyone = draw_pairs(np.zeros(len(models)), np.arange(len(models)), None, np.random.default_rng(0))
    times = np.zeros(len(everyone), dtype=int)

    def judge(side, pairs):
        taught = set(models[side.there])
        assert not taught & (set(models[pairs.first]) | set(models[pairs.second]))
        assert taught
        assert not (side.here & side.there).any()
        return np.ones(len(pairs))

    for side in halves:
        times += halves.judged(side, everyone)
    assert (times == 1).all()
    assert (across_halves(halves, everyone, judge) == 1).all()
    assert halves.families_whole == (len(set(families)) >= 4)
    if halves.families_whole:
        assert all(len(set(halves.groups[families == family])) == 1 for family in set(families))
    assert set(halves.groups) == {0, 1, 2, 3}


def test_three_models_cannot_be_cut():
    with pytest.raises(NotEnoughReferencesError, match="4 models"):
        deal_halves(["a", "b", "c"] * 2, ["a", "b", "c"] * 2)
