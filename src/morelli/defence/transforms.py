"""The degradations of `morelli.images.degrade` with gradients: what a perturbation must outlive.

Expectation over transformations (Athalye et al., *Synthesizing robust adversarial examples*, 2018): each step of the
optimisation sees the image after a degradation drawn anew. Resizing, blur, cropping and cutting are linear and have
gradients of their own; what a codec or noise does is passed straight through (Athalye, Carlini and Wagner, 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from morelli.defence.levels import to_levels, to_pixels
from morelli.defence.linear import blurred, resized
from morelli.images.degrade import Degradation, cut_box, parse

Transform = Callable[[Tensor], Tensor]

#: What an image that is voted on goes through, and what purifies it: mild and common forms; "" leaves it as it is.
TRANSFORMS = ("", "", "jpeg:90", "jpeg:75", "resize:0.75", "resize:0.5", "blur:0.7", "resize:0.75+jpeg:80")


def differentiable(text: str) -> Transform:
    """A degradation's text form as a function of images (3, h, w) of levels 0–255, with gradients.

    On whole levels the result is that of `morelli.images.degrade.degrade` to within one level; where a cut follows
    another step it may lie elsewhere, for the pixels decide where, to the last level.

    Raises
    ------
    UnknownNameError, InputError
        As `morelli.images.degrade.parse`.
    """
    steps: list[Transform] = []
    for part in text.split("+") if text else ():
        step = parse(part)
        kind = step.name.partition(":")[0]
        if step.strength is not None and kind in _LINEAR:
            steps.append(partial(_LINEAR[kind], strength=step.strength))
        else:
            steps.append(partial(_straight_through, step=step))

    def transform(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return transform


def _straight_through(x: Tensor, step: Degradation) -> Tensor:
    return x + (to_levels(step(to_pixels(x))) - x.detach())


def _resize(x: Tensor, strength: float) -> Tensor:
    height, width = x.shape[-2:]
    return resized(x, max(1, round(height * strength)), max(1, round(width * strength)), "bicubic")


def _crop(x: Tensor, strength: float) -> Tensor:
    height, width = x.shape[-2:]
    rows, columns = max(1, round(height * strength)), max(1, round(width * strength))
    top, left = round((height - rows) * 0.5), round((width - columns) * 0.5)
    return resized(x[:, top : top + rows, left : left + columns], height, width, "bicubic")


def _cut(x: Tensor, strength: float) -> Tensor:
    rows, columns = cut_box(to_pixels(x), strength)
    return x[:, rows, columns]


def _blur(x: Tensor, strength: float) -> Tensor:
    return blurred(x, strength)


_LINEAR: dict[str, Callable[..., Tensor]] = {"resize": _resize, "crop": _crop, "cut": _cut, "blur": _blur}
