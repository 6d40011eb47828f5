"""Degradations with gradients are the degradations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morelli.defence.levels import to_levels, to_pixels
from morelli.defence.transforms import TRANSFORMS, differentiable
from morelli.errors import InputError, UnknownNameError
from morelli.images.degrade import degrade

from .toys import scene

ALL = (
    "jpeg:75",
    "webp:60",
    "noise:3",
    "resize:0.5",
    "resize:1.5",
    "blur:0.7",
    "crop:0.8",
    "cut:0.8",
    "resize:0.75+jpeg:80",
)


@pytest.mark.parametrize("text", sorted({*ALL, *TRANSFORMS} - {""}))
def test_as_degrade_does(text: str) -> None:
    pixels = scene(3)
    got, want = to_pixels(differentiable(text)(to_levels(pixels))), degrade(pixels, text)
    assert got.shape == want.shape
    away = np.abs(got.astype(int) - want)
    # After a codec one level of the step before may become several, in few places.
    assert (away > 1).mean() < (0.02 if "+" in text else 1e-9)


def test_nothing_is_nothing() -> None:
    x = to_levels(scene())
    assert torch.equal(differentiable("")(x), x)
    np.testing.assert_array_equal(to_pixels(x), scene())


@pytest.mark.parametrize("text", ["jpeg:75", "noise:2"])
def test_codecs_pass_gradients_straight_through(text: str) -> None:
    x = to_levels(scene()).requires_grad_()
    weight = torch.randn_like(x)
    (gradient,) = torch.autograd.grad((differentiable(text)(x) * weight).sum(), x)
    assert torch.equal(gradient, weight)


def test_a_blur_spreads_gradients() -> None:
    x = torch.full((3, 15, 15), 100.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(differentiable("blur:1")(x)[0, 7, 7], x)
    assert float(gradient[0].sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(gradient[0, 7, 7]) < 0.2
    assert float(gradient[1:].abs().max()) == 0


@pytest.mark.parametrize(("text", "kind"), [("melt:1", UnknownNameError), ("jpeg:900", InputError)])
def test_bad_texts(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        differentiable(text)
