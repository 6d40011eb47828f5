"""Temperature, conformal p-values and coverage on simulated logits whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import kstest

from morelli.attribution.calibration import (
    MIN_QUERIES,
    Calibration,
    calibrate,
    calibrate_attributor,
    fit_lapse,
    fit_temperature,
)
from morelli.attribution.catalogue import attributor_names, load_attributor
from morelli.attribution.crossfit import OutOfFold
from tests.attribution.toys import simulate, split


def logits(seed: int, n: int, temperature: float, m: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and right models drawn with probabilities softmax(scores/temperature)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3 * temperature, (n, m))
    scores[rng.random((n, m)) < 0.1] = -np.inf
    scores[:, 0] = np.where(np.isfinite(scores).any(axis=1), scores[:, 0], 0.0)
    return scores, (scores / temperature + rng.gumbel(size=scores.shape)).argmax(axis=1)


def table(scores: np.ndarray, truth: np.ndarray, folds: int = 5) -> OutOfFold:
    return OutOfFold(scores, truth, np.arange(len(truth)), np.arange(len(truth)) % folds)


def surprise_of(scores: np.ndarray, temperature: float, lapse: float) -> np.ndarray:
    """−log of the candidates' probabilities, as the definition says it."""
    m = np.isfinite(scores).sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return -np.log(
            np.where(np.isfinite(scores), (1 - lapse) * softmax(scores / temperature, axis=1) + lapse / m, 0)
        )


@pytest.mark.parametrize("temperature", [0.01, 2.5, 700.0])
def test_the_temperature_is_recovered(temperature: float) -> None:
    table = logits(0, 4000, temperature)
    assert fit_temperature(*table) == pytest.approx(temperature, rel=0.1)
    found, lapse = fit_lapse(*table)
    assert found == pytest.approx(temperature, rel=0.1)
    assert 0 <= lapse < 0.02


def test_the_lapse_is_recovered() -> None:
    scores, truth = logits(20, 4000, 5.0)
    rng = np.random.default_rng(0)
    anyone = (np.where(np.isfinite(scores), 0.0, -np.inf) + rng.gumbel(size=scores.shape)).argmax(axis=1)
    temperature, lapse = fit_lapse(scores, np.where(rng.random(4000) < 0.15, anyone, truth))
    assert lapse == pytest.approx(0.15, abs=0.04)
    assert temperature == pytest.approx(5.0, rel=0.15)


def test_probabilities_are_calibrated() -> None:
    calibration = calibrate(table(*logits(1, 4000, 40.0)))
    assert calibration is not None
    scores, truth = logits(2, 4000, 40.0)
    p = np.exp(calibration.log_probabilities(scores))
    assert p.sum(axis=1) == pytest.approx(1)
    top, right = p.max(axis=1), p.argmax(axis=1) == truth
    for low in (0.3, 0.5, 0.7, 0.9):
        inside = (top >= low) & (top < low + 0.1)
        error = np.sqrt(0.25 / inside.sum())
        assert right[inside].mean() == pytest.approx(top[inside].mean(), abs=3 * error)


def test_p_values_of_the_right_model_are_uniform() -> None:
    calibration = calibrate(table(*logits(3, 3000, 5.0)))
    assert calibration is not None
    scores, truth = logits(4, 3000, 5.0)
    p = calibration.p_values(scores)[np.arange(3000), truth]
    assert kstest(p, "uniform").pvalue > 0.01
    # The test can see a wrong temperature.
    wrong = replace(calibration, temperature=calibration.temperature * 3)
    assert kstest(wrong.p_values(scores)[np.arange(3000), truth], "uniform").pvalue < 1e-6


@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.2])
def test_candidate_sets_cover_as_often_as_they_say(epsilon: float) -> None:
    calibration = calibrate(table(*logits(5, 2000, 5.0)))
    assert calibration is not None
    scores, truth = logits(6, 4000, 5.0)
    inside = calibration.p_values(scores) > epsilon
    covered = inside[np.arange(4000), truth].mean()
    # Standard error of calibration and test together.
    assert covered == pytest.approx(1 - epsilon, abs=3 * np.sqrt(epsilon * (1 - epsilon) * (1 / 2000 + 1 / 4000)))
    assert inside.sum(axis=1).mean() < 6


