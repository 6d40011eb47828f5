"""Variances within and between models: unbiased, and against statsmodels-free closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from morelli.errors import ArrayError
from morelli.evaluation.metrics import auroc
from morelli.exposure.variance import components, variances

from ..evaluation.samples import gaussian


def test_by_hand():
    # a: 0, 2 (variance 2), b: 10, 14 (variance 8): within (2 + 8)/2; means 1 and 12, their variance 60.5, less 5/2.
    assert components([[0.0], [2.0], [10.0], [14.0]], list("aabb")) == pytest.approx((5.0, 60.5 - 2.5))


def test_both_are_recovered_with_uneven_groups():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        count = [2, 3, 5, 1, 4]
        effect = 1.5 * rng.standard_normal(5)
        x = np.repeat(effect, count) + 0.5 * rng.standard_normal(sum(count))
        found.append(components(x[:, None], np.repeat(list("abcde"), count)))
    within, between = np.mean(found, axis=0)
    assert within == pytest.approx(0.25, rel=0.05)
    assert between == pytest.approx(2.25, rel=0.12)


def test_no_difference_gives_no_variance_between():
    found = variances(gaussian(6, 40, 4, effect=0.0))
    assert abs(found.share) < 0.02
    assert found.pair_auroc == pytest.approx(0.5, abs=0.02)
    assert variances(gaussian(6, 40, 4, effect=3.0)).share > 0.6


def test_histograms_and_auroc_are_of_the_pairs():
    data = gaussian(3, 1, 4, effect=1.0)
    found = variances(data)
    x = np.concatenate([v / np.linalg.norm(v, axis=1, keepdims=True) for v in data.vectors.values()], axis=1)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = {True: [], False: []}
    for i in range(12):
        for j in range(i):
            pairs[bool(data.models[i] == data.models[j])].append(np.linalg.norm(x[i] - x[j]))
    assert found.pair_auroc == pytest.approx(auroc([-d for d in pairs[True]], [-d for d in pairs[False]]))
    for kind, shares in ((True, found.same), (False, found.different)):
        middle = (found.edges[1:] + found.edges[:-1]) / 2
        assert float(shares @ middle) == pytest.approx(np.mean(pairs[kind]), abs=found.edges[1])
        assert shares.sum() == pytest.approx(1)


def test_bad_input():
    with pytest.raises(ArrayError):
        components([[0.0], [1.0]], ["a", "b"])
