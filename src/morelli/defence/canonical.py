"""One form for every model's images, without gradients: what is the same for all cannot tell them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from morelli.encoders.views import median3
from morelli.images.degrade import RESAMPLERS, parse
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

#: Steps of the common form: denoise, take the finest scale away, re-encode.
RECIPE = "median+resize:0.67+jpeg:80"
_MEDIAN = "median"


def canonical(pixels: Pixels, recipe: str = RECIPE) -> Pixels:
    """An image in the form that all images of a leaderboard share, at its own size.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    recipe : str
        Steps in order, joined by "+": "median" (3 × 3), and the degradations of `morelli.images.degrade`. Where a step
        changes the size, the next brings it back (bicubic), so that a codec always works at the full size.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8

    Raises
    ------
    UnknownNameError, InputError
        As `morelli.images.degrade.parse`.
    """
    out = check_pixels(pixels)
    for part in recipe.split("+"):
        step = part.strip()
        out = _same_size(median3(out) if step == _MEDIAN else parse(step)(out), *pixels.shape[:2])
    return out


def check_recipe(recipe: str) -> None:
    """Refuse a recipe that cannot be followed; raises as `canonical`."""
    canonical(np.zeros((32, 32, 3), np.uint8), recipe)


def _same_size(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((width, height), RESAMPLERS["bicubic"]))
