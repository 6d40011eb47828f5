"""Nearest rows: exactly those of a plain search, whatever the sketch leaves unread; and centroids that are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from morelli.attribution import nearest as module
from morelli.attribution.centroid import Cosine, Euclid
from morelli.attribution.nearest import Nearest, coordinates
from morelli.types import LabelledEmbeddings


def plain(space: NDArray[np.float32], query: NDArray[np.float32], count: int, rows: NDArray[np.intp]) -> list[int]:
    """A slow search in double precision."""
    far = [float(np.sqrt(((space[row].astype(np.float64) - query[0].astype(np.float64)) ** 2).sum())) for row in rows]
    return [int(rows[i]) for i in np.argsort(far, kind="stable")[:count]]


@given(
    seed=st.integers(0, 10_000),
    d=st.integers(1, 60),
    spread=st.sampled_from([0.0, 0.3, 3.0]),
    offset=st.sampled_from([0.0, 100.0]),
    left_out=st.integers(0, 30),
)
@settings(deadline=None, max_examples=40)
def test_the_sketch_loses_nothing(seed: int, d: int, spread: float, offset: float, left_out: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.normal(0, spread, (7, d))
    space = (offset + groups[rng.integers(0, 7, 600)] + rng.normal(0, 1, (600, d))).astype(np.float32)
    query = (offset + groups[:1] + rng.normal(0, 1, (1, d))).astype(np.float32)
    rows = np.setdiff1d(np.arange(600), rng.integers(0, 600, left_out))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LARGE", 50)
        patch.setattr(module, "TRIED", 8)
        patch.setattr(module, "BLOCK", 64)
        patch.setattr(module, "SKETCHED", 4)
        found = Nearest(space).find(query, 5, rows if left_out else None)
    wanted = plain(space, query, 5, rows)
    distances = np.linalg.norm(space[[row for row, _ in found]] - query, axis=1)
    # Rows as near as each other to single precision may change places.
    np.testing.assert_allclose(distances, np.linalg.norm(space[wanted] - query, axis=1), rtol=1e-5)
    np.testing.assert_allclose([far for _, far in found], distances, rtol=1e-6)
    assert [far for _, far in found] == sorted(far for _, far in found)


def test_most_of_a_large_space_is_not_read() -> None:
    rng = np.random.default_rng(0)
    groups = rng.normal(0, 1, (40, 128))
    labels = np.arange(30_000) % 40
    space = (groups[labels] + rng.normal(0, 0.2, (30_000, 128))).astype(np.float32)
    search, read = Nearest(space), []
    whole = search._distances
    search._distances = lambda query, rows: read.append(len(rows)) or whole(query, rows)  # type: ignore[method-assign]
    query = (groups[:1] + rng.normal(0, 0.2, (1, 128))).astype(np.float32)
    found = search.find(query, 5)
    assert [row for row, _ in found] == plain(space, query, 5, np.arange(30_000))
    assert sum(read) < 3000


def test_more_rows_than_there_are_and_equal_rows() -> None:
    space = np.zeros((3, 2), np.float32)
    assert Nearest(space).find(np.zeros((1, 2), np.float32), 9) == [(0, 0.0), (1, 0.0), (2, 0.0)]


def made(n: int, seed: int) -> LabelledEmbeddings:
    rng = np.random.default_rng(seed)
    labels = np.array(["b", "a", "c"])[rng.integers(0, 3, n)]
    vectors = {"u": rng.normal(0, 1, (n, 5)).astype(np.float32), "v": rng.normal(0, 1, (n, 3)).astype(np.float32)}
    return LabelledEmbeddings(vectors, labels, np.full(n, "p"), labels)


@pytest.mark.parametrize("kind", [Euclid, Cosine])
def test_kept_centroids_are_those_of_the_background_and_of_no_earlier_one(kind: type[Euclid] | type[Cosine]) -> None:
    fitted = kind()
    for seed in (1, 2):
        background, queries = made(50, seed), made(4, seed + 10).vectors
        fitted.fit(background)
        for chosen in (queries, {"v": queries["v"]}, queries):
            expected = kind().fit(None).scores(chosen, background)
            np.testing.assert_array_equal(fitted.scores(chosen), expected)


def test_coordinates_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = made(70, 3).vectors
    whole = coordinates(Euclid(), vectors)
    monkeypatch.setattr(module, "BLOCK", 16)
    np.testing.assert_array_equal(coordinates(Euclid(), vectors), whole)
    assert coordinates(Euclid(), {"v": np.empty((0, 3), np.float32)}).shape == (0, 3)
