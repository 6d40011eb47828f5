"""Case 1 on scores made by hand; Case 2 on Gaussian data, where the rates are known."""

from __future__ import annotations

import numpy as np
import pytest

from morelli.evaluation.one_vs_many import case_one, case_two
from morelli.evaluation.scored import Scored
from morelli.evaluation.splits import prompt_folds, same_prompt_trials

from .samples import bare, gaussian

NONE = -np.inf


def scored(scores, truth) -> Scored:
    table = np.array(scores, dtype=float)
    n, m = table.shape
    models = np.array([f"m{j}" for j in range(m)])
    return Scored(models, table, np.array(truth), np.arange(n), np.array(["p"] * n), None, None, table.max(axis=1))


def test_case_one_perfect_scores_give_one():
    found = case_one(scored(np.tile(np.eye(4), (3, 1)), list(range(4)) * 3))
    assert found == {"case": 1, "balanced_accuracy": 1.0, "auroc": 1.0}


def test_case_one_wrong_scores_give_less_than_half():
    found = case_one(scored(np.roll(np.eye(4), 1, axis=1), range(4)))
    # Of each target: no image accepted (rate 0), one of the three others accepted (rate 2/3 refused).
    assert found["balanced_accuracy"] == pytest.approx((0 + 2 / 3) / 2)
    assert found["auroc"] < 0.5


def test_case_one_by_hand():
    # Targets 0 and 1 with two images each; margins to the other are 2, −1 | −3, 1 for target 0, the opposite for 1.
    found = case_one(scored([[2, 0], [0, 1], [0, 3], [1, 0]], [0, 0, 1, 1]))
    # Each target: one of two accepted, one of two others refused.
    assert found["balanced_accuracy"] == pytest.approx(0.5)
    # Target 0: pairs (2 over −3), (2 over 1), (−1 over −3) won, (−1 over 1) lost.
    assert found["auroc"] == pytest.approx(3 / 4)


def test_case_one_a_tie_is_no_first_place():
    found = case_one(scored([[1, 1], [1, 1]], [0, 1]))
    assert found["balanced_accuracy"] == pytest.approx(0.5)
    assert found["auroc"] == pytest.approx(0.5)


def test_case_one_leaves_out_queries_for_which_the_target_is_no_candidate():
    table = [[2, 0, NONE], [0, 2, NONE], [NONE, 0, 2], [NONE, 2, 0]]
    assert case_one(scored(table, [0, 1, 2, 1]))["balanced_accuracy"] == 1
    # An unknown model's image is one that every target should refuse.
    found = case_one(scored([[2, 0], [0, 2], [0, 2]], [0, 1, -1]))
    assert found["balanced_accuracy"] == pytest.approx((1 + 0.75) / 2)


def run(data, k, alphas):
    trials = same_prompt_trials(data.models, data.prompts, k, prompt_folds(data.prompts, 5))
    return {(row["rule"], row["alpha"]): row for row in case_two(data, trials.items, alphas)}


@pytest.fixture(scope="module")
def at_three():
    # Seven images, so that trials are a part of all choices of three references: rates are measured, see below.
    return run(gaussian(models=4, prompts=30, seeds=7, effect=1.0, seed=3), 3, (0.5, 0.75, 0.9))


@pytest.mark.parametrize("alpha", [0.5, 0.75])
def test_the_published_rule_accepts_far_fewer_than_it_says(at_three, alpha):
    row = at_three["published", alpha]
    assert row["tpr"] < alpha - 0.25
    assert row["tpr_high"] < alpha


@pytest.mark.parametrize("alpha", [0.5, 0.75])
def test_the_conformal_rule_accepts_what_it_says(at_three, alpha):
    row = at_three["conformal", alpha]
    # With three references the rank is one of four: both rates can be met, neither more nor less, up to chance.
    assert row["tpr_low"] <= alpha <= row["tpr_high"]
    assert 0 < row["tpr_high"] - row["tpr_low"] < 0.1
    assert row["attainable"]


def test_all_choices_of_references_give_the_conformal_rate_exactly():
    """Each of k + 1 images is the query once and their ranks are 1 … k + 1: nothing is left to chance, or to learn."""
    found = run(gaussian(models=3, prompts=6, seeds=4, effect=0.3, seed=5), 3, (0.5, 0.75))
    for alpha in (0.5, 0.75):
        row = found["conformal", alpha]
        assert (row["tpr"], row["tpr_low"], row["tpr_high"]) == (alpha, alpha, alpha)
        assert found["published", alpha]["tpr"] != alpha


def test_an_alpha_that_three_references_cannot_give_accepts_everything(at_three):
    row = at_three["conformal", 0.9]
    assert not row["attainable"]
    assert (row["tpr"], row["fpr"], row["balanced_accuracy"]) == (1, 1, 0.5)


def test_rates_rise_with_alpha_and_the_ranking_does_not_change(at_three):
    for rule in ("published", "conformal"):
        rows = [at_three[rule, alpha] for alpha in (0.5, 0.75, 0.9)]
        assert [row["tpr"] for row in rows] == sorted(row["tpr"] for row in rows)
        assert [row["fpr"] for row in rows] == sorted(row["fpr"] for row in rows)
        assert all(row["balanced_accuracy"] == pytest.approx((row["tpr"] + 1 - row["fpr"]) / 2) for row in rows)
        assert all(row["auroc"] > 0.6 for row in rows)
    areas = {at_three["conformal", alpha]["auroc"] for alpha in (0.5, 0.75, 0.9)}
    assert len(areas) == 1


def test_models_that_do_not_differ_are_accepted_alike():
    found = run(gaussian(models=4, prompts=25, seeds=4, effect=0), 3, (0.5,))
    for rule in ("published", "conformal"):
        row = found[rule, 0.5]
        assert abs(row["auroc"] - 0.5) < 0.05
        assert abs(row["tpr"] - row["fpr"]) < 0.08


def test_every_held_out_image_is_compared_with_every_target():
    data = gaussian(models=3, prompts=4, seeds=3)
    row = run(data, 2, (0.5,))["conformal", 0.5]
    assert row["n_positive"] == 36  # 12 images of each of 3 models, each held out once
    assert (row["case"], row["rule"], row["alpha"]) == (2, "conformal", 0.5)


def test_one_reference_gives_no_threshold():
    data = bare(["a", "a", "b", "b"] * 3, sorted(["p", "q", "r"] * 4))
    assert run(data, 1, (0.5,)) == {}
