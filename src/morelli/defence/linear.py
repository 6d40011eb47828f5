"""Resizing and blurring as matrices: the very coefficients of Pillow and scipy, with gradients."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from morelli.defence.levels import to_levels, to_pixels
from morelli.images.degrade import RESAMPLERS

# Where degrade.blur cuts its Gaussian.
_CUT = 4.0


@lru_cache(maxsize=32)
def resize_matrix(size: int, wanted: int, resample: str) -> Tensor:
    """Matrix of shape (wanted, size) that resamples a line of samples as Pillow does.

    Pillow resamples a line linearly, so that its answer to every unit impulse is its matrix.

    Parameters
    ----------
    size, wanted : int
        Samples before and after.
    resample : str
        A key of `morelli.images.degrade.RESAMPLERS`.
    """
    impulses = Image.fromarray(np.eye(size, dtype=np.float32))
    answers = np.asarray(impulses.resize((size, wanted), RESAMPLERS[resample]))
    return torch.from_numpy(answers.copy())


@lru_cache(maxsize=32)
def blur_matrix(size: int, sigma: float) -> Tensor:
    """Matrix of shape (size, size) of `morelli.images.degrade.blur` along one side."""
    answers = gaussian_filter1d(np.eye(size), sigma, axis=0, mode="reflect", truncate=_CUT)
    return torch.from_numpy(answers.astype(np.float32))


def resized(x: Tensor, height: int, width: int, resample: str) -> Tensor:
    """An image as Pillow resamples it at 8 bits, with the gradients of the resampling without its roundings.

    Parameters
    ----------
    x : Tensor, shape (3, h, w), levels 0–255
        Rounded to whole levels first, as Pillow takes them.
    height, width : int
    resample : str
        A key of `morelli.images.degrade.RESAMPLERS`.

    Returns
    -------
    Tensor, shape (3, height, width), whole levels
    """
    # Pillow rounds between its two passes, whose order depends on the sizes and on its version: it is asked itself.
    exact = Image.fromarray(to_pixels(x)).resize((width, height), RESAMPLERS[resample])
    smooth = resize_matrix(x.shape[-2], height, resample) @ x @ resize_matrix(x.shape[-1], width, resample).T
    return smooth + (to_levels(np.asarray(exact)) - smooth.detach())


def blurred(x: Tensor, sigma: float) -> Tensor:
    """An image (3, h, w) as after `morelli.images.degrade.blur`, with gradients; whole levels."""
    smooth = blur_matrix(x.shape[-2], sigma) @ x @ blur_matrix(x.shape[-1], sigma).T
    return smooth + (to_levels(to_pixels(smooth)) - smooth.detach())
