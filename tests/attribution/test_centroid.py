"""Nearest centroid: points on a circle, a slow loop, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from morelli.attribution.centroid import Cosine, Euclid, unit
from morelli.errors import NotEnoughReferencesError
from morelli.types import LabelledEmbeddings
from tests.attribution.toys import circle, labelled, simulate


def test_euclid_on_a_circle() -> None:
    references = labelled(circle([0, 60, 180]), ["a", "a", "b"])
    # The mean of 0° and 60° lies at 30°, cos 30° from the origin.
    at_30, at_180 = Euclid().scores({"v": circle([30, 180]).astype(np.float32)}, references)
    half = np.cos(np.radians(30))
    assert at_30 == pytest.approx([-(1 - half), -np.linalg.norm(circle([30])[0] - [-1, 0])], abs=1e-6)
    assert at_180[1] == pytest.approx(0, abs=1e-6)


def test_cosine_on_a_circle() -> None:
    references = labelled(circle([0, 60, 180]), ["a", "a", "b"])
    scores = Cosine().scores({"v": circle([30, 90]).astype(np.float32)}, references)
    assert scores == pytest.approx(np.cos(np.radians([[0, 150], [60, 90]])), abs=1e-6)


def test_they_differ_where_a_cluster_is_loose() -> None:
    # a's centroid is short (its points lie 160° apart), so that b is nearer although a's direction is.
    references = labelled(circle([-80, 80, 70]), ["a", "a", "b"])
    query = {"v": circle([30]).astype(np.float32)}
    assert Euclid().scores(query, references).argmax() == 1
    assert Cosine().scores(query, references).argmax() == 0


def test_length_does_not_matter() -> None:
    references = labelled(circle([0, 90]) * [[7.0], [0.01]], ["a", "b"])
    scores = Euclid().scores({"v": (100 * circle([45])).astype(np.float32)}, references)
    assert scores[0, 0] == pytest.approx(scores[0, 1], abs=1e-6)


def test_against_scikit_learn_and_a_slow_loop() -> None:
    data = simulate(3, prompts=4)
    query, known = data.take(np.arange(10)), data.take(np.arange(10, len(data)))
    scores = Euclid().scores(query.vectors, known)
    x, y = normalize(known.vectors["v"].astype(float)), normalize(query.vectors["v"].astype(float))
    judge = NearestCentroid().fit(x, known.models)
    assert np.array_equal(judge.classes_[scores.argmax(axis=1)], judge.predict(y))
    for j, model in enumerate(judge.classes_):
        centre = np.mean([row for row, name in zip(x, known.models, strict=True) if name == model], axis=0)
        slow = [-np.sqrt(sum((a - b) ** 2 for a, b in zip(row, centre, strict=True))) for row in y]
        assert scores[:, j] == pytest.approx(slow, abs=1e-9)


def test_named_vectors_count_alike_and_are_matched_by_name() -> None:
    vectors = {"big": 1000 * circle([0, 90, 30]), "small": circle([10, 100, 60])}
    data = labelled(vectors, ["a", "b", "a"])
    references, query = data.take(np.array([0, 1])), data.take(np.array([2]))
    scores = Euclid().scores(query.vectors, references)
    # Angles of 30° and 50° to a, of 60° and 40° to b, each vector over √2; the two vectors are no copies.
    chords = 2 * np.sin(np.radians([[15, 25], [30, 20]]))
    assert scores[0] == pytest.approx(-np.sqrt((chords**2).sum(axis=1) / 2), abs=1e-6)
    names = ("small", "big")
    turned = LabelledEmbeddings(
        {name: references.vectors[name] for name in names}, references.models, references.prompts, references.families
    )
    assert Euclid().scores(query.vectors, turned) == pytest.approx(scores)
    assert Euclid().scores({name: query.vectors[name] for name in names}, references) == pytest.approx(scores)


def test_a_zero_vector_stays_finite() -> None:
    assert unit(np.zeros((1, 3))).tolist() == [[0, 0, 0]]
    scores = Cosine().scores({"v": np.zeros((1, 2), np.float32)}, labelled(circle([0, 90]), ["a", "b"]))
    assert scores.tolist() == [[0, 0]]


def test_the_background_serves_where_there_are_no_references() -> None:
    background = labelled(circle([0, 90]), ["a", "b"])
    query = {"v": circle([10]).astype(np.float32)}
    assert np.array_equal(Euclid().fit(background).scores(query), Euclid().scores(query, background))
    with pytest.raises(NotEnoughReferencesError):
        Euclid().fit(None).scores(query)


def test_case_1_is_the_first_place() -> None:
    """Paper 000, one-vs-many with every model's centroid at hand: accepted if the target's is the nearest."""
    references = labelled(circle([0, 90, 180]), ["a", "target", "z"])
    scores = Euclid().scores({"v": circle([44, 46, 134, 136]).astype(np.float32)}, references)
    accepted = scores.argmax(axis=1) == list(Euclid().candidates(references)).index("target")
    assert accepted.tolist() == [False, True, True, False]
