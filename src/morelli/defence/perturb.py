"""Projected gradient descent within an L∞ ball around an image: paper 000's defence, and its better form.

Published: a contrastive loss averaged over an ensemble of encoders, whatever the attacker's encoder is. The steps are
those of Madry et al. (2018): a random start, the sign of the gradient, projection. Better: the loss also counts what
the likelihood-based attributors use (`morelli.defence.objective.likelihood_ratio`), the image is degraded before each
step, and smooth ground is spared: of it, every sample may use a share of ε, dithered to whole levels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from morelli.defence.levels import to_levels
from morelli.defence.masking import masking_map, whole_limits
from morelli.defence.settings import PerturbSettings, check_epsilon, check_settings
from morelli.defence.transforms import differentiable
from morelli.errors import DivergedError, FlatImageError, ImageTooSmallError, InputError
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.defence.objective import Objective
    from morelli.defence.surrogate import Surrogate

    Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Target:
    """One surrogate of the ensemble, and what its vectors are to minimise."""

    surrogate: Surrogate
    objective: Objective


def perturb(
    pixels: Pixels,
    targets: Sequence[Target],
    settings: PerturbSettings = PerturbSettings(),
    progress: Callable[[int, int], None] | None = None,
) -> Pixels:
    """The image, changed by at most ε a sample so that the mean of the targets' objectives is low.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    targets : sequence of Target
    settings : PerturbSettings
    progress : callable, optional
        Called with the steps done and their number.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        8-bit levels: rounding is part of the result, and never passes ε.

    Raises
    ------
    InputError
        Settings that cannot be, or no target.
    ImageTooSmallError, FlatImageError
        A surrogate can say nothing about the image. What is too small or flat only after a degradation is taken as it
        was before.
    DivergedError
        A gradient is no number.
    """
    check_settings(settings)
    if not targets:
        raise InputError("there is no surrogate to optimise against.", argument="targets")
    image = to_levels(check_pixels(pixels))
    own = stream(pixels, settings.seed)
    limit = _limits(pixels, settings, own)
    draws = np.random.default_rng(own)
    start = draws.uniform(-1.0, 1.0, image.shape).astype(np.float32)
    pool = [differentiable(text) for text in settings.transforms or ("",)]
    change = _inside(image, torch.from_numpy(start) * limit, limit)
    for number in range(settings.steps):
        transform = pool[int(draws.integers(len(pool)))]
        gradient = _gradient(image + change, transform, targets)
        change = _inside(image, change - settings.length_of(number) * gradient.sign(), limit)
        if progress is not None:
            progress(number + 1, settings.steps)
    # In single precision an ε just below a whole number would become that number.
    most = np.minimum(limit.permute(1, 2, 0).double().numpy(), settings.epsilon)
    return rounded(pixels, change.permute(1, 2, 0).numpy(), most)


def stream(pixels: Pixels, seed: int) -> int:
    """A picture's own seed, 0 to 2⁶⁴ − 1: who has other pictures, or not the seed, knows nothing of its draws."""
    digest = hashlib.sha256(f"{seed} {pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return int.from_bytes(digest.digest()[:8], "big")


def _limits(pixels: Pixels, settings: PerturbSettings, seed: int) -> Tensor:
    """ε of every sample: shape (3, h, w); whole levels where it is a share of ε."""
    if not settings.masked:
        return torch.full((3, *pixels.shape[:2]), settings.epsilon)
    shares = np.repeat(masking_map(pixels)[None], 3, axis=0) * np.float32(settings.epsilon)
    return torch.from_numpy(whole_limits(shares, settings.epsilon, seed))


def _inside(image: Tensor, change: Tensor, limit: Tensor) -> Tensor:
    """The change cut to its limits, and so that levels stay within 0–255."""
    change = torch.minimum(torch.maximum(change, -limit), limit)
    return (image + change).clamp(0.0, 255.0) - image


def _gradient(x: Tensor, transform: Callable[[Tensor], Tensor], targets: Sequence[Target]) -> Tensor:
    leaf = x.detach().requires_grad_()
    seen = transform(leaf)
    losses = [target.objective(_vectors(target.surrogate, seen, leaf)) for target in targets]
    (gradient,) = torch.autograd.grad(torch.stack([loss.double() for loss in losses]).mean(), leaf)
    if not torch.isfinite(gradient).all():
        raise DivergedError("the gradient at this image is no number.", argument="surrogate")
    return gradient


def _vectors(surrogate: Surrogate, seen: Tensor, whole: Tensor) -> Mapping[str, Tensor]:
    """Of the degraded image; of the image as it is where degrading left nothing that the surrogate can look at."""
    try:
        return surrogate(seen)
    except (ImageTooSmallError, FlatImageError):
        return surrogate(whole)


def rounded(pixels: Pixels, change: NDArray[np.floating], limit: NDArray[np.floating] | float) -> Pixels:
    """The image with a change rounded to whole levels, each within its limit: rounding up may not pass it.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    change : ndarray, same shape, floating point
        Levels.
    limit : ndarray or float
        Largest change of each sample, levels ≥ 0.
    """
    most = np.floor(np.asarray(limit, dtype=np.float64))
    whole = np.clip(np.rint(change), -most, most)
    return np.clip(pixels.astype(np.float64) + whole, 0, 255).astype(np.uint8)


def balanced(objectives: Sequence[Objective]) -> Objective:
    """Several objectives as one, with gradients of equal length in the embedding, whatever their units.

    The value has no meaning of its own; its gradient is the sum of the objectives' gradients at unit length.
    """

    def loss(vectors: Mapping[str, Tensor]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for objective in objectives:
            leaves = {name: values.detach().requires_grad_() for name, values in vectors.items()}
            found = torch.autograd.grad(objective(leaves), list(leaves.values()), allow_unused=True)
            parts = [torch.zeros_like(v) if g is None else g for v, g in zip(leaves.values(), found, strict=True)]
            length = torch.sqrt(sum((part.double().square().sum() for part in parts), torch.zeros(())))
            for part, values in zip(parts, vectors.values(), strict=True):
                total = total + (part.double() @ values.double()) / length.clamp_min(1e-30)
        return total

    return loss


def sign_noise(pixels: Pixels, epsilon: float, seed: int = 0) -> Pixels:
    """The control of a perturbation: every sample changed by plus or minus ⌊ε⌋ levels at random.

    What an attack loses to this is not the defence's doing.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    epsilon : float
        Levels of 255.
    seed : int
        Decides the signs.

    Raises
    ------
    InputError
        ε is out of its range.
    """
    check_epsilon(epsilon)
    signs = np.random.default_rng(seed).integers(0, 2, check_pixels(pixels).shape) * 2.0 - 1.0
    return rounded(pixels, signs * epsilon, epsilon)
