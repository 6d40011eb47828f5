"""Vision towers with gradients, on small checkpoints with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from morelli.defence.levels import to_levels
from morelli.defence.surrogate import load_surrogate
from morelli.defence.tower import prescription
from morelli.encoders.transformers_vision import TransformersEncoder
from morelli.errors import NotDifferentiableError

from ..encoders.checkpoints import save_checkpoint
from .toys import scene

LAYERS = {"clip": ["block2/mean", "projected"], "dinov2": ["block3/cls"], "siglip": None, "vit": None, "dinov3": None}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("size", [(48, 56), (70, 41)])
def test_it_is_the_encoder(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    encoder = TransformersEncoder(str(save_checkpoint(kind, tmp_path / kind)), LAYERS[kind], device="cpu")
    pixels = scene(1, *size)
    want = encoder.encode([encoder.prepare(pixels)])
    x = to_levels(pixels).requires_grad_()
    found = load_surrogate(encoder)(x)
    assert list(found) == list(encoder.stamp.dims)
    for name, values in want.items():
        np.testing.assert_allclose(found[name].detach().numpy(), values[0], rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(torch.cat(list(found.values())).square().sum(), x)
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0


def test_the_gradient_is_the_slope(tmp_path: Path) -> None:
    """One whole level, as the processor rounds, up and down along the gradient's signs."""
    encoder = TransformersEncoder(str(save_checkpoint("clip", tmp_path / "c")), ["projected"], device="cpu")
    surrogate, pixels = load_surrogate(encoder), scene(1).clip(20, 235)
    weight = torch.randn(24, generator=torch.Generator().manual_seed(0))
    x = to_levels(pixels).requires_grad_()
    (gradient,) = torch.autograd.grad((surrogate(x)["projected"] * weight).sum(), x)
    with torch.no_grad():
        up, down = ((surrogate(x + sign * gradient.sign())["projected"] * weight).sum() for sign in (1, -1))
    assert float(up - down) == pytest.approx(2 * float(gradient.abs().sum()), rel=0.15)


def test_a_processor_of_another_kind_is_refused(tmp_path: Path) -> None:
    encoder = TransformersEncoder(str(save_checkpoint("siglip2", tmp_path / "s")), device="cpu")
    with pytest.raises(NotDifferentiableError, match="more than resizing, cropping and scaling"):
        load_surrogate(encoder)


def test_a_processor_that_does_not_keep_to_its_words_is_refused(tmp_path: Path, monkeypatch) -> None:
    encoder = TransformersEncoder(str(save_checkpoint("vit", tmp_path / "v")), device="cpu")
    prepare = encoder.prepare
    monkeypatch.setattr(encoder, "prepare", lambda p: {"pixel_values": prepare(p)["pixel_values"].flip(3)})
    with pytest.raises(NotDifferentiableError):
        load_surrogate(encoder)


def test_words() -> None:
    scaled = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    assert prescription({"size": {"longest_edge": 30}, **scaled}) is None
    assert prescription({"size": {"height": 8, "width": 8}, "resample": 5, **scaled}) is None
    found = prescription({"size": {"shortest_edge": 8}, "resample": 3, "do_normalize": False, **scaled})
    assert found is not None
    assert (found.resample, found.mean, found._size(20, 30), found._size(30, 20)) == (
        "bicubic",
        (0.0,) * 3,
        (8, 12),
        (12, 8),
    )
