"""Weakened changes stay in between, keep their mean, and meet a quality that was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.defence.perturb import sign_noise
from morelli.defence.quality import psnr
from morelli.defence.strength import Matched, match_psnr, mean_psnr, weakened
from morelli.errors import ArrayError

from .toys import scene

BEFORE = np.full((50, 60, 3), 100, np.uint8)


@given(share=st.floats(0, 1), more=st.floats(0, 1), seed=st.integers(0, 50))
def test_in_between_and_rising_with_the_share(share: float, more: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = (rng.integers(0, 256, (6, 7, 3)).astype(np.uint8) for _ in range(2))
    low, high = sorted((share, more))
    small, large = (weakened(before, after, each).astype(int) - before for each in (low, high))
    full = after.astype(int) - before
    assert (np.abs(small) <= np.abs(large)).all()
    assert (np.abs(large) <= np.abs(full)).all()
    assert (np.sign(large) * np.sign(full) >= 0).all()


def test_the_ends_are_the_images_themselves() -> None:
    after = sign_noise(scene(), 4)
    np.testing.assert_array_equal(weakened(scene(), after, 1), after)
    np.testing.assert_array_equal(weakened(scene(), after, 0), scene())


@pytest.mark.parametrize(("level", "share", "kept"), [(4, 0.5, {2}), (1, 0.3, {0, 1}), (-3, 0.5, {-1, -2})])
def test_a_share_remains_on_average(level: int, share: float, kept: set[int]) -> None:
    after = (BEFORE.astype(int) + level).astype(np.uint8)
    found = weakened(BEFORE, after, share).astype(int) - BEFORE
    assert set(np.unique(found)) == kept
    # Five standard deviations of the mean of 9,000 draws.
    assert found.mean() == pytest.approx(level * share, abs=5 * 0.5 / 9000**0.5)


def test_psnr_by_hand() -> None:
    # All samples two levels away: 10 log₁₀(255²/4).
    two = (BEFORE + 2).astype(np.uint8)
    assert mean_psnr([(BEFORE, two)]) == pytest.approx(42.1102, abs=1e-4)
    four = (BEFORE + 4).astype(np.uint8)
    assert mean_psnr([(BEFORE, two), (BEFORE, four)]) == pytest.approx(42.1102 - 3.0103, abs=1e-4)
    assert mean_psnr([(BEFORE, two), (BEFORE, BEFORE)]) == pytest.approx(42.1102, abs=1e-4)
    assert mean_psnr([(BEFORE, BEFORE)]) == math.inf


@pytest.mark.parametrize("target", [37.0, 40.0, 45.0, 52.0])
def test_it_meets_the_target(target: float) -> None:
    pairs = [(scene(seed), sign_noise(scene(seed), 4, seed)) for seed in range(3)]
    found = match_psnr(pairs, target, 0.05)
    again = np.mean([psnr(before, weakened(before, after, found.share)) for before, after in pairs])
    assert found.psnr == pytest.approx(again)
    assert abs(found.psnr - target) <= 0.05
    assert 0 < found.share < 1


def test_one_level_everywhere_by_hand() -> None:
    """One level on a share s of the samples has 10 log₁₀(255²/s) dB: 3.01 dB more at a half."""
    one = (BEFORE + 1).astype(np.uint8)
    assert match_psnr([(BEFORE, one)], 48.1308 + 3.0103, 0.01).share == pytest.approx(0.5, abs=0.02)
    # An image that the defence left alone does not count.
    found = match_psnr([(BEFORE, one), (BEFORE, BEFORE)], 48.1308, 0.01)
    assert found == Matched(1.0, pytest.approx(48.1308, abs=1e-4))


def test_refused() -> None:
    one = (BEFORE + 1).astype(np.uint8)
    with pytest.raises(ArrayError, match="larger ε"):
        match_psnr([(BEFORE, one)], 40.0)
    with pytest.raises(ArrayError, match="no image was changed"):
        match_psnr([(BEFORE, BEFORE)], 40.0)
    with pytest.raises(ArrayError, match="above 0"):
        match_psnr([(BEFORE, one)], 60.0, 0.0)
    with pytest.raises(ArrayError, match="no share comes within"):
        match_psnr([(BEFORE[:2, :2], one[:2, :2])], 53.0, 0.01)
    with pytest.raises(ArrayError, match="0–1"):
        weakened(BEFORE, one, 1.2)
    with pytest.raises(ArrayError, match="one size"):
        weakened(BEFORE, one[:2], 0.5)
