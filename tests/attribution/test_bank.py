"""Statistics of a background: groups, prompts, what is learnt when data are thin, and the LDA rule itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from morelli.attribution.bank import BankSettings, Labels, fit_bank, prompt_codes, view_groups
from morelli.attribution.likelihood import Lda, Plda
from tests.attribution.toys import labelled, simulate


def test_prompt_codes_keep_unknown_prompts_apart() -> None:
    codes = prompt_codes(np.array(["a", "", "b", "", "a", "row 1"]))
    assert codes[0] == codes[4]
    assert len(set(codes)) == 5
    assert sorted(set(codes)) == [0, 1, 2, 3, 4]
    assert len(set(prompt_codes(np.array(["", "", ""])))) == 3


def test_view_groups() -> None:
    names = ["native/2", "whole/5", "native/4", "plain"]
    assert view_groups(names) == {"native": ("native/2", "native/4"), "whole": ("whole/5",), "plain": ("plain",)}
    assert list(view_groups(names)) == ["native", "whole", "plain"]


@pytest.mark.parametrize(
    ("models", "prompts", "free", "same"),
    [
        ("aabb", "pppp", True, True),
        ("abab", "ppqq", True, False),  # no seed twice
        ("aabb", "ppqq", True, False),  # no prompt with two models
        ("aabb", None, True, False),
        ("ab", "pp", False, False),
    ],
)
def test_what_the_data_give(models: str, prompts: str | None, free: bool, same: bool) -> None:
    x = np.random.default_rng(0).normal(size=(len(models), 3))
    data = labelled(x, list(models), None if prompts is None else list(prompts))
    bank = fit_bank(data, {"all": ("v",)}, BankSettings())
    assert (bank.has_free, bank.has_same) == (free, same)


def test_a_prompt_with_many_images_counts_once() -> None:
    rng = np.random.default_rng(0)
    data = simulate(0, models=2, prompts=3, seeds=2)
    many = np.flatnonzero((data.prompts == "prompt-00") & (data.models == "model-0"))
    heavy = data.take(np.concatenate([np.arange(len(data)), np.repeat(many, 50)]))
    del rng
    bank = fit_bank(heavy, {"all": ("v",)}, BankSettings())
    group = bank.groups["all"]
    assert group.centroids is not None
    z = bank.project(heavy.vectors)["all"][0]
    cells = [z[(heavy.prompts == p) & (heavy.models == "model-0")].mean(axis=0) for p in np.unique(heavy.prompts)]
    assert group.centroids.means[0] == pytest.approx(np.mean(cells, axis=0))
    assert group.centroids.counts.tolist() == [3, 3]


def test_lda_is_scikit_learn_s_where_both_must_agree() -> None:
    """With λ ≫ 1/k the centroids are not shrunk and the predictive variance is 1: the classical rule remains."""
    data = simulate(5, models=5, prompts=30, seeds=2, d=10)
    known, query = data.take(np.arange(200)), data.take(np.arange(200, 300))
    ours = Lda(BankSettings(dims=100, free_shrinkage=0.3, floor=1e9)).fit(known).scores(query.vectors)
    scaler = StandardScaler().fit(known.vectors["v"].astype(float))
    judge = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    judge.fit(scaler.transform(known.vectors["v"].astype(float)), known.models)
    theirs = judge.decision_function(scaler.transform(query.vectors["v"].astype(float)))
    # Up to a constant a query (the common density) and one factor (the temperature).
    a, b = ours - ours.mean(axis=1, keepdims=True), theirs - theirs.mean(axis=1, keepdims=True)
    factor = (a * b).sum() / (b * b).sum()
    assert factor > 0
    assert np.abs(a - factor * b).max() < 1e-3 * np.abs(a).max()
    assert np.array_equal(judge.classes_[ours.argmax(axis=1)], judge.predict(scaler.transform(query.vectors["v"])))


def test_plda_is_whitened_nearest_centroid_where_both_must_agree() -> None:
    data = simulate(6, models=5, prompts=12, seeds=3, d=8)
    asked = data.prompts == "prompt-11"
    background, here = data.take(~asked), data.take(asked)
    references, query = here.take(np.arange(15) % 3 > 0), here.take(np.arange(15) % 3 == 0)
    ours = Plda(BankSettings(dims=100, same_shrinkage=0.0, floor=1e9)).fit(background)
    found = ours.scores(query.vectors, references, "prompt-11")
    x = background.vectors["v"].astype(float)
    cells = np.unique(
        [f"{p} {m}" for p, m in zip(background.prompts, background.models, strict=True)], return_inverse=True
    )[1]
    residual = np.concatenate([x[cells == c] - x[cells == c].mean(axis=0) for c in range(cells.max() + 1)])
    whiten = np.linalg.cholesky(np.linalg.inv(residual.T @ residual))
    centres = np.stack([references.vectors["v"][references.models == m].mean(axis=0) for m in np.unique(data.models)])
    slow = -np.linalg.norm((query.vectors["v"][:, None] - centres) @ whiten, axis=2)
    assert np.array_equal(found.argsort(axis=1), slow.argsort(axis=1))


def test_a_model_that_the_background_lacks_takes_its_references() -> None:
    data = simulate(7, models=4, prompts=10, seeds=3, strength={"v": 2.0})
    new = data.models == "model-3"
    bank = fit_bank(data.take(~new), {"all": ("v",)}, BankSettings())
    assert bank.models.tolist() == ["model-0", "model-1", "model-2"]
    references = data.take(data.prompts == "prompt-00")
    queries = data.take(new & (data.prompts != "prompt-00"))
    attributor = Lda().fit(data.take(~new & (data.prompts != "prompt-00")))
    found = attributor.candidates(references)[attributor.scores(queries.vectors, references).argmax(axis=1)]
    assert (found == "model-3").mean() > 0.6


def log_ratio(q: np.ndarray, mean: np.ndarray, k: float, centre: np.ndarray, between: np.ndarray) -> float:
    """Density under the class's predictive law over that under the population's, dimension by dimension."""
    total = 0.0
    for x, m, c, b in zip(q, mean, centre, between, strict=True):
        posterior = norm(c + b / (b + 1 / k) * (m - c), np.sqrt(1 + b - b**2 / (b + 1 / k)))
        total += posterior.logpdf(x) - norm(c, np.sqrt(1 + b)).logpdf(x)
    return total


def test_scores_are_ratios_about_the_candidates_mean_with_each_candidate_s_count() -> None:
    data = simulate(8, models=3, prompts=6, seeds=4, d=5)
    # The background lacks some prompts of one model: its mean is not that of the models.
    seldom = (data.models == "model-0") & (data.prompts > "prompt-02")
    bank = fit_bank(data.take((data.prompts != "prompt-05") & ~seldom), {"all": ("v",)}, BankSettings())
    here = np.flatnonzero(data.prompts == "prompt-05")
    # One, two and three references of the three models; the fourth image of each is a query.
    chosen = here[[0, 4, 5, 8, 9, 10]]
    references, queries = data.take(chosen), data.take(here[[3, 7, 11]])
    asked, known = bank.project(queries.vectors), bank.project(references.vectors)
    labels = Labels(references.models, references.prompts)
    group = bank.groups["all"]
    assert group.free is not None
    assert group.same is not None
    assert group.centroids is not None

    z = known["all"][1]
    means = [z[references.models == model].mean(axis=0) for model in bank.models]
    centre = np.mean(means, axis=0)
    slow = [
        [log_ratio(q, m, k, centre, group.same.between) for m, k in zip(means, (1, 2, 3), strict=True)]
        for q in asked["all"][1]
    ]
    assert bank.same_scores(asked, known, labels, bank.models)[0] == pytest.approx(np.array(slow))

    centroids = group.centroids.means
    centre = centroids.mean(axis=0)
    slow = [
        [log_ratio(q, m, k, centre, group.free.between) for m, k in zip(centroids, (3, 5, 5), strict=True)]
        for q in asked["all"][0]
    ]
    assert np.abs(centre).max() > 0.01
    assert bank.free_scores(asked, known, labels, bank.models)[0] == pytest.approx(np.array(slow))


def test_what_prompts_differ_by_is_noise_to_one_part_and_nothing_to_the_other() -> None:
    data = simulate(9, models=4, prompts=80, seeds=4, strength={"v": 0.0}, d=4)
    group = fit_bank(data, {"all": ("v",)}, BankSettings(same_shrinkage=0.0, floor=0.0)).groups["all"]
    assert group.same is not None
    # Models do not differ here and scenes do, by up to four times the noise: inside a prompt nothing is left.
    assert group.same.between.max() < 0.2


def test_many_references_are_learnt_from_in_parts_with_the_same_statistics(monkeypatch) -> None:
    data = simulate(3, models=4, prompts=6, seeds=4, strength={"a/1": 1.0, "a/2": 0.7, "b/1": 0.5})
    groups = view_groups(tuple(data.vectors))
    whole = fit_bank(data, groups, BankSettings())
    monkeypatch.setattr("morelli.attribution.bank.SIDE_BY_SIDE", 1)
    monkeypatch.setattr("morelli.attribution.gaussian.BLOCK", 7)
    parts = fit_bank(data, groups, BankSettings())
    for name, one in whole.groups.items():
        other = parts.groups[name]
        for field in ("mean", "scale"):
            np.testing.assert_allclose(getattr(one.subspace, field), getattr(other.subspace, field), rtol=1e-10)
        # Directions are found in single precision, and their signs are free.
        overlap = np.abs((one.subspace.basis * other.subspace.basis).sum(axis=0))
        np.testing.assert_allclose(overlap, np.ones_like(overlap), atol=1e-3)
    scores = [bank.free_scores(q := bank.project(data.vectors), q, Labels(data.models, data.prompts), bank.models)
              for bank in (whole, parts)]  # fmt: skip
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-2 * np.ptp(scores[0]))
