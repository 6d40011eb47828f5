"""Conditions on drawn embeddings whose truth is known: steps and scatters that were put in are found and undone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morelli.attribution import persist
from morelli.attribution.calibration import MIN_COPIED_IMAGES, Calibration, CalibrationPair, calibrate_attributor
from morelli.attribution.conditions import CLEAN, MIN_COPIES, Mixture, fit_conditions
from morelli.attribution.crossfit import OutOfFold
from morelli.attribution.gaussian import TwoCovariance
from morelli.attribution.likelihood import Fused, Lda
from morelli.types import DegradedEmbeddings, LabelledEmbeddings

D, MODELS, PROMPTS, SEEDS = 24, 5, 24, 3
RNG = np.random.default_rng(5)
EFFECT = RNG.normal(size=(MODELS, D)) * 0.8
STEP = {"jpeg:80": RNG.normal(size=D) * 2.5, "blur:0.7": RNG.normal(size=D) * 2.5}
# JPEG wipes out the first half of the directions in which models differ.
SCATTER = {"jpeg:80": np.r_[np.full(D // 2, 3.0), np.full(D - D // 2, 0.1)], "blur:0.7": np.full(D, 0.2)}


def world(seed: int, prompts: int = PROMPTS) -> LabelledEmbeddings:
    rng = np.random.default_rng(seed)
    model = np.tile(np.repeat(np.arange(MODELS), SEEDS), prompts)
    prompt = np.repeat(np.arange(prompts), MODELS * SEEDS)
    content = rng.normal(size=(prompts, D)) * 0.5
    x = EFFECT[model] + content[prompt] + rng.normal(size=(len(model), D)) * 0.5
    names = np.char.add("m", model.astype(str))
    return LabelledEmbeddings({"v/a": x.astype(np.float32)}, names, np.char.add("p", prompt.astype(str)), names)


def degrade(x: np.ndarray, name: str, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=x.shape) * SCATTER[name]
    return (x + STEP[name] + noise).astype(np.float32)


def with_copies(data: LabelledEmbeddings, count: int) -> LabelledEmbeddings:
    rows = np.random.default_rng(9).permutation(len(data))[:count]
    parts = [degrade(data.vectors["v/a"][rows], name, 11 + i) for i, name in enumerate(STEP)]
    names = np.repeat(list(STEP), count)
    return replace(data, degraded=DegradedEmbeddings(names, np.tile(rows, len(STEP)), {"v/a": np.concatenate(parts)}))


@pytest.fixture(scope="module")
def background() -> LabelledEmbeddings:
    return with_copies(world(1), 60)


@pytest.fixture(scope="module")
def fitted(background: LabelledEmbeddings) -> Fused:
    return Fused().fit(background)


def accuracy(attributor: Fused | Lda, x: np.ndarray, truth: np.ndarray) -> float:
    best = attributor.scores({"v/a": x}).argmax(axis=1)
    return float((attributor.models_[best] == truth).mean())


def test_a_step_and_a_scatter_are_found(background: LabelledEmbeddings, fitted: Fused) -> None:
    conditions, bank = fitted.conditions_, fitted.bank_
    assert conditions is not None and bank is not None
    assert conditions.names == (CLEAN, "blur:0.7", "jpeg:80")
    subspace = next(iter(bank.groups.values())).subspace
    expected = (STEP["jpeg:80"] / subspace.scale) @ subspace.basis
    found = conditions.shifts["v"][2]
    # 60 copies with a scatter of 3 in half of the directions: a standard error of 0.4 there.
    assert np.linalg.norm(found - expected) < 0.25 * np.linalg.norm(expected)
    assert not conditions.shifts["v"][0].any()


@pytest.mark.parametrize("name", list(STEP))
def test_degraded_queries_are_compared_better_and_clean_ones_as_before(
    background: LabelledEmbeddings, fitted: Fused, name: str
) -> None:
    test = world(2)
    plain = Fused().fit(replace(background, degraded=None))
    spoiled = degrade(test.vectors["v/a"], name, 77)
    assert fitted.is_degraded({"v/a": spoiled}).mean() > 0.95
    assert np.mean([found == name for found in fitted.conditions_of({"v/a": spoiled})]) > 0.9
    assert fitted.is_degraded(test.vectors).mean() < 0.05
    assert accuracy(fitted, spoiled, test.models) > accuracy(plain, spoiled, test.models) + 0.1
    clean, before = (
        accuracy(fitted, test.vectors["v/a"], test.models),
        accuracy(plain, test.vectors["v/a"], test.models),
    )
    assert clean == pytest.approx(before, abs=0.01)


def test_each_condition_has_weights_of_its_own() -> None:
    """JPEG leaves nothing of the first view and blur nothing of the second: each is compared by what it leaves."""
    rng = np.random.default_rng(3)
    one = world(3)
    x = one.vectors["v/a"]
    y = world(3).vectors["v/a"] + rng.normal(size=x.shape).astype(np.float32) * 0.5
    rows = rng.permutation(len(x))[:72]

    def copied(values: np.ndarray, spoiled: bool) -> np.ndarray:
        """Spoiled: the values of another picture, so that no step and no scatter says that nothing is left."""
        return (values[rng.permutation(len(values))[: len(rows)]] if spoiled else values[rows]) + np.float32(6.0)

    made = {
        "v/a": np.concatenate([copied(x, True), copied(x, False)]),
        "w/a": np.concatenate([copied(y, False), -copied(y, True)]),
    }
    names = np.repeat(["jpeg:80", "blur:0.7"], len(rows))
    degraded = DegradedEmbeddings(names, np.tile(rows, 2), made)
    fitted = Fused().fit(replace(one, vectors={"v/a": x, "w/a": y}, degraded=degraded))
    under_jpeg, under_blur = fitted.weights(0, condition="jpeg:80"), fitted.weights(0, condition="blur:0.7")
    assert under_jpeg[0] / under_jpeg[1] < 0.9 * under_blur[0] / under_blur[1]
    assert under_jpeg[0] < under_jpeg[1]
    assert under_blur[1] < under_blur[0]
    with_few = fitted.weights(0, condition="webp:80")
    assert ((np.minimum(under_jpeg, under_blur) <= with_few) & (with_few <= np.maximum(under_jpeg, under_blur))).all()
    table = fitted.cross_scores(0, degraded=True)
    assert table.conditions is not None
    assert sorted(np.unique(table.conditions, return_counts=True)[1].tolist()) == [72, 72]


def test_a_condition_s_scores_are_those_of_the_noisier_model(background: LabelledEmbeddings) -> None:
    """One-dimensional, by hand: W + N and the step are what a query is compared under."""
    rng = np.random.default_rng(0)
    models = np.repeat(["a", "b"], 400)
    x = np.where(models == "a", -1.0, 1.0) + rng.normal(size=800)
    prompts = np.arange(800).astype(str)
    copies = DegradedEmbeddings(
        np.repeat("jpeg:80", 800), np.arange(800), {"v/a": (x + 10.0 + rng.normal(size=800) * 2.0)[:, None]}
    )
    data = LabelledEmbeddings({"v/a": x[:, None].astype(np.float32)}, models, prompts, models, copies)
    lda = Lda().fit(data)
    assert lda.bank_ is not None and lda.conditions_ is not None
    query = {"v/a": np.array([[11.0]], dtype=np.float32)}
    mixture = lda._component_scores(lda.bank_, query, data, lda.models_, None, 0)
    assert mixture.likeliest.tolist() == ["jpeg:80"]
    layers = mixture.layers[:, mixture.conditions == "jpeg:80"]
    # Log-likelihood ratio of b over a at 11 − 10 = 1 under variance 1 + 4: ((1 + 1)² − (1 − 1)²) / (2 · 5) = 0.4.
    assert layers[0, 0, 1] - layers[0, 0, 0] == pytest.approx(0.4, rel=0.15)


def test_a_query_in_doubt_is_compared_under_both_conditions_by_the_law_of_total_probability() -> None:
    """By hand: three queries, two models, one component; the second query is in doubt."""
    layers = np.array([[[1.0, 0.0], [2.0, -1.0], [0.0, 3.0], [-np.inf, 4.0]]])
    conditions = np.array([CLEAN, CLEAN, "jpeg:80", "jpeg:80"])
    likeliest = np.array([CLEAN, CLEAN, "jpeg:80"])
    shares, sharp = np.array([1.0, 0.75, 0.25, 1.0]), np.array([1.0, 0.9, 0.1, 1.0])
    mixture = Mixture(layers, np.array([0, 1, 1, 2]), conditions, shares, sharp, likeliest)
    weights = {CLEAN: np.array([0.5]), "jpeg:80": np.array([2.0])}
    found = mixture.marginal(weights.__getitem__)
    assert found[0].tolist() == [0.5, 0.0]
    assert found[1] == pytest.approx(
        [np.log(0.75 * np.exp(1.0) + 0.25), np.log(0.75 * np.exp(-0.5) + 0.25 * np.exp(6.0))]
    )
    assert found[2].tolist() == [-np.inf, 8.0]
    assert mixture.mean()[0, 1] == pytest.approx([1.8, -0.6])
    # Parts, candidates and joins keep what belongs together.
    some = mixture.take(np.array([False, True, True]))
    assert np.array_equal(some.marginal(weights.__getitem__), found[1:])
    assert some.rows.tolist() == [0, 0, 1]
    joined = Mixture.join([some, mixture])
    assert np.array_equal(joined.marginal(weights.__getitem__), np.concatenate([found[1:], found]))
    wider = some.among(np.array(["a", "c"]), np.array(["a", "b", "c"]))
    assert np.array_equal(wider.marginal(weights.__getitem__)[:, [0, 2]], found[1:])
    assert np.isneginf(wider.marginal(weights.__getitem__)[:, 1]).all()
    assert np.array_equal(mixture.of(np.array([False, True])).marginal(weights.__getitem__), found[:, 1:])


def test_references_keep_the_noise_that_they_had() -> None:
    """One reference a class in one dimension: its noise is W, while the query's is W + N."""
    plain = TwoCovariance(np.eye(1), np.array([3.0]))
    noisy, _ = plain.noisier(np.array([[4.0]]), shrinkage=0.0, floor=0.0)
    # By hand: a query x, one reference r of the class, centre 0: x | r ~ N(3 r / (3 + 1), 5 + 3·1/(3 + 1)).
    x, r = 2.0, 1.5
    mean, variance, population = 0.75 * r, 5.0 + 0.75, 5.0 + 3.0
    expected = -0.5 * ((x - mean) ** 2 / variance + np.log(variance)) + 0.5 * (x**2 / population + np.log(population))
    turn = noisy.rotation
    found = noisy.predict(np.array([[x]]) @ turn, np.array([[r]]) @ turn, np.array([1.0]), np.zeros(1))
    assert found[0, 0] == pytest.approx(expected)


