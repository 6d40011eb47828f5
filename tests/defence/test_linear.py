"""Resizing and blurring as matrices against Pillow and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from morelli.defence.levels import to_levels, to_pixels
from morelli.defence.linear import blurred, resize_matrix, resized
from morelli.images.degrade import RESAMPLERS, blur

from .toys import scene


@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos", "box"])
@pytest.mark.parametrize("size", [(24, 28), (96, 112), (31, 77), (48, 30), (48, 56)])
def test_resized_is_pillow(resample: str, size: tuple[int, int]) -> None:
    pixels = scene()
    want = np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), RESAMPLERS[resample])).astype(int)
    got = resized(to_levels(pixels), *size, resample).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(got, want)
    # The matrices, which give the gradients, are Pillow's too: what they alone give differs by its roundings.
    rows, columns = (resize_matrix(a, b, resample) for a, b in zip(pixels.shape[:2], size, strict=True))
    smooth = (rows @ to_levels(pixels) @ columns.T).clamp(0, 255).permute(1, 2, 0).numpy()
    assert np.abs(smooth - want).mean() < 1


def test_rows_of_a_matrix_sum_to_one() -> None:
    np.testing.assert_allclose(resize_matrix(50, 21, "lanczos").sum(dim=1).numpy(), 1.0, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.7, 2.5])
def test_blurred_is_scipy(sigma: float) -> None:
    pixels = scene()
    got = blurred(to_levels(pixels), sigma).permute(1, 2, 0).numpy()
    assert np.abs(got - blur(pixels, sigma)).max() <= 1


def test_gradients_are_the_adjoint() -> None:
    """⟨R x, y⟩ has the gradient Rᵀ y: each pass transposed."""
    x = torch.full((3, 9, 12), 100.0, requires_grad=True)
    y = torch.randn(3, 5, 7)
    (gradient,) = torch.autograd.grad((resized(x, 5, 7, "bicubic") * y).sum(), x)
    want = resize_matrix(9, 5, "bicubic").T @ y @ resize_matrix(12, 7, "bicubic")
    torch.testing.assert_close(gradient, want)


def test_levels_and_pixels() -> None:
    x = torch.tensor([0.5, 1.49, -3.0, 300.0, 7.0, 254.5]).repeat(3, 2, 1)
    assert to_pixels(x)[0, :, 1].tolist() == [1, 1, 0, 255, 7, 255]
    np.testing.assert_array_equal(to_pixels(to_levels(scene())), scene())
