"""Residuals: against slow or independent references, and what a flat image gives."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from morelli.errors import ArrayError, ImageTooSmallError, MissingExtraError, UnknownNameError
from morelli.fingerprint import wavelet
from morelli.fingerprint.median import median3, median_residual
from morelli.fingerprint.parts import in_parts
from morelli.fingerprint.residual import RESIDUALS, is_flat, load_residual
from morelli.fingerprint.wavelet import _LOW, analyse, synthesise, wavelet_residual

HERE = [name for name in RESIDUALS if name not in ("oidn", "none")]


def pictures(seed: int, n: int = 2, height: int = 41, width: int = 52) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((n, 3, height, width), dtype=np.float32))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_the_median_is_scipys(height: int, width: int, seed: int) -> None:
    x = pictures(seed, 2, height, width)
    expected = median_filter(x.numpy(), size=(1, 1, 3, 3), mode="nearest")
    assert np.array_equal(median3(x).numpy(), expected)


def test_the_median_residual_is_in_units_of_a_256th() -> None:
    x = torch.full((1, 3, 9, 9), 0.5)
    x[0, 1, 4, 4] += 3 / 256
    found = median_residual(x)
    assert found[0, 1, 4, 4] == pytest.approx(3.0)
    assert found.abs().sum() == pytest.approx(3.0)


def test_the_wavelet_filter_is_orthonormal_with_four_vanishing_moments() -> None:
    low = np.array(_LOW)
    high = low[::-1] * np.tile([1, -1], 4)
    assert low.sum() == pytest.approx(2**0.5)
    for shift in range(4):
        overlap = float(low[2 * shift :] @ low[: len(low) - 2 * shift])
        assert overlap == pytest.approx(1.0 if shift == 0 else 0.0, abs=1e-12)
        assert float(low[2 * shift :] @ high[: len(low) - 2 * shift]) == pytest.approx(0.0, abs=1e-12)
    for moment in range(4):
        assert float(high @ np.arange(8.0) ** moment) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 16), (32, 48)])
def test_the_wavelet_transform_keeps_energy_and_returns(height: int, width: int) -> None:
    x = pictures(1, 2, height, width).double().flatten(0, 1)[:, None]
    bands = analyse(x)
    assert bands.square().sum() == pytest.approx(float(x.square().sum()))
    assert torch.allclose(synthesise(bands), x, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (16, 24), (94, 130)])
def test_small_sides_are_worked_on_by_matrices_and_give_what_convolutions_give(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    found = wavelet_residual(images)
    monkeypatch.setattr(wavelet, "_MATRIX", 0)
    torch.testing.assert_close(found, wavelet_residual(images), rtol=1e-4, atol=1e-4)


def test_the_wavelet_filter_takes_noise_and_leaves_strong_edges() -> None:
    clean = torch.zeros(1, 3, 128, 128)
    clean[..., 64:] = 0.8
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 2 / 256, (1, 3, 128, 128)).astype(np.float32))
    found = wavelet_residual(clean + noise) / 256
    inner = (slice(None), slice(None), slice(20, 108), slice(20, 44))
    correlation = np.corrcoef(found[inner].flatten(), noise[inner].flatten())[0, 1]
    assert correlation > 0.95
    assert found[..., 60:68].abs().max() < 0.1


@pytest.mark.parametrize("name", HERE)
def test_the_shape_is_the_images_less_the_margin(name: str) -> None:
    residual = load_residual(name)
    x = pictures(2, 2, 2 * residual.margin + 5, 2 * residual.margin + 9)
    found = residual(x)
    assert found.shape == (2, 3, 5, 9)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("name", HERE)
def test_a_flat_image_has_no_residual_and_one_step_has(name: str) -> None:
    residual = load_residual(name)
    x = torch.full((3, 3, 64, 64), 0.7)
    x[1] = torch.tensor([1.0, 0.0, 0.3])[:, None, None]
    x[2, :, 32, 32] += 2 / 256
    found = residual(x)
    assert is_flat(found).tolist() == [True, True, False]
    assert found[:2].abs().max() < 1e-3


@pytest.mark.parametrize("name", HERE)
def test_an_images_residual_does_not_depend_on_its_batch(name: str) -> None:
    residual = load_residual(name)
    x = pictures(3, 3, 48, 48)
    assert torch.allclose(residual(x)[1:2], residual(x[1:2]), atol=1e-4)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_work_in_parts_gives_what_one_piece_gives(count: int) -> None:
    x = pictures(5, count, 128, 128)
    for name, whole in (("median", median_residual), ("wavelet", wavelet_residual)):
        assert torch.allclose(load_residual(name)(x), whole(x), atol=1e-4)
    assert in_parts(lambda part: part.mean((1, 2, 3)), x).shape == (count,)


def test_published_margin() -> None:
    assert load_residual("denoiser-17x64")(torch.rand(1, 3, 128, 128)).shape[-2:] == (94, 94)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="median"):
        load_residual("medain")
    median = load_residual("median")
    with pytest.raises(ArrayError, match="float32"):
        median(torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    with pytest.raises(ArrayError, match="shape"):
        median(torch.zeros(3, 8, 8))
    with pytest.raises(ImageTooSmallError, match="19 a side"):
        load_residual("denoiser")(torch.zeros(1, 3, 18, 40))


def test_oidn_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba_oidn", None)
    with pytest.raises(MissingExtraError, match=r"morelli\[oidn\]"):
        load_residual("oidn")(torch.zeros(1, 3, 16, 16))


def test_oidn_is_asked_for_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in that halves: the residual is the other half, in units of 1/256, channels where they were."""

    class Halves:
        @staticmethod
        def denoise(pixels: np.ndarray, *, srgb: bool) -> np.ndarray:
            assert srgb
            assert pixels.shape[2] == 3
            return pixels / 2

    monkeypatch.setitem(sys.modules, "mitsuba_oidn", Halves)
    x = pictures(4, 2, 5, 7)
    assert torch.allclose(load_residual("oidn")(x), x * 128)
    x[1] = 0.5  # whatever the network makes of a flat picture
    found = load_residual("oidn")(x)
    assert is_flat(found).tolist() == [False, True]
    assert not found[1].any()
