"""Chains for learning: tiles, halves, opponent colours, names, shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from morelli.errors import InputError, UnknownNameError
from morelli.fingerprint.chain import CHAINS, DEFAULT, LEARNING, PUBLISHED, SignalChain, find_chain
from morelli.fingerprint.residual import load_residual
from morelli.fingerprint.small_network import Standardise
from morelli.fingerprint.spectrum import spectrum


def noise(n: int, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).normal(0, 2, (n, 3, height, width)).astype(np.float32))


def test_tiles_are_what_a_slow_loop_gives() -> None:
    x = noise(2, 21, 35)
    mixes = [lambda r, g, b: r, lambda r, g, b: g, lambda r, g, b: b, lambda r, g, b: (r + g + b) / 3,
             lambda r, g, b: r - g, lambda r, g, b: b - (r + g) / 2]  # fmt: skip
    wanted = np.zeros((2, 6, 8, 5))
    for row, window in enumerate(x.double().numpy()):
        for channel, mix in enumerate(mixes):
            tiles = [
                mix(*window[:, top : top + 8, left : left + 8]) for top in (0, 8) for left in (0, 8, 16, 24)
            ]  # fmt: skip
            wanted[row, channel] = np.mean([np.log(np.abs(np.fft.fft2(t))[:, :5] / 8 + 0.05) for t in tiles], axis=0)
    found = spectrum(x, log=True, tile=8, half=True, opponent=True, floor=0.05)
    assert np.allclose(found.numpy(), wanted, atol=1e-4)
    deviation = wanted.std(axis=(2, 3), keepdims=True)
    standard = (wanted - wanted.mean(axis=(2, 3), keepdims=True)) / deviation
    found = spectrum(x, log=True, tile=8, half=True, opponent=True, floor=0.05, standardise=True)
    assert np.allclose(found.numpy(), standard, atol=1e-3)


def test_a_half_has_all_that_the_whole_has() -> None:
    x = noise(1, 16, 16)
    whole, half = spectrum(x, log=True), spectrum(x, log=True, half=True)
    assert half.shape == (1, 3, 16, 9) and torch.allclose(half, whole[..., :9], atol=1e-5)
    mirrored = half[:, :, (-torch.arange(16)) % 16][..., 1:8].flip(-1)
    assert torch.allclose(torch.cat([half, mirrored], -1), whole, atol=1e-4)
    shifted = spectrum(x, half=True, shift=True)
    assert torch.equal(shifted[:, :, 8, 0], spectrum(x, half=True)[:, :, 0, 0])


def test_a_floor_of_one_is_log1p_and_others_spread_small_sizes() -> None:
    x = noise(1, 16, 16) / 100
    assert torch.equal(spectrum(x, log=True), torch.log1p(spectrum(x) / 16))
    assert spectrum(x, log=True, floor=0.01).std() > 10 * spectrum(x, log=True).std()


@pytest.mark.parametrize("wrong", [{"floor": 0.0}, {"tile": 1}, {"tile": 17}, {"side": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        spectrum(noise(1, 16, 16), log=True, **wrong)


CASES = [
    *CHAINS.values(), DEFAULT, replace(LEARNING, residual="denoiser"), replace(LEARNING, tile=64, half=False),
    SignalChain("wavelet", side=40, half=True), SignalChain("denoiser", side=None),
    SignalChain("none", transform=False),
]  # fmt: skip


@pytest.mark.parametrize("chain", CASES, ids=repr)
def test_the_stated_shape_is_the_shape(chain: SignalChain) -> None:
    found = chain(torch.rand(2, 3, 128, 128))
    assert tuple(found.shape) == (2, *chain.shape) and found.dtype == torch.float32


def test_names() -> None:
    assert find_chain("default") == LEARNING and find_chain("published") == PUBLISHED
    assert find_chain("wavelet") == replace(LEARNING, residual="wavelet")
    assert find_chain("whole").tile is None
    with pytest.raises(UnknownNameError, match="median"):
        find_chain("medan")


def test_without_a_residual_the_image_stays() -> None:
    x = torch.rand(1, 3, 20, 20)
    assert torch.allclose(load_residual("none")(x), 256 * x)
    assert torch.allclose(replace(find_chain("rgb"), side=10)(x), 256 * x[:, :, ::2, ::2])


def test_the_input_of_learning_is_sane() -> None:
    """Pictures of very different strength give inputs of one size: mean 0, deviation 1 in every channel."""
    quiet = torch.from_numpy(np.random.default_rng(0).integers(100, 104, (4, 3, 128, 128))).float() / 255
    loud = torch.rand(4, 3, 128, 128)
    for x in (quiet, loud):
        found = LEARNING(x)
        assert torch.allclose(found.mean((2, 3)), torch.zeros(4, 6), atol=1e-4)
        assert torch.allclose(found.std((2, 3), correction=0), torch.ones(4, 6), atol=1e-3)


def test_standardising_over_spectra_centres_every_frequency() -> None:
    rng = np.random.default_rng(1)
    scale = torch.from_numpy(rng.uniform(0.5, 2, (3, 8, 5)).astype(np.float32))
    x = torch.from_numpy(rng.normal(3, 1, (400, 3, 8, 5)).astype(np.float32)) * scale
    x[:, 0, 0, 0] = 7.0  # never varies: must not be blown up
    layer = Standardise((3, 8, 5))
    assert torch.equal(layer(x), x)
    layer.fit(x)
    found = layer(x)
    assert torch.allclose(found.mean(0), torch.zeros(3, 8, 5), atol=1e-4)
    spread = found.std(0)
    assert float(spread[0, 0, 0]) == 0 and torch.allclose(spread.flatten()[1:], torch.ones(119), atol=1e-4)
    assert (7.01 - 7.0) * float(layer.scale[0, 0, 0]) < 1