def test_p_values_against_a_slow_count() -> None:
    rng = np.random.default_rng(0)
    surprise, best = np.sort(rng.exponential(size=60)), np.sort(rng.normal(size=60))
    calibration = Calibration(temperature=2.0, lapse=0.03, surprise=surprise, best=best)
    scores = rng.normal(0, 3, (5, 4))
    scores[2, 1] = -np.inf
    slow = [
        [(1 + sum(a >= s for a in calibration.surprise)) / 61 for s in row] for row in surprise_of(scores, 2.0, 0.03)
    ]
    assert calibration.p_values(scores) == pytest.approx(np.array(slow))
    known = [(1 + sum(b <= row.max() for b in best)) / 61 for row in scores]
    assert calibration.known_p_value(scores) == pytest.approx(known)


def test_the_extremes_of_p_values() -> None:
    calibration = Calibration(temperature=1.0, surprise=np.linspace(0.1, 5, 99), best=np.linspace(0, 10, 99))
    sure = np.array([[0.0, -50.0, -np.inf]])
    assert calibration.p_values(sure)[0] == pytest.approx([1.0, 0.01, 0.01])
    assert calibration.known_p_value(np.array([[-1.0, -2.0], [10.0, 0.0]])) == pytest.approx([0.01, 1.0])


def test_known_p_values_are_uniform_for_known_and_small_for_unknown() -> None:
    rng = np.random.default_rng(7)
    calibration = calibrate(table(*logits(8, 2000, 1.0)))
    assert calibration is not None
    assert kstest(calibration.known_p_value(logits(9, 2000, 1.0)[0]), "uniform").pvalue > 0.01
    unknown = rng.normal(-20, 1, (50, 8))
    assert calibration.known_p_value(unknown) == pytest.approx(1 / 2001)


def test_too_few_queries_are_not_calibrated_on() -> None:
    scores, truth = logits(0, MIN_QUERIES, 1.0)
    assert calibrate(table(scores, truth)) is not None
    assert calibrate(table(scores[1:], truth[1:])) is None


def test_a_query_is_not_judged_by_a_temperature_that_it_helped_to_fit() -> None:
    # Fold 0 is on another scale: its surprises must show that the others' temperature does not fit it.
    a, b = logits(10, 100, 50.0), logits(11, 100, 1.0)
    mixed = OutOfFold(
        np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]), np.arange(200), np.repeat([0, 1], 100)
    )
    calibration = calibrate(mixed)
    assert calibration is not None
    swapped = [surprise_of(own[0], *fit_lapse(*other))[np.arange(100), own[1]] for own, other in ((a, b), (b, a))]
    assert calibration.surprise == pytest.approx(np.sort(np.concatenate(swapped)))


@pytest.mark.parametrize("name", attributor_names())
@pytest.mark.parametrize("k", [0, 2])
def test_coverage_on_prompts_that_neither_fitted_nor_calibrated(name: str, k: int) -> None:
    data = simulate(12, models=5, prompts=60, seeds=3, strength={"a/1": 0.4, "b/1": 0.4})
    background, rounds = split(data, 20, 2)
    attributor = load_attributor(name).fit(background)
    calibration = calibrate_attributor(attributor, background, k)
    if name == "plda" and k == 0:
        assert calibration is None  # it cannot do without the prompt
        return
    assert calibration is not None
    covered = []
    for prompt, references, queries in rounds:
        scores = attributor.scores(queries.vectors, references, prompt) if k else attributor.scores(queries.vectors)
        truth = np.searchsorted(attributor.models_, queries.models)
        covered.extend(calibration.p_values(scores)[np.arange(len(queries)), truth] > 0.1)
    assert len(covered) == 100
    assert np.mean(covered) == pytest.approx(0.9, abs=0.09)


def test_of_very_many_queries_some_are_drawn_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draw keeps the models' shares and hardly moves the temperature; fewer queries are all used."""
    rng = np.random.default_rng(3)
    truth = np.arange(3000) % 6
    scores = rng.normal(0, 1, (3000, 6))
    scores[np.arange(3000), truth] += 2
    table = OutOfFold(scores, truth, np.arange(3000), np.arange(3000) // 600)
    whole = calibrate(table)
    monkeypatch.setattr("morelli.attribution.calibration.MOST_QUERIES", 900)
    drawn, again = calibrate(table), calibrate(table)
    assert whole is not None
    assert drawn is not None
    assert again is not None
    assert (len(whole.surprise), len(drawn.surprise)) == (3000, 900)
    assert drawn.temperature == again.temperature
    assert drawn.temperature == pytest.approx(whole.temperature, rel=0.15)
    counts = np.array([np.isclose(drawn.best, best).any() for best in scores.max(axis=1)])
    assert np.bincount(truth[counts], minlength=6).min() > 100  # no model is left out by a step that falls in with it
