"""Spectra, the chain and the training-free vector, against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from morelli.errors import InputError, WeightsError
from morelli.fingerprint.chain import DEFAULT, PUBLISHED, SignalChain, check_chain
from morelli.fingerprint.log_spectrum import FLOOR, log_spectrum, vector_size
from morelli.fingerprint.residual import load_residual
from morelli.fingerprint.spectrum import spectrum


def noise(n: int = 2, height: int = 94, width: int = 94) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).normal(0.2, 1, (n, 3, height, width)).astype(np.float32))


def test_raw_magnitude_is_numpys() -> None:
    x = noise(1, 12, 17)
    expected = np.abs(np.fft.fft2(x.numpy().astype(np.float64)))
    assert np.allclose(spectrum(x).numpy(), expected, atol=1e-3)
    assert spectrum(x)[0, 0, 0, 0] == pytest.approx(abs(float(x[0, 0].sum())), rel=1e-4)  # frequency zero is kept


def test_a_wave_has_two_peaks_where_its_frequency_says() -> None:
    column = torch.arange(32.0)
    wave = torch.cos(2 * torch.pi * 4 * column / 32).expand(1, 3, 32, 32)
    found = spectrum(wave)[0, 0]
    assert torch.nonzero(found > 1).tolist() == [[0, 4], [0, 28]]
    assert found[0, 4] == pytest.approx(32 * 32 / 2, rel=1e-4)
    assert torch.nonzero(spectrum(wave, shift=True)[0, 0] > 1).tolist() == [[16, 12], [16, 20]]


def test_log_is_of_the_size_of_the_noise() -> None:
    x = noise(1, 64, 64)
    raw = spectrum(x)
    assert torch.allclose(spectrum(x, log=True), torch.log1p(raw / 64))
    assert float((raw[0, 0, 1:] / 64).square().mean()) == pytest.approx(1.0, abs=0.1)


def test_standardised_channels_have_mean_zero_and_deviation_one() -> None:
    x = noise(2)
    x[1, 2] = 0.0
    found = spectrum(x, log=True, standardise=True)
    assert torch.allclose(found.mean((2, 3)), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(found[0].std((1, 2), correction=0), torch.ones(3), atol=1e-4)
    assert not found[1, 2].any()


def test_the_resize_is_by_nearest_neighbour() -> None:
    x = noise(1)
    raw, large = spectrum(x), spectrum(x, side=128)
    source = np.arange(128) * 94 // 128
    assert np.array_equal(large.numpy(), raw.numpy()[:, :, source][:, :, :, source])
    with pytest.raises(InputError, match="1 or more"):
        spectrum(x, side=0)


def test_the_published_chain() -> None:
    assert (PUBLISHED.log, PUBLISHED.shift, PUBLISHED.standardise, PUBLISHED.side) == (False, False, False, 128)
    x = torch.rand(1, 3, 128, 128)
    found, residual = PUBLISHED(x), load_residual("denoiser-17x64")(x).double().numpy()
    assert found.shape == (1, 3, 128, 128) and residual.shape[-2:] == (94, 94)
    source = np.arange(128) * 94 // 128
    wanted = np.abs(np.fft.fft2(residual))[:, :, source][:, :, :, source]
    assert np.allclose(found.numpy(), wanted, rtol=1e-3, atol=1e-3 * wanted.mean())
    assert SignalChain("median", side=None)(torch.rand(1, 3, 40, 50)).shape == (1, 3, 40, 50)


def test_the_key_changes_with_every_part() -> None:
    changed = [replace(DEFAULT, **part) for part in ({"residual": "wavelet"}, {"log": False}, {"shift": True},
                                                     {"standardise": True}, {"side": 64})]  # fmt: skip
    assert len({chain.key for chain in [DEFAULT, *changed]}) == 6
    assert SignalChain("median", log=True).key == SignalChain("median", log=True).key


def test_another_chain_is_refused_by_name() -> None:
    check_chain(DEFAULT, DEFAULT.describe(), "w")
    with pytest.raises(WeightsError, match="log is False, trained with True"):
        check_chain(replace(DEFAULT, log=False), DEFAULT.describe(), "w")
    with pytest.raises(WeightsError, match="residual_revision"):
        check_chain(DEFAULT, DEFAULT.describe() | {"residual_revision": "other"}, "w")


def test_the_training_free_vector_is_what_a_slow_loop_gives() -> None:
    x = noise(2, 19, 33)
    tile = 8
    mixed = [lambda r, g, b: r, lambda r, g, b: g, lambda r, g, b: b, lambda r, g, b: (r + g + b) / 3,
             lambda r, g, b: r - g, lambda r, g, b: b - (r + g) / 2]  # fmt: skip
    logs = []
    for window in x.double().numpy():
        for top in (0, 8):
            for left in (0, 8, 16, 24):
                part = window[:, top : top + tile, left : left + tile]
                spectra = [np.fft.fft2(mix(*part))[:, : tile // 2 + 1] for mix in mixed]
                logs.append(np.log(np.abs(spectra) / tile + FLOOR))
    means = np.mean(logs, axis=0)
    expected = (means - means.mean(axis=(1, 2), keepdims=True)).ravel()
    found = log_spectrum(x, tile).numpy()
    assert found.shape == (vector_size(tile),)
    assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("tile", [7, 0, 20])
def test_an_impossible_tile_is_refused(tile: int) -> None:
    with pytest.raises(InputError, match="even"):
        log_spectrum(noise(1, 19, 33), tile)
