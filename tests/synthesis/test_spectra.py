"""The reduced power spectrum: against slow loops and scipy, and on waves whose spectrum is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from morelli.errors import ArrayError, InputError
from morelli.synthesis.spectra import (
    DEFAULT,
    GRIP,
    SpectrumSettings,
    mean_power,
    mean_spectrum,
    power,
    radial,
)


def plain(images: torch.Tensor) -> torch.Tensor:
    return images


def images(count: int = 2, height: int = 16, width: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_power_is_the_dft_written_out_and_keeps_the_energy() -> None:
    x = images(1, 4, 6)[0, 0].double().numpy()
    wanted = np.zeros((4, 6))
    for u in range(4):
        for v in range(6):
            terms = [x[a, b] * np.exp(-2j * np.pi * (u * a / 4 + v * b / 6)) for a in range(4) for b in range(6)]
            wanted[u, v] = abs(sum(terms)) ** 2 / 24
    got = power(torch.from_numpy(x)[None, None])[0].numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    assert got.sum() == pytest.approx(np.square(x).sum())


@pytest.mark.parametrize(("height", "width", "bins"), [(16, 16, 9), (16, 24, 5), (20, 16, 4)])
@pytest.mark.parametrize("ring", ["sum", "mean"])
def test_rings_against_a_slow_loop(height: int, width: int, bins: int, ring: str) -> None:
    powers = torch.rand(2, height, width, dtype=torch.float64)
    sums, sizes = np.zeros((2, bins)), np.zeros(bins)
    for u in range(height):
        for v in range(width):
            fy, fx = min(u, height - u) / height, min(v, width - v) / width
            number = round(math.hypot(fx, fy) * 2 * (bins - 1))
            if number < bins:
                sums[:, number] += powers[:, u, v].numpy()
                sizes[number] += 1
    wanted = sums / sizes if ring == "mean" else sums / (height * width)
    settings = SpectrumSettings(bins=bins, ring=ring)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(radial(powers, settings).numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("cycles", [1, 3, 7])
def test_a_wave_stands_in_its_own_ring(cycles: int) -> None:
    side = 32
    wave = torch.sin(2 * math.pi * cycles * torch.arange(side) / side).expand(1, 3, side, side)
    got = mean_spectrum([wave], plain, SpectrumSettings(bins=17, log=False))
    # Σ sin² over the image is side²/2, and the spectrum is divided by side².
    wanted = torch.zeros(17, dtype=torch.float64)
    wanted[cycles] = 0.5
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-6)


def test_the_mean_is_over_images_before_the_logarithm() -> None:
    x = images(5)
    raw = SpectrumSettings(bins=9, log=False)
    parts = [mean_spectrum([each[None]], plain, raw) for each in x]
    wanted = torch.stack(parts).mean(0)
    torch.testing.assert_close(mean_spectrum([x[:2], x[2:]], plain, raw), wanted)
    torch.testing.assert_close(mean_spectrum([x], plain, SpectrumSettings(bins=9)), wanted.log10())


def test_a_flat_image_has_the_floor_everywhere_and_no_nan() -> None:
    flat = torch.full((1, 3, 16, 16), 0.3)
    for settings in (SpectrumSettings(bins=9), SpectrumSettings(bins=9, standardise=True)):
        assert mean_spectrum([flat - flat], plain, settings).tolist() == [-12.0] * 9


def test_standardising_takes_strength_and_level_away() -> None:
    x = images()
    settings = SpectrumSettings(bins=9, standardise=True)
    one, other = mean_spectrum([x], plain, settings), mean_spectrum([x * 0.1 + 0.4], plain, settings)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(mean_spectrum([x], plain, DEFAULT_9), mean_spectrum([x * 0.1], plain, DEFAULT_9))


DEFAULT_9 = SpectrumSettings(bins=9)


def test_the_two_dimensional_spectrum_has_its_zero_in_the_middle() -> None:
    got = mean_power([torch.ones(2, 3, 16, 16)], plain)
    assert got.argmax() == 8 * 16 + 8 and got[8, 8] == pytest.approx(256)
    torch.testing.assert_close(mean_power([images()], plain), torch.fft.fftshift(power(images()).mean(0)))


def test_recipes() -> None:
    assert GRIP.bins == 65 and GRIP.ring == "sum" and not GRIP.log and GRIP.standardise
    assert DEFAULT.log and DEFAULT.bins == 33


def test_bad_requests() -> None:
    with pytest.raises(InputError, match="no image"):
        mean_spectrum([], plain)
    with pytest.raises(InputError, match="no image"):
        mean_power([], plain)
    with pytest.raises(ArrayError, match="fewer bins"):
        mean_spectrum([images()], plain, GRIP)
    for wrong in ({"bins": 1}, {"ring": "max"}, {"floor": 0.0}):
        with pytest.raises(InputError):
            SpectrumSettings(**wrong)
