"""Residuals become spectra: the magnitude of the 2-D Fourier transform, channel by channel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from morelli.errors import InputError
from morelli.fingerprint.log_spectrum import complex_size, with_opponents


def magnitude(residual: Tensor, *, half: bool = False, opponent: bool = False) -> Tensor:
    """|FFT2| of each channel, raw: no mean removed, no shift, no scaling; (n, c, …, h, w) to (n, c, …, h, w).

    With ``half`` only the columns 0 … w/2: a real picture's other half mirrors it. With ``opponent`` three more
    channels (`morelli.fingerprint.log_spectrum`).
    """
    transform = torch.fft.rfft2 if half else torch.fft.fft2
    parts = torch.view_as_real(transform(residual.float()))
    if opponent:
        parts = with_opponents(parts)  # as of the picture itself: the transform is linear
    return complex_size(parts)


def spectrum(
    residual: Tensor,
    *,
    log: bool = False,
    shift: bool = False,
    standardise: bool = False,
    side: int | None = None,
    tile: int | None = None,
    half: bool = False,
    opponent: bool = False,
    floor: float = 1.0,
) -> Tensor:
    """Magnitude spectra of residuals (n, c, h, w), float32.

    Parameters
    ----------
    residual : Tensor, shape (n, c, h, w)
        In units of 1/256.
    log : bool
        ``log(magnitude / √(h·w) + floor)``. The quotient has a root mean square of 1 for white noise of deviation 1.
    shift : bool
        Frequency zero in the middle instead of the corner; of a half spectrum, in the middle of its rows.
    standardise : bool
        Each channel to mean 0 and deviation 1 over its frequencies; a constant channel to 0.
    side : int, optional
        Resize to side × side (half: side × (side/2 + 1)) by nearest neighbour, as published (94 to 128).
    tile : int, optional
        Mean over the spectra of whole tiles of that side (Welch 1967), after the logarithm.
    half : bool
        Leave out the half that mirrors the other.
    opponent : bool
        Three more channels: the colours' mean and two differences (`morelli.fingerprint.log_spectrum`).
    floor : float
        Above 0. With 1, sizes below the noise of rounding stay near themselves; a small one spreads them out.

    Returns
    -------
    Tensor, shape (n, c, side, side) or (n, c, h, w)

    Raises
    ------
    InputError
        ``side`` is below 1, ``floor`` not above 0, or ``tile`` does not fit.
    """
    if side is not None and side < 1:
        raise InputError(f"must be 1 or more; got {side}.", argument="side")
    if not floor > 0:
        raise InputError(f"must be above 0; got {floor}.", argument="floor")
    x = residual if tile is None else _tiles(residual, tile)
    out = magnitude(x, half=half, opponent=opponent)
    if log:
        size = (x.shape[-2] * x.shape[-1]) ** 0.5
        # log1p keeps the digits of small sizes.
        out = torch.log1p(out / size) if floor == 1 else torch.log(out / size + floor)
    if tile is not None:
        out = out.mean(dim=(2, 3))
    if shift:
        out = torch.fft.fftshift(out, dim=(-2,) if half else (-2, -1))
    if standardise:
        deviation = out.std(dim=(-2, -1), keepdim=True, correction=0)
        out = (out - out.mean(dim=(-2, -1), keepdim=True)) / deviation.clamp_min(1e-6)
    if side is not None and tuple(out.shape[-2:]) != (size_ := half_size(side, half)):
        out = interpolate(out, size=size_, mode="nearest")
    return out


def half_size(side: int, half: bool) -> tuple[int, int]:
    """Rows and columns of a spectrum of ``side``."""
    return side, side // 2 + 1 if half else side


def _tiles(x: Tensor, tile: int) -> Tensor:
    """Tiles (n, c, a, b, tile, tile) of (n, c, h, w); what they do not cover is left out."""
    least = min(x.shape[-2:])
    if not 2 <= tile <= least:
        raise InputError(f"must be 2 to {least}; got {tile}.", argument="tile")
    return x.unfold(2, tile, tile).unfold(3, tile, tile)
