"""Battles: the joint assignment is the best of all pairs of different models, and never a model against itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from morelli.errors import ArrayError
from morelli.exposure.battles import judge_alone, judge_jointly, pair_up

scores = st.integers(2, 6).flatmap(lambda m: arrays(np.float64, (2, 3, m), elements=st.floats(-9, 9, allow_nan=False)))


@settings(max_examples=80, deadline=None)
@given(scores)
def test_best_of_all_pairs(table):
    first, second = table
    found = judge_jointly(first, second)
    m = first.shape[1]
    for row in range(len(first)):
        a, b = found[row]
        assert a != b
        total = first[row, a] + second[row, b]
        best = max(first[row, i] + second[row, j] for i, j in itertools.permutations(range(m), 2))
        assert total == pytest.approx(best)
        rows, columns = linear_sum_assignment(-np.stack([first[row], second[row]]))
        assert total == pytest.approx(np.stack([first[row], second[row]])[rows, columns].sum())


def test_alone_says_one_model_twice_and_together_does_not():
    a, b = [[3.0, 2.9, -np.inf]], [[3.0, 0.0, 1.0]]
    assert judge_alone(a, b).tolist() == [[0, 0]]
    assert judge_jointly(a, b).tolist() == [[1, 0]]


def test_pairs_are_of_one_group_and_two_models():
    groups, truth = np.repeat([0, 1], 4), np.array([0, 0, 1, 2, 1, 1, -1, 0])
    pairs = pair_up(groups, truth, 100, seed=1)
    wanted = {frozenset(p) for p in [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (4, 7), (5, 7)]}
    assert {frozenset(p) for p in pairs.tolist()} == wanted
    assert len(pairs) == len(wanted)
    assert len(pair_up(groups, truth, 3)) == 3
    assert pair_up(groups, np.zeros(8, dtype=int), 3).shape == (0, 2)


def test_which_image_is_a_is_drawn():
    pairs = pair_up(np.zeros(60), np.arange(60), 5000, seed=0)
    assert 0.4 < (pairs[:, 0] < pairs[:, 1]).mean() < 0.6


@pytest.mark.parametrize(
    ("first", "second"),
    [([[1.0]], [[1.0]]), ([[1.0, 2.0]], [[1.0, 2.0, 3.0]]), ([[1.0, np.nan]], [[1.0, 2.0]]),
     ([[1.0, -np.inf]], [[1.0, 2.0]])],
)  # fmt: skip
def test_bad_input(first, second):
    with pytest.raises(ArrayError):
        judge_jointly(first, second)
