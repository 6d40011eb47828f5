"""The decay of made-up spectra, rings by a slow loop, votes by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.baselines.dzanic import BINS, Dzanic, decay_features, fit_decay, grey, moving_average, ring_means
from morelli.baselines.knn import euclidean, vote_scores
from morelli.errors import ArrayError, ImageTooSmallError, InputError, NotEnoughReferencesError, NotFittedError
from tests.baselines.toys import accuracy, pictures, stripes


def power_law(side: int, decay: float, seed: int = 0) -> np.ndarray:
    """A real picture whose spectrum's magnitude is exactly 1/f^decay, f in shares of the greatest radius."""
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((side, side)))
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(frequency[:, None], frequency) / np.hypot(0.5, 0.5)
    radius[0, 0] = 1.0
    return np.real(np.fft.ifft2(noise / np.abs(noise) * radius**-decay))


@pytest.mark.parametrize("decay", [0.5, 1.0, 2.0, 3.5])
def test_a_power_law_gives_its_exponent_back(decay):
    c, first, last = decay_features(power_law(256, decay))
    assert c == pytest.approx(-decay, abs=0.03)
    assert (first, last) == pytest.approx((0.85**-decay, 1.0), rel=0.03)


@settings(max_examples=25, deadline=None)
@given(st.floats(-6, 1), st.floats(1e-3, 1e5))
def test_the_fit_is_exact_whatever_the_magnitude(c, scale):
    x = np.linspace(0.85, 1.0, 60)
    assert fit_decay(x, scale * x**c) == pytest.approx(c, abs=1e-3)


def test_the_published_constants():
    """200 rings, five neighbours, and MATLAB's grey: a picture of three pure colours tells its weights."""
    assert BINS == 200
    assert Dzanic().k == 5
    pure = np.zeros((16, 16, 3), dtype=np.uint8)
    pure[:5, :, 0], pure[5:10, :, 1], pure[10:, :, 2] = 100, 100, 100
    assert grey(pure)[[0, 5, 10], 0].tolist() == pytest.approx([29.89, 58.7, 11.4], abs=0.02)


def test_rings_are_means_of_magnitudes():
    picture = np.random.default_rng(1).uniform(0, 255, (48, 64))
    spectrum = np.abs(np.fft.fft2(picture))
    sums, counts = np.zeros(BINS), np.zeros(BINS)
    for i in range(48):
        for j in range(64):
            u, v = i if i < 24 else i - 48, j if j < 32 else j - 64
            share = np.sqrt(u * u + v * v) / np.sqrt(24**2 + 32**2)
            if share > 0.5:
                ring = min(int((share - 0.5) * 2 * BINS), BINS - 1)
                sums[ring] += spectrum[i, j]
                counts[ring] += 1
    filled = counts > 0
    plain = np.interp(np.arange(BINS), np.flatnonzero(filled), sums[filled] / counts[filled])
    assert np.allclose(ring_means(picture)[1], moving_average(plain, 5))


def test_the_moving_average_narrows_towards_the_ends():
    assert np.allclose(moving_average(np.array([1.0, 2, 6, 4, 10, 3]), 5), [1, 3, 4.6, 5, 17 / 3, 3])


def test_votes_come_first_and_distance_decides_between_equals():
    distances = np.array([[1.0, 2.0, 3.0, 9.0, 8.0]])
    scores = vote_scores(distances, np.array([0, 1, 1, 2, 3]), 4, 3)[0]
    assert scores.argsort()[::-1].tolist() == [1, 0, 3, 2]
    assert scores[1] > 2 / 3 > scores[0] > 1 / 3 > scores[3]


def test_distances_are_numpy_s():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    assert np.allclose(euclidean(a, b), np.linalg.norm(a[:, None] - b, axis=2))


def test_models_of_different_decay_are_told_apart():
    def sharpened(seed, decay):
        raw = power_law(64, decay, seed)
        levels = 127 + 40 * (raw - raw.mean()) / raw.std()
        return np.repeat(np.clip(levels, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    images = [sharpened(seed, decay) for seed in range(20) for decay in (0.2, 1.2)]
    models = np.array(["flat", "steep"] * 20)
    fitted = Dzanic().fit(images[:20], models[:20])
    assert accuracy(fitted, images[20:], models[20:]) > 0.9
    assert fitted.embed(images[:3]).shape == (3, 3)
    assert np.allclose(fitted.embed(images[:20]).mean(axis=0), 0, atol=1e-5)


def test_a_flat_picture_breaks_nothing():
    assert np.isfinite(decay_features(np.full((32, 32), 7.0))).all()


def test_bad_input_is_named():
    images, models = pictures(2, 32, stripes(32), 20, seed=0)
    with pytest.raises(NotFittedError):
        Dzanic().scores(images)
    with pytest.raises(NotEnoughReferencesError, match="here is 1"):
        Dzanic().fit(images[:1], models[:1])
    with pytest.raises(ArrayError, match="one label"):
        Dzanic().fit(images, models[:2])
    for wrong in (Dzanic(fit_from=1.0), Dzanic(fit_from=0.4), Dzanic(k=0)):
        with pytest.raises(InputError, match="fit_from"):
            wrong.fit(images, models)
    with pytest.raises(ImageTooSmallError):
        Dzanic().fit([image[:12] for image in images], models)
