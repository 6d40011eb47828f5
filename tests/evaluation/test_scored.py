"""The figures of a row against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from morelli.errors import ArrayError
from morelli.evaluation.bootstrap import prompt_bootstrap
from morelli.evaluation.scored import FIGURES, Collector, Scored, figures, per_image

MODELS = np.array(["a", "b", "c", "d"])
FAMILIES = {"a": "x", "b": "x", "c": "y", "d": "z"}
NONE = -np.inf


def scored(scores, truth, rows=None, prompts=None, *, log_p=None, p=None) -> Scored:
    table = np.array(scores, dtype=float)
    n = len(table)
    return Scored(
        MODELS,
        table,
        np.array(truth),
        np.arange(n) if rows is None else np.array(rows),
        np.array(["p"] * n if prompts is None else prompts),
        log_p,
        p,
        table.max(axis=1),
    )


def row(found: Scored, baseline: Scored | None = None):
    return figures(found, FAMILIES, baseline=baseline, epsilon=0.1, seed=0)


def test_the_lift_by_hand_where_the_baseline_has_other_columns():
    """Hits of ours 1, 0, 1 | 1, 1, 0 over prompts p and q; of the baseline 0, 0, 1 | 1, 0, 0: the mean gain is 1/3."""
    hit, miss = [9, 1, 2, 0], [1, 9, 2, 0]
    ours = scored([hit, miss, hit, hit, hit, miss], [0] * 6, prompts=list("pppqqq"))
    table = np.array([miss, miss, hit, hit, miss, miss], dtype=float)
    # Another model in front: the right one is its second column.
    wide = Scored(
        np.array(["0", *MODELS]),
        np.column_stack([np.zeros(6), table]),
        np.full(6, 1),
        ours.rows,
        ours.prompts,
        None,
        None,
        table.max(axis=1),
    )
    found = row(ours, wide)
    assert found["lift"] == pytest.approx(1 / 3)
    # Both prompts gain 1/3, so every resample does.
    assert (found["lift_low"], found["lift_high"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert row(ours, ours)["lift"] is None
    assert row(ours)["lift"] is None


@pytest.mark.parametrize(
    "other",
    [
        scored([[9, 1, 2, 0]] * 2, [0, 1]),  # another right model
        scored([[9, 1, 2, 0]] * 2, [0, 0], rows=[0, 2]),  # another image
        scored([[9, 1, 2, 0]] * 3, [0, 0, 0]),
        scored([[9, 1, 2, 0]] * 2, [0, -1]),
    ],
)
def test_other_queries_are_no_pairs(other):
    with pytest.raises(ArrayError, match="same queries"):
        row(scored([[9, 1, 2, 0]] * 2, [0, 0]), other)


#: First places: a (right), b (its family is right), d (wrong), c (right), c (wrong).
TABLE = [[9, 1, 2, 0], [3, 8, 1, 0], [4, 3, 2, 5], [0, 1, 7, 2], [6, 0, 7, 1]]
TRUTH = [0, 0, 1, 2, 3]
PROMPTS = ["p", "p", "q", "q", "r"]


def test_first_places_by_hand():
    found = row(scored(TABLE, TRUTH, prompts=PROMPTS))
    assert found["n_queries"] == 5
    assert found["n_candidates"] == 4
    assert found["top1"] == pytest.approx(2 / 5)
    # Ranks of the truth: 1, 2, 3, 1, 3.
    assert found["top2"] == pytest.approx(3 / 5)
    assert found["top3"] == pytest.approx(1)
    assert found["top5"] is None
    assert found["family_top1"] == pytest.approx(3 / 5)
    # Recall of a 1/2, b 0, c 1, d 0.
    assert found["balanced_accuracy"] == pytest.approx(1.5 / 4)
    # F1 of a 2·1/(2·1 + 0 + 1), b 0, c 2·1/(2·1 + 1 + 0), d 0.
    assert found["f1"] == pytest.approx((2 / 3 + 0 + 2 / 3 + 0) / 4)
    assert found["top1_low"] < found["top1"] < found["top1_high"]


def test_intervals_of_the_first_k_are_over_the_same_resamples_of_prompts():
    found = row(scored(TABLE, TRUTH, prompts=PROMPTS))
    for k, hits in {1: [1, 0, 0, 1, 0], 2: [1, 1, 0, 1, 0], 3: [1] * 5}.items():
        figure = tuple(found[f"top{k}{end}"] for end in ("", "_low", "_high"))
        assert figure == prompt_bootstrap(hits, PROMPTS, seed=0)
    assert found["top2_low"] < found["top2"] < found["top2_high"]
    assert (found["top3_low"], found["top3_high"]) == (1, 1)
    assert (found["top5_low"], found["top5_high"]) == (None, None)
    # Ranks are 1 or 3, so that top-1 and top-2 have one interval; prompts of many sizes tell other resamples apart.
    rng = np.random.default_rng(0)
    hits, prompts = rng.random(45) < 0.4, rng.choice([f"p{i}" for i in range(13)], 45)
    many = row(scored([[9, 8, 1, 0]] * 45, np.where(hits, 0, 2), prompts=prompts))
    assert (many["top2_low"], many["top2_high"]) == (many["top1_low"], many["top1_high"])
    assert many["top1_low"] != prompt_bootstrap(hits, prompts, seed=1).low
    # One prompt has nothing but seconds, the other nothing but firsts: top-1 is 0 to 1 and top-2 always right.
    split = row(scored([[9, 8, 1, 0]] * 4, [1, 1, 0, 0], prompts=list("ppqq")))
    assert (split["top1_low"], split["top1"], split["top1_high"]) == (0, 0.5, 1)
    assert (split["top2_low"], split["top2"], split["top2_high"]) == (1, 1, 1)


def test_every_field_is_there_and_none_where_the_data_do_not_give_it():
    found = row(scored(TABLE, TRUTH))
    assert tuple(found) == FIGURES
    for name in ("ece", "coverage", "set_size", "auroc", "oscr", "fpr95", "n_unknown", "lift", "lift_low", "lift_high"):
        assert found[name] is None
    assert tuple(row(scored(TABLE, [-1] * 5))) == FIGURES
    assert set(row(scored(TABLE, [-1] * 5)).values()) == {None}


def test_top_k_is_not_said_where_some_query_has_k_candidates_or_fewer():
    table = [[9, 1, 2, 0], [3, 8, NONE, 1]]
    found = row(scored(table, [0, 0]))
    assert found["n_candidates"] == 3.5
    assert found["top2"] == 1
    assert found["top3"] is None
    assert row(scored([[2, 1, NONE, NONE]], [0]))["top2"] is None


def test_ties_do_not_count_as_right():
    assert row(scored([[1, 1, 1, 1]] * 3, [0, 1, 2]))["top1"] == 0


def test_an_image_counts_once_however_often_it_was_scored():
    # Image 7 is right three times of four, image 9 never: the mean over images is 3/8, over scorings 3/5.
    table = [[1, 0, 0, 0]] * 3 + [[0, 1, 0, 0]] * 2
    found = row(scored(table, [0, 0, 0, 0, 2], rows=[7, 7, 7, 7, 9], prompts=["p"] * 4 + ["q"]))
    assert found["n_queries"] == 2
    assert found["top1"] == pytest.approx(3 / 8)
    assert per_image(np.array([1.0, 0.0, 4.0]), np.array([7, 7, 3])).tolist() == [4.0, 0.5]


def test_images_keep_their_own_prompt_when_rows_are_unsorted():
    # Prompt p holds the two images that are right: with p drawn twice top-1 is 1, with q twice 0.
    table = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    found = row(scored(table, [0] * 4, rows=[8, 2, 5, 3], prompts=["q", "p", "q", "p"]))
    assert (found["top1"], found["top1_low"], found["top1_high"]) == (0.5, 0, 1)


def test_calibrated_figures_by_hand():
    log_p = np.log([[0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1], [0.2, 0.2, 0.5, 0.1]])
    p = np.array([[0.9, 0.05, 0.1, 0.01], [0.05, 0.6, 0.4, 0.3], [0.1, 0.5, 0.2, 0.05], [0.0, 0.0, 0.0, 0.0]])
    found = row(scored(np.exp(log_p), [0, 0, 1, 2], log_p=log_p, p=p))
    # Sets {a}, {b, c, d}, {b, c}, {}: a p-value equal to ε is out.
    assert found["set_size"] == pytest.approx(6 / 4)
    assert found["coverage"] == pytest.approx(2 / 4)
    # Confidence 0.7 twice and 0.5 twice, all right.
    assert found["ece"] == pytest.approx(0.4)


def test_probabilities_are_of_the_candidates_only():
    log_p = np.array([[np.log(0.25), np.log(0.75), NONE, NONE]])
    found = row(scored([[1, 2, NONE, NONE]], [1], log_p=log_p, p=np.array([[0.5, 1.0, 0.0, 0.0]])))
    assert found["ece"] == pytest.approx(0.25)
    assert found["set_size"] == 2


def test_the_lift_is_paired():
    """Both methods miss half; where one is right exactly when the other is wrong, no lift is certain."""
    prompts = [f"p{i}" for i in range(40)]
    right, wrong = [9, 0, 0, 0], [0, 9, 0, 0]
    ours = scored([right, wrong] * 20, [0] * 40, prompts=prompts)
    same = scored([right, wrong] * 20, [0] * 40, prompts=prompts)
    assert [row(ours, same)[f"lift{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    other = scored([wrong, right] * 20, [0] * 40, prompts=prompts)
    found = row(ours, other)
    assert found["lift"] == 0
    assert found["lift_low"] < -0.2
    assert found["lift_high"] > 0.2
    worse = scored([right, wrong, wrong, wrong] * 10, [0] * 40, prompts=prompts)
    assert row(ours, worse)["lift"] == pytest.approx(0.25)
    # A method has no lift over itself.
    assert row(ours, ours)["lift"] is None


def test_unknown_models_enter_the_open_set_figures_only():
    # Best scores: known 9 (right), 8 (right), 4 (wrong); unknown 6 and 3.
    table = [[9, 0, 0, 0], [0, 8, 0, 0], [0, 0, 4, 0], [6, 0, 0, 0], [0, 3, 0, 0]]
    found = row(scored(table, [0, 1, 0, -1, -1]))
    assert found["n_queries"] == 3
    assert found["n_unknown"] == 2
    assert found["top1"] == pytest.approx(2 / 3)
    assert found["auroc"] == pytest.approx(5 / 6)
    # Both right ones beat both unknown ones: 4 wins of 3 · 2 pairs.
    assert found["oscr"] == pytest.approx(4 / 6)
    # 95 % of three known queries are all three, so the threshold is 4, which one unknown passes.
    assert found["fpr95"] == pytest.approx(1 / 2)
    closed = row(scored(table[:3], [0, 1, 0]))
    assert {name: found[name] for name in ("top1", "top2", "f1", "family_top1")} == {
        name: closed[name] for name in ("top1", "top2", "f1", "family_top1")
    }


def add(collector, candidates, scores, truth, rows, calibration=None):
    table = np.array(scores, dtype=float)
    names = np.array(truth)
    prompts, degraded = np.array(["p"] * len(rows)), np.arange(len(rows)) % 2 == 1
    collector.add(np.array(candidates), table, names, np.array(rows), prompts, calibration, degraded)


def test_collector_spreads_candidates_over_all_models():
    collector = Collector(MODELS)
    add(collector, ["b", "d"], [[1, 2], [4, 3]], ["d", "c"], [5, 6])
    add(collector, ["a", "b", "c", "d"], [[1, 2, 3, 4]], ["zebra"], [7])
    found = collector.result()
    assert found.scores.tolist() == [[NONE, 1, NONE, 2], [NONE, 4, NONE, 3], [1, 2, 3, 4]]
    # c is no candidate of the second query, and nobody knows the zebra: both are unknown.
    assert found.truth.tolist() == [3, -1, -1]
    assert found.rows.tolist() == [5, 6, 7]
    assert found.known.tolist() == [2, 4, 4]
    assert found.log_probabilities is None


class Plain:
    """A calibration that can be worked out by hand: softmax as it is, and one minus it as p-value.

    Degraded queries fit by ten less.
    """

    def log_probabilities(self, scores, degraded):
        return log_softmax(scores, axis=1)

    def p_values(self, scores, degraded):
        return 1 - softmax(scores, axis=1)

    def known(self, scores, degraded):
        return scores.max(axis=1) + 10 * degraded


def test_collector_calibrates_over_the_candidates_and_all_or_nothing():
    collector = Collector(MODELS)
    add(collector, ["b", "d"], [[np.log(1), np.log(3)], [1, 2]], ["d", "b"], [0, 3], Plain())
    found = collector.result()
    assert found.known.tolist() == pytest.approx([np.log(3), 12])
    assert found.log_probabilities is not None
    assert found.p_values is not None
    # What is no candidate has no probability, and is in no candidate set.
    assert np.exp(found.log_probabilities)[0].tolist() == pytest.approx([0, 0.25, 0, 0.75])
    assert found.p_values[0].tolist() == pytest.approx([0, 0.75, 0, 0.25])
    add(collector, ["b", "d"], [[1, 2]], ["d"], [1], None)
    assert collector.result().log_probabilities is None
    assert collector.result().p_values is None
