"""Protocol verification: figures against slow loops, thresholds of other models, and intervals over models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from morelli.attribution.halves import deal_halves
from morelli.attribution.pair_judge import learn_pair_judge
from morelli.errors import ArrayError, InputError, NotEnoughReferencesError, UnknownNameError
from morelli.evaluation.data import EvaluationSet
from morelli.evaluation.model_bootstrap import ModelBootstrap
from morelli.evaluation.pair_scores import PairScorer, best_interval, best_threshold
from morelli.evaluation.runner import Settings, evaluate
from morelli.evaluation.verification import FIGURES, _forecast, draw_pair_sets, verification_table
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset

from .samples import TextureEncoder, bare, gaussian

SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


def as_set(data, decoders: list[str] | None = None) -> EvaluationSet:
    n = len(data)
    return EvaluationSet(
        data,
        np.array([str(i) for i in range(n)]),
        {},
        (),
        np.array([Path(str(i)) for i in range(n)], dtype=object),
        decoders=None if decoders is None else np.array(decoders),
    )


@given(SCORES, SCORES)
def test_the_best_threshold_is_that_of_a_slow_search(same, different):
    found = best_threshold(same, different)
    p, q = np.array(same), np.array(different)
    reached = [((p >= cut).mean() + (q < cut).mean()) / 2 for cut in [*np.arange(-3.5, 4), np.inf]]
    assert found.accuracy == pytest.approx(max(reached))
    assert ((p >= found.value).mean() + (q < found.value).mean()) / 2 == pytest.approx(found.accuracy)


@given(SCORES, SCORES)
def test_the_point_of_the_area_is_sklearn_s(same, different):
    names = ["a"] * len(same), ["a"] * len(different), ["b"] * len(different)
    area = ModelBootstrap(*names, draws=20).auroc(same, different)
    truth = np.repeat([1, 0], [len(same), len(different)])
    assert area.point == pytest.approx(roc_auc_score(truth, same + different))


def test_one_resample_is_a_weighted_area():
    rng = np.random.default_rng(0)
    same, first, second = rng.choice(list("abcd"), 9), rng.choice(list("ab"), 7), rng.choice(list("cd"), 7)
    p, q = rng.normal(size=9).round(1), rng.normal(size=7).round(1)
    resampled = ModelBootstrap(same, first, second, draws=200, seed=3)
    areas, rates = [], []
    for drawn in resampled._weights:
        weight = dict(zip("abcd", drawn.tolist(), strict=True))
        own = np.array([weight[m] for m in same], dtype=float)
        other = np.array([weight[a] * weight[b] for a, b in zip(first, second, strict=True)], dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            wins = (p[:, None] > q) + 0.5 * (p[:, None] == q)
            areas.append(float(own @ wins @ other / (own.sum() * other.sum())))
            rates.append(float((own @ (p > 0) / own.sum() + other @ (q <= 0) / other.sum()) / 2))
    tail = resampled._tail
    area, rate = resampled.auroc(p, q), resampled.balanced_accuracy(p > 0, q > 0)
    np.testing.assert_allclose([area.low, area.high], np.nanquantile(areas, [tail, 1 - tail]))
    np.testing.assert_allclose([rate.low, rate.high], np.nanquantile(rates, [tail, 1 - tail]))
    with pytest.raises(ArrayError):
        resampled.auroc(p[:3], q)


def test_the_difference_of_areas_is_taken_resample_by_resample():
    # Two models, one different-model pair: either both are drawn, and both areas are 1/2, or there is no such pair.
    found = ModelBootstrap(["a", "b"], ["a"], ["b"], seed=0).auroc_difference(([2, 0], [1]), ([0, 2], [1]))
    assert found == (0, 0, 0)
    rng = np.random.default_rng(1)
    same, first, second = rng.choice(list("abcd"), 9), rng.choice(list("ab"), 7), rng.choice(list("cd"), 7)
    p, q, r, s = (rng.normal(size=n).round(1) for n in (9, 7, 9, 7))
    resampled = ModelBootstrap(same, first, second, draws=200, seed=3)
    differences = []
    for drawn in resampled._weights:
        weight = dict(zip("abcd", drawn.tolist(), strict=True))
        own = np.array([weight[m] for m in same], dtype=float)
        other = np.array([weight[a] * weight[b] for a, b in zip(first, second, strict=True)], dtype=float)
        gain = [(x[:, None] > y) + 0.5 * (x[:, None] == y) for x, y in ((p, q), (r, s))]
        with np.errstate(invalid="ignore", divide="ignore"):
            differences.append(float(own @ (gain[0] - gain[1]) @ other / (own.sum() * other.sum())))
    found, tail = resampled.auroc_difference((p, q), (r, s)), resampled._tail
    np.testing.assert_allclose([found.low, found.high], np.nanquantile(differences, [tail, 1 - tail]))
    assert found.point == pytest.approx(resampled.auroc(p, q).point - resampled.auroc(r, s).point)
    with pytest.raises(ArrayError):
        resampled.auroc_difference((p, q), (r, s[:3]))


def test_the_interval_of_the_best_accuracy_holds_its_threshold():
    rng = np.random.default_rng(2)
    same, first, second = rng.choice(list("abcd"), 9), rng.choice(list("ab"), 7), rng.choice(list("cd"), 7)
    p, q = rng.normal(size=9) + 1, rng.normal(size=7)
    resampled, best = ModelBootstrap(same, first, second, draws=200, seed=3), best_threshold(p, q)
    found, rates = best_interval(resampled, best, p, q), []
    for drawn in resampled._weights:
        weight = dict(zip("abcd", drawn.tolist(), strict=True))
        own = np.array([weight[m] for m in same], dtype=float)
        other = np.array([weight[a] * weight[b] for a, b in zip(first, second, strict=True)], dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            kept, refused = own @ (p >= best.value) / own.sum(), other @ (q < best.value) / other.sum()
        rates.append((kept + refused) / 2)
    np.testing.assert_allclose(found[1:], np.nanquantile(rates, [resampled._tail, 1 - resampled._tail]))
    assert found.point == pytest.approx(best.accuracy)
    # All right: as many models as there are, and no resample has anything wrong.
    apart = ModelBootstrap(["a", "b", "c"], ["a", "b"], ["b", "c"])
    assert best_interval(apart, best_threshold([3, 3, 2], [1, 0]), [3, 3, 2], [1, 0]) == (1, 1, 1)


def test_pairs_need_both_kinds():
    with pytest.raises(ArrayError):
        ModelBootstrap([], ["a"], ["b"])


def test_kinds_of_pairs():
    data = bare(list("aabbccdd"), list("12121212"), list("ffffgggg"))
    sets = draw_pair_sets(as_set(data, ["x", "x", "x", "x", "y", "y", "", ""]), 1000, 0)
    assert len(sets.same) == 4
    assert {kind: len(pairs) for kind, pairs in sets.different.items()} == {
        "all": 24, "same-decoder": 4, "cross-decoder": 8, "same-prompt": 12,
    }  # fmt: skip
    for first, second in zip(*sets.different["same-prompt"], strict=True):
        assert data.prompts[first] == data.prompts[second]
        assert data.models[first] != data.models[second]
    assert sets.notes == ("2 images of unknown decoder are in no same-decoder or cross-decoder pair.",)
    families = draw_pair_sets(as_set(data), 1000, 0)
    assert {"same-family", "cross-family"} <= set(families.different)
    assert "split by family instead" in families.notes[0]
    assert len(draw_pair_sets(as_set(data), 5, 0).different["all"]) == 5


def test_what_is_learnt_on_other_models_beats_the_cosine_and_labels_that_say_nothing_score_a_half():
    table = verification_table({"e": as_set(gaussian(models=12, seeds=2, prompts=8))}, count=600)
    area = {(row["method"], row["pairs"]): row["auroc"] for row in table.rows}
    assert area["plda", "all"] > area["cosine", "all"] + 0.1
    null = verification_table({"e": as_set(gaussian(models=12, seeds=2, prompts=8, effect=0.0))}, count=600).rows
    # Images of one prompt are alike: same-model pairs across prompts are less so than different models of one prompt.
    (row,) = (r for r in null if (r["method"], r["pairs"]) == ("plda", "all"))
    assert row["auroc"] == pytest.approx(0.5, abs=0.06)
    assert row["accuracy"] == pytest.approx(0.5, abs=0.06)
    assert row["best_accuracy"] > 0.5


def test_fields_cases_and_the_optimism_of_the_best_threshold():
    table = verification_table({"e": as_set(gaussian(models=8, seeds=2, prompts=6))}, count=400)
    for row in table.rows:
        assert set(row) == {"method", "encoder", "pairs", *FIGURES}
        assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
        assert row["best_accuracy_low"] <= row["best_accuracy"] <= row["best_accuracy_high"]
        assert row["accuracy"] == pytest.approx((row["tpr"] + 1 - row["fpr"]) / 2)
        if row["pairs"] == "all":
            assert row["best_accuracy"] >= row["accuracy"]
    assert {(case.same, case.accepted) for case in table.cases} == {
        (a, b) for a in (True, False) for b in (True, False)
    }


def test_a_threshold_comes_from_other_models():
    """What a model's own images look like has no part in the thresholds of its pairs."""
    data = gaussian(models=8, seeds=2, prompts=4)
    sets = draw_pair_sets(as_set(data), 300, 0)
    scorer = PairScorer("cosine", data, deal_halves(data.models, data.families))
    _, cuts = scorer.accepted(sets.same, sets.same, sets.different["all"])
    changed = gaussian(models=8, seeds=2, prompts=4)
    model = data.models[sets.same.first[0]]
    for values in changed.vectors.values():
        values[changed.models == model] *= -1
    again = PairScorer("cosine", changed, scorer.halves)
    _, moved = again.accepted(sets.same, sets.same, sets.different["all"])
    of_model = data.models[sets.same.first] == model
    np.testing.assert_array_equal(cuts[of_model], moved[of_model])


