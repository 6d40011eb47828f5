"""Ratios of pairs against Gaussian densities, and what a gallery teaches of pairs of models that it lacks."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from morelli.attribution import verification
from morelli.attribution.enough import enough
from morelli.attribution.pair_calibration import fit_pair_calibration
from morelli.attribution.pair_judge import learn_pair_judge
from morelli.attribution.pairs import Pairs, different_models, same_model
from morelli.attribution.verification import cosine_of_pairs, fit_pair_statistics, pair_ratio
from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.types import LabelledEmbeddings


def population(models: int, images: int, *, effect: float = 1.5, seed: int = 0, name: str = "m") -> LabelledEmbeddings:
    """Effect of the model + noise of variance 1, in two views."""
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(models), images)
    vectors = {
        view: (effect * rng.normal(size=(models, 5))[code] + rng.normal(size=(len(code), 5))).astype(np.float32)
        for view in ("one/a", "two/a")
    }
    names = np.array([f"{name}{j:02}" for j in code])
    return LabelledEmbeddings(vectors, names, np.full(len(code), ""), names)


def test_the_ratio_is_that_of_two_gaussian_densities():
    rng = np.random.default_rng(0)
    between, centre = np.array([0.0, 0.3, 2.0, 9.0]), np.array([1.0, -2.0, 0.0, 0.5])
    a, b = rng.normal(size=(2, 6, 4)) * 2
    wanted = np.zeros(6)
    for d in range(4):
        var, cov = 1 + between[d], between[d]
        both = np.stack([a[:, d], b[:, d]], axis=1)
        one = multivariate_normal([centre[d]] * 2, [[var, cov], [cov, var]])
        two = multivariate_normal([centre[d]] * 2, [[var, 0], [0, var]])
        wanted += one.logpdf(both) - two.logpdf(both)
    np.testing.assert_allclose(pair_ratio(a, b, between, centre), wanted)
    np.testing.assert_allclose(pair_ratio(b, a, between, centre), wanted)


def test_cosine_of_known_angles():
    angles = np.radians([0.0, 60.0, 180.0])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = Pairs(np.array([0, 0]), np.array([1, 2]))
    np.testing.assert_allclose(cosine_of_pairs(x, pairs), [0.5, -1.0])


def test_statistics_of_some_models_tell_pairs_of_others_apart():
    learnt, new = fit_pair_statistics(population(20, 6)), population(12, 4, seed=1, name="new")
    rng = np.random.default_rng(0)
    placed = learnt.place(new.vectors)
    same = learnt.ratios(placed, same_model(new.models, None, rng))
    different = learnt.ratios(placed, different_models(new.models, 500, rng))
    assert np.median(same) > 0 > np.median(different)


@pytest.mark.parametrize(("models", "images"), [(1, 5), (4, 1)])
def test_too_little_is_refused(models, images):
    with pytest.raises(NotEnoughReferencesError, match="two images"):
        fit_pair_statistics(population(models, images))


def test_a_calibration_recovers_known_log_odds():
    rng = np.random.default_rng(0)
    # N(1, 1) against N(−1, 1): the log-odds are 2·score.
    found = fit_pair_calibration(rng.normal(1, 1, 20_000), rng.normal(-1, 1, 5000))
    assert found is not None
    x = np.array([-1.0, 0.0, 0.5])
    np.testing.assert_allclose(found.probability(x), 1 / (1 + np.exp(-2 * x)), atol=0.02)
    np.testing.assert_allclose(found.probability([0.0], prior=0.1), 0.1, atol=0.01)
    assert found.pairs == 25_000


def test_a_calibration_learns_nothing_from_scores_that_say_nothing_or_the_contrary():
    rng = np.random.default_rng(0)
    flat = fit_pair_calibration(rng.normal(size=4000), rng.normal(size=4000))
    turned = fit_pair_calibration(rng.normal(-1, 1, 400), rng.normal(1, 1, 400))
    for found in (flat, turned):
        assert found is not None
        np.testing.assert_allclose(found.probability([-2.0, 2.0]), 0.5, atol=0.08)
    assert fit_pair_calibration(np.zeros(49), np.zeros(500)) is None
    with pytest.raises(ArrayError):
        fit_pair_calibration([np.nan] * 60, np.zeros(60))


def test_probabilities_hold_for_pairs_of_models_that_the_gallery_lacks():
    judge = learn_pair_judge(population(24, 6), count=2000)
    assert judge.calibration is not None
    new, rng = population(40, 4, seed=5, name="new"), np.random.default_rng(1)
    placed = judge.statistics.place(new.vectors)
    kinds = [
        judge.calibration.probability(judge.statistics.ratios(placed, pairs))
        for pairs in (same_model(new.models, None, rng), different_models(new.models, 240, rng))
    ]
    p, truth = np.concatenate(kinds), np.repeat([1.0, 0.0], [len(kind) for kind in kinds])
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        inside = (p >= low) & (p <= high)
        assert abs(p[inside].mean() - truth[inside].mean()) < 0.15
    first = {name: values[:2] for name, values in new.vectors.items()}
    assert judge.ratio(first) == pytest.approx(judge.statistics.ratios(placed, Pairs(np.array([0]), np.array([1])))[0])


def test_few_models_are_not_calibrated():
    assert learn_pair_judge(population(3, 9)).calibration is None
    assert learn_pair_judge(population(4, 2)).calibration is None


def test_of_a_large_gallery_a_part_is_learnt_from(monkeypatch):
    data = population(4, 40)
    monkeypatch.setattr("morelli.attribution.pair_judge.MOST", 60)
    judge, part = learn_pair_judge(data), fit_pair_statistics(enough(data, 60))
    pairs = Pairs(np.arange(10), np.arange(10, 20))
    wanted = part.ratios(part.place(data.vectors), pairs)
    np.testing.assert_allclose(judge.statistics.ratios(judge.statistics.place(data.vectors), pairs), wanted)
    assert not np.allclose((whole := fit_pair_statistics(data)).ratios(whole.place(data.vectors), pairs), wanted)


def test_wide_embeddings_are_compared_a_few_pairs_at_a_time(monkeypatch):
    """Residuals of whole pictures: the same cosines, without both sides of all pairs in memory."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2000))
    pairs = Pairs(*rng.integers(12, size=(2, 600)))
    whole = np.einsum("ij,ij->i", x[pairs.first], x[pairs.second])
    sides = 2 * 600 * 2000 * 8
    monkeypatch.setattr(verification, "BLOCK", 7 * 2000)
    tracemalloc.start()
    found = cosine_of_pairs(x, pairs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found, whole)
    assert peak < sides / 20
    # Wider than a block: one pair at a time.
    monkeypatch.setattr(verification, "BLOCK", 1)
    assert np.array_equal(cosine_of_pairs(x, pairs), whole)
    assert len(cosine_of_pairs(x, Pairs(pairs.first[:0], pairs.second[:0]))) == 0
