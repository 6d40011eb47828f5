"""Patterns hidden in pictures are found; each filter against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morelli.baselines.marra import Marra, normalised, wiener_spectrum, zero_mean_phases
from morelli.errors import ImageTooSmallError, NotFittedError, UnknownNameError
from tests.baselines.toys import NAMES, accuracy, pictures, speckles

SIDE = 64


@pytest.fixture(scope="module")
def hidden():
    """Patterns of three grey levels under grain of two: fitted, and new pictures."""
    patterns = speckles(SIDE)
    fitted = Marra().fit(*pictures(12, SIDE, patterns, 3, seed=0))
    return patterns, fitted, pictures(5, SIDE, patterns, 3, seed=1)


def test_a_constant_pattern_is_recovered(hidden):
    patterns, fitted, _ = hidden
    found = np.array([[(normalised(f) * normalised(p)).sum() for p in patterns] for f in fitted.fingerprints_])
    assert found.diagonal().min() > 0.6
    assert np.abs(found[~np.eye(3, dtype=bool)]).max() < 0.1


def test_new_pictures_go_to_their_model(hidden):
    _, fitted, new = hidden
    assert fitted.models_.tolist() == list(NAMES)
    assert accuracy(fitted, *new) == 1.0
    assert np.abs(fitted.scores(new[0])).max() <= 1


def test_without_a_pattern_nothing_is_found(hidden):
    """The same test on scenes alone: were the scenes what is matched, this would be high as well."""
    patterns, _, _ = hidden
    none = [0 * pattern for pattern in patterns]
    fitted = Marra().fit(*pictures(8, SIDE, none, 0, seed=2))
    assert np.abs(fitted.scores(pictures(3, SIDE, none, 0, seed=3)[0])).max() < 0.15


def test_a_score_is_numpy_s_correlation(hidden):
    _, fitted, (images, _) = hidden
    residual = fitted.features(images[:1])[0]
    wanted = [np.corrcoef(residual.ravel(), each.ravel())[0, 1] for each in fitted.fingerprints_]
    assert np.allclose(fitted.scores(images[:1])[0], wanted)


def test_mixed_sizes_are_compared_in_the_common_centre(hidden):
    patterns, _, _ = hidden
    images, models = pictures(12, SIDE, patterns, 3, seed=4)
    cut = [image[4:60, 6:58] if number % 2 else image for number, image in enumerate(images)]
    fitted = Marra().fit(cut, models)
    assert fitted.fingerprints_.shape == (3, 56, 52)
    smaller, truth = pictures(4, SIDE, patterns, 3, seed=5)
    assert accuracy(fitted, [image[8:56, 8:56] for image in smaller], truth) == 1.0
    assert fitted.embed([cut[0], cut[1]]).shape == (2, 56 * 52)


def test_the_denoiser_s_residual_works_as_well():
    patterns = speckles(SIDE)
    fitted = Marra(form="dncnn").fit(*pictures(8, SIDE, patterns, 3, seed=0))
    assert accuracy(fitted, *pictures(4, SIDE, patterns, 3, seed=1)) == 1.0


def test_a_large_picture_is_cut_to_the_window_and_the_limit_holds(hidden):
    patterns, _, _ = hidden
    images, models = pictures(3, SIDE, patterns, 3, seed=6)
    one = Marra(window=40, limit=1).fit(images, models)
    assert one.fingerprints_.shape == (3, 40, 40)
    assert np.allclose(one.fingerprints_[0], one.features(images[:1])[0])


def test_phases_have_no_means_left():
    out = zero_mean_phases(np.random.default_rng(0).normal(5, 1, (10, 12)))
    for down in (0, 1):
        for across in (0, 1):
            phase = out[down::2, across::2]
            assert np.abs(phase.mean(axis=0)).max() < 1e-12
            assert np.abs(phase.mean(axis=1)).max() < 1e-12


def test_the_wiener_filter_against_a_slow_one():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 2, (16, 16)) + 6 * np.cos(np.arange(16) * np.pi / 4)
    spectrum, sigma = np.fft.fft2(noise), 2.0
    energy = np.abs(spectrum) ** 2 / noise.size
    kept = np.zeros_like(spectrum)
    for i in range(16):
        for j in range(16):
            least = np.inf
            for window in (3, 5, 7, 9):
                h = window // 2
                part = energy[max(0, i - h) : i + h + 1, max(0, j - h) : j + h + 1]
                least = min(least, max(0.0, part.sum() / window**2 - sigma**2))
            kept[i, j] = spectrum[i, j] * sigma**2 / (sigma**2 + least)
    assert np.allclose(wiener_spectrum(noise, sigma), np.fft.ifft2(kept).real)
    assert not wiener_spectrum(np.zeros((8, 8)), 0.0).any()


def test_bad_input_is_named(hidden):
    images, models = pictures(2, SIDE, hidden[0], 3, seed=0)
    with pytest.raises(NotFittedError):
        Marra().scores(images)
    with pytest.raises(UnknownNameError, match="wavelet"):
        Marra(form="wavelets").fit(images, models)
    with pytest.raises(ImageTooSmallError):
        Marra().fit([image[:20] for image in images], models)


def test_the_whole_chain_step_by_step():
    """Denoised by wavelets (db4, four levels, σ = 5), grey, phases without means, the spectrum's peaks taken down."""
    from morelli.fingerprint import wavelet
    from morelli.fingerprint.residual import load_residual

    assert (wavelet.LEVELS, wavelet.SIGMA, wavelet._WINDOWS, len(wavelet._LOW)) == (4, 5.0, (3, 5, 7, 9), 8)
    image = np.random.default_rng(7).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    noise = load_residual("wavelet")(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0].numpy()
    x = 0.2989 * noise[0].astype(float) + 0.587 * noise[1] + 0.114 * noise[2]
    for down in (0, 1):
        for across in (0, 1):
            part = x[down::2, across::2] - x[down::2, across::2].mean()
            part = part - part.mean(axis=1)[:, None]
            x[down::2, across::2] = part - part.mean(axis=0)[None]
    sigma = np.sqrt(((x - x.mean()) ** 2).sum() / (x.size - 1))
    spectrum = np.fft.fft2(x)
    energy = np.abs(spectrum) ** 2 / x.size
    kept = np.empty_like(energy)
    for i in range(48):
        for j in range(64):
            means = []
            for window in (3, 5, 7, 9):
                h = window // 2
                near = energy[max(i - h, 0) : i + h + 1, max(j - h, 0) : j + h + 1]
                means.append(near.sum() / window**2)
            kept[i, j] = sigma**2 / (sigma**2 + max(min(means) - sigma**2, 0))
    wanted = np.real(np.fft.ifft2(spectrum * kept))
    found = Marra().features([image])[0]
    assert np.allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())
