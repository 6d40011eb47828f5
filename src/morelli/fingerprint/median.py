"""The residual of a 3 × 3 median filter: no training, a few microseconds a kilopixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from morelli.fingerprint.denoiser import UNIT


def median_residual(images: Tensor) -> Tensor:
    """Images (n, 3, h, w) in 0–1 minus their 3 × 3 median, borders repeated, in units of 1/256: the same shape."""
    return (images - median3(images)) / UNIT


def median3(x: Tensor) -> Tensor:
    """Median over each pixel's 3 × 3 neighbourhood, channel by channel, borders repeated: the shape of ``x``.

    Each column of three is sorted once and serves three neighbourhoods; the median of nine is the median of the
    largest minimum, the median of the middles and the least maximum.
    """
    padded = pad(x, (1, 1, 1, 1), mode="replicate")
    low, middle, high = _sort3(padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :])
    greatest = torch.maximum(torch.maximum(low[..., :-2], low[..., 1:-1]), low[..., 2:])
    least = torch.minimum(torch.minimum(high[..., :-2], high[..., 1:-1]), high[..., 2:])
    return _middle(greatest, _middle(middle[..., :-2], middle[..., 1:-1], middle[..., 2:]), least)


def _sort3(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a, b = torch.minimum(a, b), torch.maximum(a, b)
    b, c = torch.minimum(b, c), torch.maximum(b, c)
    a, b = torch.minimum(a, b), torch.maximum(a, b)
    return a, b, c


def _middle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))