def test_no_queries_have_no_scores(fitted: Fused) -> None:
    assert fitted.scores({"v/a": np.empty((0, D), dtype=np.float32)}).shape == (0, MODELS)


@pytest.mark.parametrize("count", [MIN_COPIES, 30])
def test_few_copies_give_no_calibration_of_their_own(count: int) -> None:
    """Halves of so few copies teach no conditions, and what has not learnt them is not asked about degraded copies."""
    few = with_copies(world(1), count)
    fitted = Fused().fit(few)
    table = fitted.cross_scores(0, True, True)
    assert len(np.unique(table.rows)) < MIN_COPIED_IMAGES
    pair = calibrate_attributor(fitted, few, 0, True)
    assert pair is not None and pair.degraded is None


def test_an_attributor_with_scores_of_its_own_needs_no_conditions(background: LabelledEmbeddings) -> None:
    class Own(Lda):
        def cross_scores(self, k: int, new: bool = False) -> OutOfFold:  # type: ignore[override]
            return super().cross_scores(k, new)

    fitted = Own().fit(background)
    fitted.conditions_ = None
    assert calibrate_attributor(fitted, background, 0) is not None


def test_how_well_a_query_fits_is_on_one_scale() -> None:
    clean = Calibration(1.0, np.array([0.0, 1.0]), np.array([10.0, 20.0]))
    other = Calibration(1.0, np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    pair = CalibrationPair(clean, other)
    scores = np.array([[0.0, 12.0], [2.0, 0.0]])
    assert pair.known(scores, np.array([False, True])).tolist() == [12.0, 20.0]
    assert pair.known(scores).tolist() == [12.0, 2.0]


def test_too_few_copies_teach_nothing(background: LabelledEmbeddings) -> None:
    few = with_copies(world(1), MIN_COPIES - 1)
    fitted = Fused().fit(few)
    assert fitted.conditions_ is None
    assert not fitted.is_degraded(few.vectors).any()
    bank = fitted.bank_
    assert bank is not None
    coordinates = bank.coordinates(few.vectors)
    assert fit_conditions(bank, coordinates, None, fitted.settings) is None


def test_degraded_queries_have_a_calibration_of_their_own(background: LabelledEmbeddings, fitted: Fused) -> None:
    pair = calibrate_attributor(fitted, background, 0)
    assert pair is not None and pair.degraded is not None
    test = world(3)
    truth = np.searchsorted(fitted.models_, test.models)
    rows = np.arange(len(test))
    half = len(test) // 2
    spoiled = [degrade(test.vectors["v/a"], name, 5) for name in STEP]
    # Coverage is promised over the conditions together: each is harder or easier than all.
    for x in (test.vectors["v/a"], np.concatenate([spoiled[0][:half], spoiled[1][half:]])):
        scores, degraded = fitted.scores({"v/a": x}), fitted.is_degraded({"v/a": x})
        covered = (pair.p_values(scores, degraded)[rows, truth] > 0.1).mean()
        assert 0.84 < covered < 0.97
    # Queries of both kinds in one batch take each its own.
    mixed = np.r_[True, np.zeros(len(test) - 1, dtype=bool)]
    scores = fitted.scores(test.vectors)
    assert np.array_equal(pair.p_values(scores, mixed)[0], pair.degraded.p_values(scores[:1])[0])
    assert np.array_equal(pair.p_values(scores, mixed)[1:], pair.clean.p_values(scores[1:]))


def test_a_background_part_keeps_the_copies_of_its_images(background: LabelledEmbeddings) -> None:
    assert background.degraded is not None
    kept = np.flatnonzero(background.prompts != "p3")
    part = background.take(kept)
    assert part.degraded is not None
    of_p3 = (background.prompts[background.degraded.rows] == "p3").sum()
    assert len(part.degraded) == len(background.degraded) - of_p3
    stayed = background.prompts[background.degraded.rows] != "p3"
    assert np.array_equal(part.degraded.names, background.degraded.names[stayed])
    assert np.array_equal(part.degraded.vectors["v/a"], background.degraded.vectors["v/a"][stayed])
    assert np.array_equal(kept[part.degraded.rows], background.degraded.rows[stayed])
    by_mask = background.take(background.prompts != "p3")
    assert by_mask.degraded is not None
    assert np.array_equal(by_mask.degraded.rows, part.degraded.rows)
    none = background.take(np.setdiff1d(np.arange(len(background)), background.degraded.rows))
    assert none.degraded is None


def test_what_was_learnt_comes_back_from_disk(background: LabelledEmbeddings, fitted: Fused, tmp_path: Path) -> None:
    pair = calibrate_attributor(fitted, background, 0)
    spoiled = {"v/a": degrade(world(4).vectors["v/a"], "blur:0.7", 5)}
    expected = fitted.scores(spoiled)
    assert persist.save(tmp_path / "s.npz", fitted, {(0, False): pair})
    fresh = Fused()
    found = persist.load(tmp_path / "s.npz", fresh, background)
    assert found is not None
    assert np.allclose(fresh.scores(spoiled), expected)
    assert fresh.conditions_of(spoiled) == fitted.conditions_of(spoiled)
    back = found.calibrations[0, False]
    assert isinstance(back, CalibrationPair) and back.degraded is not None
    assert back.degraded.temperature == pytest.approx(pair.degraded.temperature)  # type: ignore[union-attr]


def in_doubt(name: str, seed: int) -> np.ndarray:
    """Embeddings half way between as they are and degraded."""
    x = world(seed).vectors["v/a"]
    return (x + degrade(x, name, 5)) / 2


def two_views(data: LabelledEmbeddings) -> LabelledEmbeddings:
    """The same with a second view, so that components have weights."""

    def other(values: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(len(values)).normal(size=values.shape)
        return (values[:, ::-1] + noise).astype(np.float32)

    copies = data.degraded
    assert copies is not None
    made = {"w/a": other(copies.vectors["v/a"])}
    degraded = replace(copies, vectors={**copies.vectors, **made})
    return replace(data, vectors={**data.vectors, "w/a": other(data.vectors["v/a"])}, degraded=degraded)


def test_what_calibration_learns_from_is_put_together_as_queries_are(background: LabelledEmbeddings) -> None:
    """Held-out scores are those of an attributor of the other folds with those folds' weights, copies included."""
    data = two_views(background)
    fitted = Fused(folds=4).fit(data)
    cross = fitted._cross
    assert cross is not None and data.degraded is not None
    for degraded in (False, True):
        table = fitted.cross_scores(0, degraded=degraded)
        for fold in np.unique(table.folds)[:2].tolist():
            part = next(part for part in cross._parts[False] if part.fold == fold)
            of_others = Fused(folds=4).fit(data.take(np.setdiff1d(np.arange(len(data)), part.test)))
            own = cross._weights_without(fold, 0, False)
            of_others.weights_ = {(0, False, name): own(name) for name in (CLEAN, *STEP)}
            held = table.folds == fold
            if degraded:
                assert table.conditions is not None
                wanted = [
                    np.flatnonzero((data.degraded.rows == row) & (data.degraded.names == name))[0]
                    for row, name in zip(table.rows[held], table.conditions[held], strict=True)
                ]
                queries = {name: values[wanted] for name, values in data.degraded.vectors.items()}
            else:
                queries = {name: values[table.rows[held]] for name, values in data.vectors.items()}
            assert of_others.scores(queries) == pytest.approx(table.scores[held], rel=1e-6, abs=1e-6)


def test_queries_in_doubt_have_the_same_scores_from_disk(background: LabelledEmbeddings, tmp_path: Path) -> None:
    data = two_views(background)
    fitted = Fused().fit(data)
    doubtful = in_doubt("jpeg:80", 6)
    queries = {"v/a": doubtful, "w/a": doubtful[:, ::-1].copy()}
    assert fitted.bank_ is not None and fitted.conditions_ is not None
    mixture = fitted._component_scores(fitted.bank_, queries, data, fitted.models_, None, 0)
    assert len(mixture.rows) > 1.5 * len(doubtful)
    # Three known candidates, and two that come with references of their own.
    few = data.take(np.isin(data.models, ["m0", "m1", "m2"]))
    fitted = Fused().fit(few)
    expected = fitted.scores(queries, data)
    assert fitted.is_new(fitted.candidates(data)).tolist() == [False] * 3 + [True] * 2
    fitted.learn_weights(0, fitted.candidates(data))
    assert persist.save(tmp_path / "s.npz", fitted, {})
    fresh = Fused()
    assert persist.load(tmp_path / "s.npz", fresh, few) is not None
    assert np.allclose(fresh.scores(queries, data), expected)
    # A query's scores do not depend on the others asked about with it.
    assert np.allclose(fresh.scores({name: x[3:4] for name, x in queries.items()}, data), expected[3:4])