def test_probabilities_are_those_of_a_gallery_of_other_models():
    data = gaussian(models=16, seeds=2, prompts=8)
    table = verification_table({"e": as_set(data)}, count=600)
    rows = {row["method"]: row for row in table.rows if row["pairs"] == "all"}
    assert rows["cosine"]["brier"] is None
    assert rows["cosine"]["ece"] is None
    assert 0.0 < rows["plda"]["ece"] < 0.15
    assert rows["plda"]["brier"] < 0.22
    halves = deal_halves(data.models, data.families)
    scorer = PairScorer("plda", data, halves)
    sets = draw_pair_sets(as_set(data), 50, 0)
    said = scorer.probabilities(sets.same)
    assert ((said > 0) & (said < 1)).all()
    side = next(iter(halves))
    mine = halves.judged(side, sets.same)
    judge = learn_pair_judge(data.take(side.there))
    assert judge.calibration is not None
    first = int(np.flatnonzero(mine)[0])
    pair = np.array([sets.same.first[first], sets.same.second[first]])
    ratio = judge.ratio(data.take(pair).vectors)
    assert said[first] == pytest.approx(float(judge.calibration.probability(ratio)), abs=1e-9)


def test_the_forecast_s_figures_by_hand():
    found = _forecast(np.array([0.9, 0.7]), np.array([0.1, 0.1, 0.7, 0.3]))
    assert found["brier"] == pytest.approx(0.25 * (0.01 + 0.09) + 0.125 * (0.01 + 0.01 + 0.49 + 0.09))
    # Bins of 1/15: 0.9 alone, 0.7 (one right, one wrong), 0.1 twice, 0.3.
    expected = 0.25 * 0.1 + abs(0.25 * (0.7 - 1) + 0.125 * 0.7) + 0.125 * 2 * 0.1 + 0.125 * 0.3
    assert found["ece"] == pytest.approx(expected)
    assert _forecast(np.array([0.5, np.nan]), np.array([0.5])) == {}


