"""What a model makes itself, read by the teachers.

A model that is trained on noisy drawn pictures alone learns that what it sees under the noise is what the caption asks
for. When it samples, that is no longer so: two shapes are asked for, three have begun, and it finishes three. So it is
also shown what it has begun itself, and asked that the teacher read the caption in where it takes that (the reward
gradient of ReFL, Xu et al. 2023, with a classifier of drawn pictures for a reward).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from training.zoo.context import Context
from training.zoo.recipe import Step
from training.zoo.recipes.teacher import sight, taught_loss

FROM, EVERY = 10_000, 2
"""First step at which a model's own pictures say anything, and how often they are read after it."""
ROWS = 32
WEIGHT = 0.5
HAZE = 0.3
"""Most noise on what the teacher reads, in units of the latents' spread."""
PIXEL_HAZE = 0.1
"""Noise on what the picture teacher reads, in units of pixels from -1 to 1."""
SCALES = 10
"""Levels of noise on the way; reading begins after `EARLIEST` of them, for a first guess is a blur."""
EARLIEST = 3

Guess = Callable[[Tensor, int], Tensor]


def is_own(step: Step, first: int | None = None) -> bool:
    """Whether a step has the model read in what it makes itself; ``first``: the step from which on, default `FROM`."""
    return step.number >= (FROM if first is None else first) and step.number % EVERY == 0


def own_guess(
    guess: Guess, noise: Tensor, scales: Sequence[tuple[float, float]], step: Step, fresh: float
) -> tuple[Tensor, float]:
    """A model's guess of the clean latents somewhere on its own way from noise to them.

    Parameters
    ----------
    guess : callable
        Latents (n, c, h, w) at a level's number to its guess of the clean ones, the gradient flowing.
    noise : Tensor, shape (n, c, h, w)
    scales : sequence of (float, float)
        Scale of the clean latents and of the noise at each level, from the noisiest on.
    step : Step
    fresh : float, 0 to 1
        η of DDIM: 0 goes straight, 1 adds fresh noise as DDPM does.

    Returns
    -------
    tuple of Tensor, shape (n, c, h, w), and float
        The guess, and the scale of the clean latents where the way ended: how far the guess may be trusted.
    """
    last = int(step.rng.integers(EARLIEST, len(scales)))
    x = scales[0][1] * noise
    with torch.no_grad():
        for k in range(last):
            (kept, spread), (next_kept, next_spread) = scales[k], scales[k + 1]
            clean = guess(x, k)
            straight = (x - kept * clean) / spread
            added = fresh * next_spread / spread * (max(0.0, 1 - (kept / next_kept) ** 2)) ** 0.5
            x = next_kept * clean + (next_spread**2 - added**2) ** 0.5 * straight
            if added:
                x = x + added * step.normal_like(x)
    return guess(x, last), scales[last][0]


def _hazy(context: Context, latents: Tensor, step: Step) -> Tensor:
    """What the segmenter sees of latents under noise: what shows in a clean look alone is nothing to other readers."""
    haze = HAZE * step.uniform(len(latents), latents.device)[:, None, None, None].to(latents.dtype)
    return sight(context.latent_segmenter, (latents + haze * step.normal_like(latents)).to(torch.bfloat16))


def own_loss(context: Context, made: Tensor, trust: float, step: Step) -> Tensor:
    """How badly the teacher reads the captions of the step's first rows in guesses of clean latents, a scalar."""
    labels = torch.from_numpy(context.pictures.attributes[step.rows[: len(made)]]).long().to(context.device)
    return WEIGHT * trust**2 * taught_loss(context.teacher(_hazy(context, made, step)), labels)


def shown_loss(context: Context, pixels: Tensor, step: Step) -> Tensor:
    """How badly the picture teacher reads the captions of the step's first rows in made pictures, a scalar.

    Parameters
    ----------
    context : Context
    pixels : Tensor, shape (n, 3, 64, 64), bf16
        -1 to 1.
    step : Step
    """
    labels = torch.from_numpy(context.pictures.attributes[step.rows[: len(pixels)]]).long().to(context.device)
    return WEIGHT * taught_loss(context.picture_teacher(pixels + PIXEL_HAZE * step.normal_like(pixels)), labels)
