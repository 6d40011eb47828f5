"""The differentiable form of a fingerprint is that fingerprint, and gradients flow through it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morelli.defence.levels import to_levels
from morelli.defence.perturb import Target, perturb
from morelli.defence.settings import PerturbSettings
from morelli.defence.surrogate import load_surrogate
from morelli.encoders.catalogue import load_encoder
from morelli.encoders.joined import JoinedEncoder
from morelli.errors import FlatImageError, ImageTooSmallError, NotDifferentiableError
from morelli.fingerprint.chain import SignalChain
from morelli.fingerprint.encoders import Fingerprint, ResidualSpectrum, Windows
from morelli.fingerprint.extractor import Extractor, make_extractor
from morelli.fingerprint.lattice import ResidualLattice
from morelli.fingerprint.windows import Small
from morelli.images.dataset import read_dataset
from morelli.images.load import load_image

from .toys import BlindEncoder, rise_and_slope, scene, surrogate_distances

NAMES = ("residual-spectrum", "residual-lattice", "fingerprint")
# Relative distance between a vector and its differentiable form, float32.
TOLERANCE = 1e-5


def random_fingerprint(residual: str, windows: Windows, small: Small = "resize") -> Fingerprint:
    chain = SignalChain(residual, log=True, tile=32, side=None, half=True)
    torch.manual_seed(0)
    network = make_extractor("small", 3, size=chain.shape[1:]).eval().requires_grad_(False)
    extractor = Extractor("small", network, chain, 512, "0" * 16, {})
    return Fingerprint(extractor, "fingerprint", small=small, windows=windows)


@pytest.mark.parametrize("size", [(64, 80), (330, 290), (128, 131), (17, 1200)])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_encoder(name, size):
    if name == "residual-lattice" and min(size) < 32:
        size = (33, 1200)
    found = surrogate_distances(load_encoder(name), scene(1, *size))
    assert max(found.values()) < TOLERANCE, found


@pytest.mark.parametrize(("residual", "windows"), [("denoiser", "nine"), ("wavelet", "centre"), ("none", "nine")])
@pytest.mark.parametrize("size", [(64, 80), (150, 290)])
def test_other_chains_and_windows(residual, windows, size):
    found = surrogate_distances(random_fingerprint(residual, windows), scene(1, *size))
    assert max(found.values()) < TOLERANCE, found


def test_flat_parts_are_left_out():
    pixels = scene(1, 256, 300)
    pixels[:128] = 90
    for name in NAMES:
        found = surrogate_distances(load_encoder(name), pixels)
        assert max(found.values()) < TOLERANCE, (name, found)


def test_joined_encoders_have_what_their_parts_have():
    encoder = load_encoder("residual-lattice+residual-spectrum")
    found = surrogate_distances(encoder, scene(1, 130, 200))
    lattice = ["residual-lattice:lattice-brightness/mean", "residual-lattice:lattice-colour/mean"]
    assert list(found) == [*lattice, "residual-spectrum:residual/spectrum"]
    assert max(found.values()) < TOLERANCE, found


@pytest.mark.slow
def test_they_are_the_encoders_on_real_images(data_dir: Path):
    for name in ("visor", "sdnext"):
        pixels = load_image(read_dataset(data_dir / name).items[0].path).pixels
        for encoder in NAMES:
            found = surrogate_distances(load_encoder(encoder), pixels)
            assert max(found.values()) < TOLERANCE, (name, encoder, found)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_slope(name):
    """Between two small steps along the gradient, a linear function of the vectors rises by what the gradient says."""
    # No two levels alike: a median has a corner where it changes from one sample to another.
    x = to_levels(scene(2, 128, 160)) + torch.rand(3, 128, 160, generator=torch.manual_seed(0))
    rise, slope = rise_and_slope(load_surrogate(load_encoder(name)), x, 0.003)
    assert rise == pytest.approx(slope, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_a_grey_picture_has_a_finite_gradient(name):
    """All of its differences of colours are zero, and a root has no gradient there."""
    grey = np.repeat(scene(3, 130, 140)[..., :1], 3, axis=2)
    x = to_levels(grey).requires_grad_()
    vectors = load_surrogate(load_encoder(name))(x)
    (gradient,) = torch.autograd.grad(torch.cat(list(vectors.values())).square().sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_flat_and_small_pictures_are_refused_as_by_the_encoder(name):
    surrogate = load_surrogate(load_encoder(name))
    with pytest.raises(FlatImageError):
        surrogate(torch.full((3, 140, 140), 90.0))
    with pytest.raises(ImageTooSmallError, match="12 × 40"):
        surrogate(torch.zeros(3, 40, 12))


def test_without_gradients():
    encoder = ResidualSpectrum()
    encoder.residual = replace(encoder.residual, name="oidn", smooth=False)
    with pytest.raises(NotDifferentiableError, match="because of the residual oidn"):
        load_surrogate(encoder)


def test_padding_and_blind_parts_have_none():
    with pytest.raises(NotDifferentiableError, match="because of padding"):
        load_surrogate(random_fingerprint("median", "nine", small="crop"))
    with pytest.raises(NotDifferentiableError, match="encoder grain"):
        load_surrogate(JoinedEncoder([ResidualSpectrum(), BlindEncoder()]))


def test_matrices_of_the_wavelet_transform_outlive_inference_mode():
    """Whoever asks first: a tensor that is made in inference mode would stop every gradient later."""
    from morelli.fingerprint import wavelet

    wavelet._transform.cache_clear()
    wavelet._means.cache_clear()
    with torch.inference_mode():
        wavelet.wavelet_residual(torch.rand(1, 3, 64, 64))
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(wavelet.wavelet_residual(x).square().sum(), x)
    assert torch.isfinite(gradient).all()


def test_what_a_degradation_makes_too_small_is_taken_as_it_was():
    """30 pixels a side say nothing to a lattice; the picture itself has 60."""
    pixels = scene(5, 60, 60)
    surrogate = load_surrogate(ResidualLattice())
    names = list(surrogate.stamp.dims)

    def objective(vectors):
        return torch.cat([vectors[name] for name in names]).square().sum()

    settings = PerturbSettings(steps=2, transforms=("resize:0.5",))
    changed = perturb(pixels, [Target(surrogate, objective)], settings)
    assert changed.shape == pixels.shape
    assert (changed != pixels).any()
    with pytest.raises(ImageTooSmallError, match="31 × 60"):
        perturb(scene(5, 60, 31), [Target(surrogate, objective)], PerturbSettings(steps=2))
