"""The interval covers what it says when queries depend on each other; resampling queries does not."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from morelli.errors import ArrayError
from morelli.evaluation.bootstrap import expanded_tail, paired_lift, prompt_bootstrap


def clustered(rng: np.random.Generator, n_prompts: int, each: int = 10):
    """Hits whose probability differs from prompt to prompt; the true mean is 0.7."""
    p = rng.beta(3.5, 1.5, n_prompts)
    hits = rng.random((n_prompts, each)) < p[:, None]
    return hits.ravel().astype(float), np.repeat([f"p{i}" for i in range(n_prompts)], each)


def covers(n_prompts: int, runs: int, *, known: bool) -> float:
    """Fraction of runs in which the interval holds the truth: over prompts, or as if queries were independent."""
    rng = np.random.default_rng(5)
    inside = 0
    for run in range(runs):
        hits, prompts = clustered(rng, n_prompts)
        _, low, high = prompt_bootstrap(hits, prompts if known else np.full(len(prompts), ""), draws=400, seed=run)
        inside += low <= 0.7 <= high
    return inside / runs


@pytest.mark.parametrize("n_prompts", [14, 60])
def test_coverage_is_near_nominal_and_the_naive_one_is_not(n_prompts):
    assert 0.92 <= covers(n_prompts, 500, known=True) <= 0.98
    assert covers(n_prompts, 100, known=False) < 0.88


def test_points_and_ends_by_hand():
    # Two prompts with means 1 and 0: a resample is 0, 0.5 or 1, each end with probability 1/4.
    assert prompt_bootstrap([1, 1, 0, 0], ["a", "a", "b", "b"]) == (0.5, 0.0, 1.0)
    # Unequal sizes: the mean over queries, not over prompts.
    assert prompt_bootstrap([1, 1, 1, 0], ["a", "a", "a", "b"]).point == 0.75
    assert prompt_bootstrap([1, 1, 1, 1], ["a", "a", "b", "c"]) == (1, 1, 1)


def test_many_prompts_give_the_normal_interval():
    rng = np.random.default_rng(0)
    values = rng.normal(2.0, 3.0, 2500)
    point, low, high = prompt_bootstrap(values, [f"{i}" for i in range(2500)], draws=4000)
    half = 1.96 * values.std() / 50
    assert point == pytest.approx(values.mean())
    assert low == pytest.approx(point - half, abs=0.1 * half)
    assert high == pytest.approx(point + half, abs=0.1 * half)


def test_it_equals_a_slow_loop_that_resamples_prompts():
    rng = np.random.default_rng(1)
    hits, prompts = clustered(rng, 40)
    keep = rng.random(len(hits)) < 0.5  # prompts of unequal sizes
    hits, prompts = hits[keep], prompts[keep]
    groups = [hits[prompts == p] for p in np.unique(prompts)]
    loop = [
        np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]).mean() for _ in range(10_000)
    ]
    # Student's t with 39 degrees of freedom, 2.0227 · √(40/39) = 2.0484, cuts 0.0203 off the normal.
    low, high = np.quantile(loop, [0.0203, 0.9797])
    found = prompt_bootstrap(hits, prompts, draws=50_000)
    assert found.low == pytest.approx(low, abs=0.005)
    assert found.high == pytest.approx(high, abs=0.005)


@pytest.mark.parametrize(("level", "n"), [(0.95, 2), (0.95, 14), (0.9, 60), (0.95, 100_000)])
def test_the_widened_tail_equals_scipys_distributions(level, n):
    from scipy.stats import norm, t

    wanted = norm.cdf(math.sqrt(n / (n - 1)) * t.ppf((1 - level) / 2, n - 1))
    assert expanded_tail(level, n) == pytest.approx(wanted)
    assert expanded_tail(level, n) < (1 - level) / 2


def test_one_prompt_has_no_interval():
    point, low, high = prompt_bootstrap([1, 0, 1, 1], ["a"] * 4)
    assert point == 0.75
    assert math.isnan(low)
    assert math.isnan(high)


def test_unknown_prompts_count_one_by_one():
    values = [1, 0, 1, 1, 0, 1]
    assert prompt_bootstrap(values, [""] * 6) == prompt_bootstrap(values, list("abcdef"))


def test_a_ratio_of_columns():
    positive = np.array([1, 1, 0, 0, 1, 0], dtype=float)
    hit = np.array([1, 0, 0, 1, 1, 1], dtype=float)
    found = prompt_bootstrap(
        np.column_stack([positive * hit, positive]),
        list("aabbcd"),
        statistic=lambda means: means[..., 0] / means[..., 1],
    )
    assert found.point == pytest.approx(2 / 3)
    assert found.low == pytest.approx(0.5)  # prompt a alone among the positives
    assert found.high == 1
    nothing = prompt_bootstrap(np.zeros((4, 2)), list("abcd"), statistic=lambda means: means[..., 0] / means[..., 1])
    assert all(math.isnan(x) for x in nothing)


def test_lift_is_paired():
    rng = np.random.default_rng(3)
    hard, prompts = clustered(rng, 30)
    better = np.where(rng.random(len(hard)) < 0.1, 1.0, hard)
    point, low, high = paired_lift(better, hard, prompts)
    alone = prompt_bootstrap(better, prompts)
    assert point == pytest.approx(better.mean() - hard.mean())
    assert 0 < low < point < high
    assert high - low < (alone.high - alone.low) / 2
    assert paired_lift(hard, hard, prompts) == (0, 0, 0)


def test_the_seed_decides():
    hits, prompts = clustered(np.random.default_rng(0), 20)
    assert prompt_bootstrap(hits, prompts, seed=1) == prompt_bootstrap(hits, prompts, seed=1)
    assert prompt_bootstrap(hits, prompts, seed=1) != prompt_bootstrap(hits, prompts, seed=2)


@pytest.mark.parametrize("n_prompts", [60, 10_000])
def test_two_thousand_draws_of_ten_thousand_queries_are_quick(n_prompts):
    rng = np.random.default_rng(0)
    hits, prompts = rng.random(10_000), rng.integers(0, n_prompts, 10_000).astype(str)
    start = time.process_time()
    prompt_bootstrap(hits, prompts)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("values", "prompts", "options"),
    [
        ([1, np.nan], ["a", "b"], {}),
        ([1, 2], ["a"], {}),
        ([], [], {}),
        ([1, 2], ["a", "b"], {"level": 1.0}),
        ([1, 2], ["a", "b"], {"draws": 0}),
    ],
)
def test_bad_input_is_named(values, prompts, options):
    with pytest.raises(ArrayError):
        prompt_bootstrap(values, prompts, **options)


def test_lift_of_unequal_lengths_is_refused():
    with pytest.raises(ArrayError, match="pairs"):
        paired_lift([1, 2], [1], ["a", "b"])
