"""Correlations against scipy, bands, and prompts that an attacker picks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from morelli.errors import ArrayError, InputError, UnknownNameError
from morelli.exposure.correlation import correlate
from morelli.exposure.cost import PRICE, cost
from morelli.exposure.prices import check_priced, parse_price, read_prices
from morelli.exposure.prompts import BANDS, band_name, bands, chosen_accuracy, chosen_sizes, most_exposing


def test_coefficients_are_scipys():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, 50).astype(float)
    y = x + rng.standard_normal(50)
    found = correlate(x, y)
    assert found["pearson"].point == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found["spearman"].point == pytest.approx(stats.spearmanr(x, y).statistic)


def test_the_interval_is_that_of_a_bootstrap():
    rng = np.random.default_rng(1)
    x = rng.standard_normal(80)
    y = 0.6 * x + rng.standard_normal(80)
    found = correlate(x, y, draws=3000)["pearson"]
    wanted = stats.bootstrap(
        (x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False, method="percentile",
        n_resamples=600, rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == (pytest.approx(wanted.low, abs=0.03), pytest.approx(wanted.high, abs=0.03))


def test_several_choices_are_averaged_over_the_same_prompts():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 3, 40))
    wanted = np.mean([stats.pearsonr(a, b).statistic for a, b in zip(x, y, strict=True)])
    assert correlate(x, y)["pearson"].point == pytest.approx(wanted)
    # A prompt that one choice lacks is left out of all.
    x[1, 7] = np.nan
    rest = np.arange(40) != 7
    wanted = np.mean([stats.pearsonr(a[rest], b[rest]).statistic for a, b in zip(x, y, strict=True)])
    assert correlate(x, y)["pearson"].point == pytest.approx(wanted)


def test_no_spread_no_coefficient():
    found = correlate(np.ones(9), np.arange(9))
    assert np.isnan([*found["pearson"], *found["spearman"]]).all()
    assert np.isnan(correlate([1.0, 2.0], [1.0, 2.0])["pearson"].point)
    with pytest.raises(ArrayError):
        correlate([1.0, 2.0], [1.0, 2.0, 3.0])


def test_bands():
    assert bands([0, 0.2499, 0.25, 0.5, 6 / 7, 1 - 1e-12, 1, np.nan]).tolist() == [0, 0, 1, 2, 3, 4, 4, -1]
    assert [band_name(*band) for band in BANDS] == ["0 – 0.25", "0.25 – 0.5", "0.5 – 0.75", "0.75 – 1", "1"]


def test_the_most_exposing_prompts():
    scores, breaks = [0.5, np.nan, 1.0, 1.0, 0.0], [0, 0, 0.2, 0.9, 1.0]
    assert most_exposing(scores, 5, breaks).tolist() == [3, 2, 0, 4, 1]
    assert most_exposing(scores, 2).tolist() == [2, 3]
    with pytest.raises(ArrayError):
        most_exposing(scores, 6)


def test_accuracy_on_picked_prompts_is_that_of_the_other_images():
    score = [[0.9, 0.1, 0.5], [0.1, 0.9, 0.5]]
    measured = [[1.0, 0.0, 0.5], [0.2, 0.4, np.nan]]
    assert chosen_accuracy(score, measured, [1, 2, 3]) == [
        pytest.approx((1.0 + 0.4) / 2),
        pytest.approx((0.75 + 0.4) / 2),  # of the second choice's two prompts one was not measured
        pytest.approx((0.5 + 0.3) / 2),
    ]
    assert chosen_sizes(60) == [1, 2, 5, 10, 20, 50, 60]
    assert chosen_sizes(1) == [1]


def test_cost_is_the_papers():
    found = cost(10, 22)
    assert found.images_per_battle == 220
    assert found.per_battle == pytest.approx(5.40)
    assert found.campaign(1000) == pytest.approx(5400)
    assert cost(2, 2, {"a": 1.0, "b": 0.5}).per_battle == 3.0


def test_prompts_that_repeat_are_paid_once():
    rng = np.random.default_rng(0)
    drawn = [len(np.unique(rng.integers(50, size=80))) for _ in range(3000)]
    assert cost(1, 2, 1.0, prompts=50).asked(80) == pytest.approx(np.mean(drawn), rel=0.01)
    assert cost(1, 2, 1.0, prompts=1).campaign(30) == pytest.approx(2.0)
    assert cost(1, 2, 1.0, prompts=50).campaign(1e9) == pytest.approx(100.0)


@pytest.mark.parametrize(
    "arguments", [(0, 3), (1, 1), (1, 2, -1.0), (1, 2, float("nan")), (1, 2, {"a": 1.0}), (1, 2, PRICE, 0)]
)
def test_bad_prices(arguments):
    with pytest.raises(InputError):
        cost(*arguments)


def test_prices_by_model(tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text('\ufeffmodel,price\n"a, b", 0.5\nc,0\n', encoding="utf-8")
    assert parse_price(str(file)) == {"a, b": 0.5, "c": 0.0}
    assert parse_price("0.25") == 0.25
    check_priced({"a": 1.0, "b": 0.0}, {"a", "b"})
    check_priced(1.0, {"a", "b"})
    with pytest.raises(UnknownNameError, match="'model-a'"):
        check_priced({"a": 1.0, "model_a": 1.0, "model-b": 1.0}, ["a", "model-a", "model-b"])
    with pytest.raises(InputError, match="no price for 'b', 'c'"):
        check_priced({"a": 1.0}, ["c", "b", "a"])


def test_a_price_is_a_number_or_a_file(tmp_path):
    for text, said in (("-1", "from 0 on"), ("inf", "from 0 on"), ("prices.csv", "neither a number nor a file")):
        with pytest.raises(InputError, match=said):
            parse_price(text)
    (tmp_path / "latin.csv").write_bytes("model,price\né,1\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_prices(tmp_path / "latin.csv")
