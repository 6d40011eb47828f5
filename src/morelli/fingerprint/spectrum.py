"""Residuals become spectra: the magnitude of the 2-D Fourier transform, channel by channel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from morelli.errors import InputError


def magnitude(residual: Tensor) -> Tensor:
    """|FFT2| of each channel, raw: no mean removed, no shift, no scaling; (n, c, h, w) to the same shape."""
    return torch.fft.fft2(residual.float()).abs()


def spectrum(
    residual: Tensor, *, log: bool = False, shift: bool = False, standardise: bool = False, side: int | None = None
) -> Tensor:
    """Magnitude spectra of residuals (n, c, h, w), float32.

    Parameters
    ----------
    residual : Tensor, shape (n, c, h, w)
        In units of 1/256.
    log : bool
        ``log1p`` of the magnitude divided by √(h·w), its root mean square for white noise of deviation 1: sizes are
        then comparable, and log1p is near the magnitude itself where there is less than the noise of rounding.
    shift : bool
        Frequency zero in the middle instead of the corner.
    standardise : bool
        Each channel to mean 0 and deviation 1 over its frequencies; a constant channel to 0.
    side : int, optional
        Resize to side × side by nearest neighbour, as published (94 to 128).

    Returns
    -------
    Tensor, shape (n, c, side, side) or (n, c, h, w)

    Raises
    ------
    InputError
        ``side`` is below 1.
    """
    if side is not None and side < 1:
        raise InputError(f"must be 1 or more; got {side}.", argument="side")
    out = magnitude(residual)
    if log:
        out = torch.log1p(out / (residual.shape[-2] * residual.shape[-1]) ** 0.5)
    if shift:
        out = torch.fft.fftshift(out, dim=(-2, -1))
    if standardise:
        deviation = out.std(dim=(-2, -1), keepdim=True, correction=0)
        out = (out - out.mean(dim=(-2, -1), keepdim=True)) / deviation.clamp_min(1e-6)
    if side is not None and tuple(out.shape[-2:]) != (side, side):
        out = interpolate(out, size=(side, side), mode="nearest")
    return out
