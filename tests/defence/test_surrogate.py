"""The differentiable form of an encoder is that encoder, and gradients flow through it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from morelli.defence.levels import to_levels
from morelli.defence.surrogate import load_surrogate, load_surrogates
from morelli.encoders.embedded import EmbeddedEncoder
from morelli.encoders.split import SplitEncoder
from morelli.errors import ImageTooSmallError, InputError, NotDifferentiableError
from morelli.images.dataset import read_dataset
from morelli.images.load import load_image

from .toys import BlindEncoder, GrainEncoder, rise_and_slope, scene, surrogate_distances

# Relative distance between a vector and its differentiable form, float32.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def encoder() -> EmbeddedEncoder:
    return EmbeddedEncoder("lite0", precision="float32")


@pytest.mark.parametrize("size", [(64, 80), (330, 290)])
def test_it_is_the_encoder(encoder: EmbeddedEncoder, size: tuple[int, int]) -> None:
    found = surrogate_distances(encoder, scene(1, *size))
    assert max(found.values()) < TOLERANCE, found


@pytest.mark.slow
def test_it_is_the_encoder_on_real_images(encoder: EmbeddedEncoder, data_dir: Path) -> None:
    for name in ("visor", "sdnext"):
        pixels = load_image(read_dataset(data_dir / name).items[0].path).pixels
        found = surrogate_distances(encoder, pixels)
        assert max(found.values()) < TOLERANCE, (name, found)


def test_another_picture_is_far_beyond_the_tolerance(encoder: EmbeddedEncoder) -> None:
    pixels = scene(1, 64, 80)
    with torch.no_grad():
        a, b = (load_surrogate(encoder)(to_levels(x)) for x in (pixels, np.roll(pixels, 9, axis=1)))
    assert all(float((a[name] - b[name]).norm() / a[name].norm()) > 100 * TOLERANCE for name in a)


def test_the_gradient_is_the_slope(encoder: EmbeddedEncoder) -> None:
    """Between two small steps along the gradient, a linear function of the vectors rises by what the gradient says."""
    x = to_levels(scene(2, 64, 64))
    rise, slope = rise_and_slope(load_surrogate(encoder), x, 0.005, lambda name: name.startswith(("nat", "res")))
    assert rise == pytest.approx(slope, rel=0.1)


def test_a_flat_picture_has_a_finite_gradient(encoder: EmbeddedEncoder) -> None:
    x = torch.full((3, 40, 40), 90.0, requires_grad=True)
    vectors = load_surrogate(encoder)(x)
    (gradient,) = torch.autograd.grad(torch.cat(list(vectors.values())).sum(), x)
    assert torch.isfinite(gradient).all()


def test_too_small(encoder: EmbeddedEncoder) -> None:
    with pytest.raises(ImageTooSmallError, match="12 × 40"):
        load_surrogate(encoder)(torch.zeros(3, 40, 12))


def test_a_wrapped_encoder_and_one_with_its_own() -> None:
    own = GrainEncoder()
    assert load_surrogate(own).stamp is own.stamp
    assert load_surrogate(SplitEncoder(own)).stamp is own.stamp


def test_without_gradients() -> None:
    with pytest.raises(
        NotDifferentiableError, match=r"surrogate: no gradient flows through the encoder grain.*canonical"
    ):
        load_surrogate(BlindEncoder())
    found, without = load_surrogates([BlindEncoder(), GrainEncoder()])
    assert (len(found), without) == (1, ["grain"])
    with pytest.raises(NotDifferentiableError):
        load_surrogates([BlindEncoder()])
    with pytest.raises(InputError, match="names no encoder"):
        load_surrogates([])
