"""Each figure against scikit-learn, a slow loop or a case worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.errors import ArrayError
from morelli.evaluation import metrics as m

seeds = st.integers(0, 2**32 - 1)


def some_scores(seed: int, n: int = 60, classes: int = 6, ties: bool = True):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (n, classes)) if ties else rng.normal(size=(n, classes))
    return scores.astype(float), rng.integers(0, classes, n)


def some_probabilities(seed: int, n: int = 200, classes: int = 5):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.4), n), rng.integers(0, classes, n)


def test_topk_by_hand():
    scores = [[3, 2, 1], [3, 2, 1], [3, 2, 1], [2, 2, 1]]
    hits = m.topk_hits(scores, [0, 1, 2, 0], (1, 2, 3))
    assert hits[1].tolist() == [True, False, False, False]  # the last one is a tie for the first place
    assert hits[2].tolist() == [True, True, False, True]
    assert hits[3].tolist() == [True, True, True, True]


def test_constant_scores_earn_nothing():
    hits = m.topk_hits(np.zeros((50, 7)), np.arange(50) % 7, (1, 5, 6))
    assert not any(hit.any() for hit in hits.values())


def test_unknown_truth_and_truth_that_is_no_candidate_are_no_hits():
    scores = [[1.0, -np.inf, 0.0], [1.0, -np.inf, 0.0]]
    assert not m.topk_hits(scores, [-1, 1], (3,))[3].any()


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_topk_equals_sklearn_without_ties_and_a_loop_with_them(seed):
    scores, truth = some_scores(seed, ties=False)
    hits = m.topk_hits(scores, truth, (1, 2, 3))
    for k, hit in hits.items():
        assert hit.mean() == pytest.approx(sk.top_k_accuracy_score(truth, scores, k=k, labels=range(6)))
    scores, truth = some_scores(seed)
    for k, hit in m.topk_hits(scores, truth, (1, 2, 3)).items():
        for row, t, got in zip(scores, truth, hit, strict=True):
            others = [s for j, s in enumerate(row) if j != t]
            assert got == (sum(s >= row[t] for s in others) < k)


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_label_metrics_equal_sklearn(seed):
    rng = np.random.default_rng(seed)
    truth, said = rng.choice(list("abc"), 40), rng.choice(list("abcd"), 40)
    assert m.accuracy(truth, said) == pytest.approx(sk.accuracy_score(truth, said))
    assert m.macro_f1(truth, said) == pytest.approx(sk.f1_score(truth, said, average="macro"))
    order = ["c", "a", "d", "b", "none"]
    assert (m.confusion_matrix(truth, said, order) == sk.confusion_matrix(truth, said, labels=order)).all()


def test_confusion_matrix_refuses_labels_it_does_not_know():
    with pytest.raises(ArrayError, match="unsure"):
        m.confusion_matrix(["a", "b"], ["a", "unsure"], ["a", "b"])
    with pytest.raises(ArrayError, match="twice"):
        m.confusion_matrix(["a"], ["a"], ["a", "a"])


def slow_ece(probabilities, truth, edges):
    """Bins (lo, hi], one after another."""
    confidence, said = probabilities.max(axis=1), probabilities.argmax(axis=1)
    total = 0.0
    for lo, hi in pairwise(edges):
        inside = (confidence > lo) & (confidence <= hi)
        if inside.any():
            gap = abs(confidence[inside].mean() - (said == truth)[inside].mean())
            total += gap * inside.mean()
    return total


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(1, 20))
def test_ece_equals_a_loop(seed, bins):
    probabilities, truth = some_probabilities(seed)
    assert m.ece(probabilities, truth, bins) == pytest.approx(
        slow_ece(probabilities, truth, np.linspace(0, 1, bins + 1))
    )
    edges = np.quantile(probabilities.max(axis=1), np.linspace(0, 1, bins + 1))
    edges[0] = -1
    assert m.ece(probabilities, truth, bins, "mass") == pytest.approx(slow_ece(probabilities, truth, edges))


def test_ece_by_hand():
    # Four queries at 0.8, three right: |0.8 − 0.75|. Two at 0.6, none right: 0.6. Weighted: (4·0.05 + 2·0.6) / 6.
    probabilities = [[0.8, 0.2]] * 4 + [[0.6, 0.4]] * 2
    assert m.ece(probabilities, [0, 0, 0, 1, 1, 1]) == pytest.approx(1.4 / 6)
    assert m.ece(probabilities, [0, 0, 0, -1, -1, -1]) == pytest.approx(1.4 / 6)
    assert m.ece([[0.5, 0.5]] * 4, [0, 0, 1, 1]) == pytest.approx(0.5)  # ties earn nothing
    assert m.ece(np.eye(3), [0, 1, 2]) == 0
    # A confidence on an edge belongs to the bin below it: 0.5 and 0.4 share (0, 0.5].
    assert m.ece([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25]], [0, 1], bins=2) == pytest.approx(abs(0.9 - 1) / 2)


@settings(deadline=None, max_examples=10)
@given(seeds)
def test_nll_equals_sklearn(seed):
    probabilities, truth = some_probabilities(seed)
    assert m.nll(probabilities, truth) == pytest.approx(sk.log_loss(truth, probabilities, labels=range(5)))


def test_nll_of_an_impossible_truth_is_finite_and_of_an_unknown_one_refused():
    assert m.nll([[1.0, 0.0]], [1]) == pytest.approx(-math.log(2.0**-52))
    with pytest.raises(ArrayError, match="unknown"):
        m.nll([[1.0, 0.0]], [-1])


def test_candidate_sets_by_hand():
    sets = np.array([[True, True, False], [False, False, False], [False, True, True], [True, True, True]])
    assert m.covered(sets, [0, 1, 0, -1]).tolist() == [True, False, False, False]
    assert m.coverage(sets, [0, 1, 0, -1]) == 0.25
    assert m.mean_set_size(sets) == 7 / 4


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_binary_rates_equal_sklearn(seed):
    rng = np.random.default_rng(seed)
    truth, said = rng.random(50) < 0.3, rng.random(50) < 0.4
    truth[:2] = True, False
    assert m.balanced_accuracy(truth, said) == pytest.approx(sk.balanced_accuracy_score(truth, said))
    assert m.true_positive_rate(truth, said) == pytest.approx(sk.recall_score(truth, said))
    assert m.false_positive_rate(truth, said) == pytest.approx(1 - sk.recall_score(~truth, ~said))


def test_rates_of_what_is_absent_are_nan():
    yes = np.ones(3, dtype=bool)
    assert math.isnan(m.false_positive_rate(yes, yes))
    assert math.isnan(m.true_positive_rate(~yes, yes))
    assert math.isnan(m.balanced_accuracy(yes, yes))
    for figure in (m.auroc([], [1]), m.fpr_at_tpr([1], []), m.oscr([1], np.array([True]), [])):
        assert math.isnan(figure)


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_auroc_equals_sklearn_with_ties(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, 30) + 1.0, rng.integers(0, 6, 20).astype(float)
    assert m.auroc(a, b) == pytest.approx(sk.roc_auc_score([1] * 30 + [0] * 20, np.concatenate([a, b])))


def test_infinite_scores_have_a_rank():
    assert m.auroc([np.inf, 0.0], [-np.inf, 0.0]) == pytest.approx(3.5 / 4)


def test_fpr_at_tpr_by_hand():
    known = np.arange(1, 21)  # 95 % of 20 are 19: the threshold is 2
    assert m.fpr_at_tpr(known, [1, 1.9, 2, 5]) == 0.5
    assert m.fpr_at_tpr(known, [0, 0], tpr=1.0) == 0
    assert m.fpr_at_tpr(known, [1, 0], tpr=1.0) == 0.5
    assert m.fpr_at_tpr(np.arange(100), [92.5, 93.5], tpr=0.07) == 0.5  # 0.07 · 100 is a little above 7


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_fpr_at_tpr_equals_the_roc_curve(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 9, 40) + 2.0, rng.integers(0, 9, 30).astype(float)
    fpr, tpr, _ = sk.roc_curve([1] * 40 + [0] * 30, np.concatenate([a, b]), drop_intermediate=False)
    assert m.fpr_at_tpr(a, b) == pytest.approx(fpr[tpr >= 0.95].min())


def slow_oscr(known, correct, unknown):
    """Every threshold in turn, trapezoids between."""
    points = [(0.0, 0.0)]
    for t in sorted({*known, *unknown}, reverse=True):
        points.append((np.mean(unknown >= t), np.mean(correct & (known >= t))))
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_oscr_equals_a_loop_and_is_bounded(seed):
    rng = np.random.default_rng(seed)
    known, unknown = rng.integers(0, 8, 30) + 1.0, rng.integers(0, 8, 25).astype(float)
    correct = rng.random(30) < 0.7
    area = m.oscr(known, correct, unknown)
    assert area == pytest.approx(slow_oscr(known, correct, unknown))
    assert 0 <= area <= correct.mean()
    assert m.oscr(known, np.ones(30, dtype=bool), unknown) == pytest.approx(m.auroc(known, unknown))


def test_oscr_by_hand():
    known, correct = np.array([4.0, 3.0, 2.0]), np.array([True, False, True])
    assert m.oscr(known, correct, [1.0, 0.0]) == pytest.approx(2 / 3)  # all known above: the accuracy
    assert m.oscr(known, correct, [5.0, 6.0]) == 0
    assert m.oscr(known, correct, [3.0, 0.0]) == pytest.approx((1 + 0.5) / 3)


@pytest.mark.parametrize(
    ("scores", "truth"),
    [([[1, np.nan]], [0]), ([[1, 2]], [2]), ([[1, 2]], [-2]), ([[1, 2]], [0, 1]), ([1, 2], [0]), ([[1, 2]], [0.5])],
)
def test_bad_input_is_named(scores, truth):
    with pytest.raises(ArrayError):
        m.topk_hits(np.array(scores, dtype=float), np.array(truth))


def test_bad_probabilities_sets_and_options_are_named():
    bad = [
        lambda: m.ece([[0.9, 0.9]], [0]),
        lambda: m.ece([[1.1, -0.1]], [0]),
        lambda: m.ece([[1.0, 0.0]], [0], bins=0),
        lambda: m.ece([[1.0, 0.0]], [0], binning="other"),  # pyright: ignore[reportArgumentType]
        lambda: m.covered([[1, 0]], [0]),
        lambda: m.topk_hits([[1.0, 2.0]], [0], (0,)),
        lambda: m.true_positive_rate([1, 0], [True, False]),
        lambda: m.auroc([np.nan], [1.0]),
        lambda: m.fpr_at_tpr([1.0], [1.0], tpr=0),
        lambda: m.oscr([1.0], [1], [0.0]),
        lambda: m.accuracy([], []),
    ]
    for call in bad:
        with pytest.raises(ArrayError):
            call()


def test_arguments_are_left_alone():
    scores, truth = some_scores(1)
    before = scores.copy(), truth.copy()
    m.topk_hits(scores, truth)
    m.auroc(scores[:, 0], scores[:, 1])
    assert (scores == before[0]).all()
    assert (truth == before[1]).all()


def test_the_floor_of_the_ece_is_what_perfect_forecasts_show():
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 1.0, 400)
    table = np.stack([confidence, 1 - confidence], axis=1)
    shown = [m.ece(table, (rng.random(400) > confidence).astype(int)) for _ in range(300)]
    assert m.ece_floor(table) == pytest.approx(np.mean(shown), rel=0.06)
    # By hand: one query, sure by 0.8, is off by 0.2 four times in five and by 0.8 else.
    assert m.ece_floor([[0.8, 0.2]], draws=20_000) == pytest.approx(0.8 * 0.2 + 0.2 * 0.8, abs=0.01)
    assert m.ece_floor([[1.0, 0.0]] * 9) == 0.0
    with pytest.raises(ArrayError):
        m.ece_floor(table, draws=0)
