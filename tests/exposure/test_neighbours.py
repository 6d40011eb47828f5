"""Nearest neighbours: the same as in float64 and as scikit-learn's, ties and copies told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from morelli.errors import ArrayError
from morelli.exposure import neighbours
from morelli.exposure.neighbours import distinct, nearest


def slow(x: np.ndarray) -> tuple[list[set[int]], np.ndarray]:
    """All nearest rows of each row, by loops in float64."""
    points = x.astype(np.float32).astype(np.float64)
    out, first = [], []
    for i in range(len(points)):
        squared = ((points - points[i]) ** 2).sum(axis=1)
        squared[i] = np.inf
        out.append(set(np.flatnonzero(squared <= squared.min() * (1 + 1e-12)).tolist()))
        first.append(min(out[-1]))
    return out, np.array(first)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(2, 14), st.integers(1, 4)), elements=st.integers(-4, 4).map(float)),
    st.sampled_from([0.0, 100.0]),
)
def test_ties_and_neighbours_of_grids_are_those_of_a_loop(x, far):
    wanted, first = slow(x + np.float32(far))
    found = nearest(x + np.float32(far))
    got = [set(found.columns[found.rows == i].tolist()) for i in range(len(x))]
    assert got == wanted
    assert found.index.tolist() == first.tolist()
    assert found.ties == sum(len(each) > 1 for each in wanted)


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_same_as_scikit_learn_on_a_prompt_of_the_papers_size(shift):
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((22, 320)) * 0.4
    x = (np.repeat(centres, 30, axis=0) + rng.standard_normal((660, 320)) + shift).astype(np.float32)
    reference = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(x.astype(np.float64))
    assert np.array_equal(nearest(x).index, reference.kneighbors(return_distance=False)[:, 0])


def test_near_ties_are_settled_in_double_precision():
    # Distances 1 and 1 + 1e-7 from the first row: float32 sums of squares around 3e4 cannot tell them apart.
    base = np.full(400, 9.0, dtype=np.float32)
    x = np.stack([base, base, base, -base])
    x[1, 0] += np.float32(1.0) + np.float32(2.0**-20)
    x[2, 1] += np.float32(1.0)
    assert nearest(x).index[0] == 2
    squares = (x**2).sum(axis=1)
    naive = squares[0] + squares - 2 * (x @ x[0])
    assert abs(float(naive[1] - naive[2])) != pytest.approx(2.0**-19, rel=0.5)  # what is settled is not seen there


def test_blocks_give_the_same(monkeypatch):
    x = np.random.default_rng(2).standard_normal((101, 7)).astype(np.float32)
    whole = nearest(x)
    monkeypatch.setattr(neighbours, "_CELLS", 101 * 10)
    monkeypatch.setattr(neighbours, "_PAIRS", 7)
    parts = nearest(x)
    assert np.array_equal(whole.index, parts.index)
    assert np.array_equal(whole.rows, parts.rows)


def test_distinct_keeps_one_of_a_model_and_none_of_two():
    x = np.array([[1, 2], [1, 2], [2, 1], [5, 5], [5, 5], [0, 3]], dtype=np.float32)
    # Rows 0 and 1 are one model's, 3 and 4 two models'; rows 0, 2 and 5 have equal sums and differ.
    assert distinct(x, ["a", "a", "b", "a", "b", "b"]).tolist() == [True, False, True, False, False, True]


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.zeros(3), np.zeros((2, 0)), [[0.0], [np.nan]], [[0.0], [1e30]]])
def test_bad_input(bad):
    with pytest.raises(ArrayError):
        nearest(bad)
