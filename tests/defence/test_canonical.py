"""The common form: its steps, its size, and what it makes alike."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from morelli.defence.canonical import RECIPE, canonical, check_recipe
from morelli.encoders.views import median3
from morelli.errors import ArrayError, InputError, UnknownNameError
from morelli.images.degrade import degrade

from .toys import scene


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (64, 40)])
def test_the_size_stays(size: tuple[int, int]) -> None:
    after = canonical(scene(0, *size))
    assert (after.shape, after.dtype) == ((*size, 3), np.uint8)


def test_steps_in_order() -> None:
    pixels = scene()
    np.testing.assert_array_equal(canonical(pixels, "median"), median3(pixels))
    np.testing.assert_array_equal(canonical(pixels, " blur:1 + jpeg:60 "), degrade(pixels, "blur:1+jpeg:60"))
    half = Image.fromarray(degrade(pixels, "resize:0.5")).resize((56, 48), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(canonical(pixels, "resize:0.5"), np.asarray(half))
    assert (canonical(pixels, "jpeg:60+blur:1") != canonical(pixels, "blur:1+jpeg:60")).any()


def test_what_differs_in_grain_alone_becomes_alike() -> None:
    smooth = np.tile(np.linspace(30, 220, 64).astype(np.uint8)[None, :, None], (64, 1, 3))
    grainy = np.clip(smooth + np.random.default_rng(0).normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)

    def grain(pixels: np.ndarray) -> float:
        return float((pixels.astype(float) - median3(pixels)).std())

    before, after = grain(grainy) - grain(smooth), grain(canonical(grainy)) - grain(canonical(smooth))
    assert after < before / 4


@pytest.mark.parametrize(
    ("recipe", "kind"), [("", UnknownNameError), ("jpeg", InputError), ("sharpen:2", UnknownNameError)]
)
def test_recipes_that_cannot_be(recipe: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        check_recipe(recipe)


def test_no_pixels() -> None:
    check_recipe(RECIPE)
    with pytest.raises(ArrayError):
        canonical(np.zeros((4, 4), np.uint8))