def test_few_models():
    data = as_set(gaussian(models=3, seeds=2, prompts=4))
    table = verification_table({"e": data}, count=100)
    assert {row["method"] for row in table.rows} == {"cosine"}
    assert all(row["accuracy"] is None for row in table.rows)
    assert table.cases == ()
    assert any("4 models" in note for note in table.notes)
    with pytest.raises(NotEnoughReferencesError, match="4 models"):
        verification_table({"e": data}, methods=("plda",))
    with pytest.raises(NotEnoughReferencesError, match="no model has two images"):
        verification_table({"e": as_set(bare(list("abcd"), list("1234")))})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("set") / "d", models=5, prompts=4, seeds=2, size=32)


def test_from_files(folder):
    dataset = read_dataset(folder)
    one, again = (evaluate(dataset, TextureEncoder(), Settings("verification", pairs=50)) for _ in range(2))
    assert one.result["protocol"] == "verification"
    assert one.result["rows"] == again.result["rows"]
    assert one.queries is not None
    assert len(one.cases) > 0
    with pytest.raises(UnknownNameError, match="cosine"):
        evaluate(dataset, TextureEncoder(), Settings("verification", ("cosin",)))
    with pytest.raises(InputError, match="--k"):
        evaluate(dataset, TextureEncoder(), Settings("verification", k=3))
    with pytest.raises(InputError, match="one dataset"):
        evaluate(dataset, TextureEncoder(), Settings("verification"), references=dataset)
