"""A fixed vector from residuals, without training: the mean logarithmic spectrum of small tiles.

The mean over many tiles is Welch's estimate (1967): the smaller the tile, the more of them and the less the estimate
scatters, and the coarser the frequencies. What upsampling and decoders leave lies at multiples of 1/8 and 1/16 of the
sampling rate, which tiles of 16 and 32 pixels still hold as frequencies of their own.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from morelli.errors import InputError
from morelli.fingerprint.parts import in_parts

#: Added to magnitudes before the logarithm, in units of 1/256: below it there is nothing but rounding.
FLOOR = 0.05
# Of squares whose root must have a gradient: no size that a float32 sum of squares would still show.
_LEAST = 1e-20
# Brightness, red against green, blue against both: generators' traces differ most between these.
_OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (1.0, -1.0, 0.0), (-0.5, -0.5, 1.0))
CHANNELS = 6


def vector_size(tile: int) -> int:
    """Numbers in the vector of `log_spectrum`: six channels over half of the frequencies, which are symmetric."""
    return CHANNELS * tile * (tile // 2 + 1)


def with_opponents(x: Tensor) -> Tensor:
    """Red, green and blue (n, 3, …) with their mean and two differences behind them: (n, 6, …)."""
    return torch.cat([x, torch.einsum("ij,nj...->ni...", torch.tensor(_OPPONENT, device=x.device), x)], dim=1)


def complex_size(parts: Tensor) -> Tensor:
    """Sizes of complex numbers, real and imaginary parts (…, 2), to (…): in half the time of PyTorch's ``abs``.

    Nothing is done against overflow: of numbers that float32 can square.
    """
    real, imaginary = parts.unbind(-1)
    squares = real.square().addcmul_(imaginary, imaginary)
    # A root has no gradient at zero: of differences of colours in a grey picture all are zero.
    return squares.clamp_min(_LEAST).sqrt() if squares.requires_grad else squares.sqrt_()


def log_size(parts: Tensor) -> Tensor:
    """log(size + `FLOOR`) of complex numbers, real and imaginary parts (…, 2), to (…)."""
    sizes = complex_size(parts)
    return (sizes + FLOOR).log() if sizes.requires_grad else sizes.add_(FLOOR).log_()


def log_spectrum(residuals: Tensor, tile: int) -> Tensor:
    """Mean over tiles of log(|FFT2|/tile + floor) for red, green, blue, their mean and two differences.

    Each channel's mean over its frequencies is taken off: what is left is the spectrum's form, and not how much texture
    the picture has.

    Parameters
    ----------
    residuals : Tensor, shape (n, 3, h, w), float32
        Windows of one image, in units of 1/256; both sides at least ``tile``.
    tile : int
        Side of a tile in pixels, even; what tiles do not cover at the right and the bottom is left out.

    Returns
    -------
    Tensor, shape (vector_size(tile),), float32

    Raises
    ------
    InputError
        The tile is odd, below 2, or larger than the residual.
    """
    height, width = residuals.shape[-2:]
    if tile < 2 or tile % 2 or tile > min(height, width):
        raise InputError(f"must be even and at most {min(height, width)}; got {tile}.", argument="tile")
    whole = residuals[..., : height // tile * tile, : width // tile * tile]
    spectra = in_parts(partial(_means, tile=tile), whole).mean(dim=0)
    return (spectra - spectra.mean(dim=(-2, -1), keepdim=True)).flatten()


def _means(residuals: Tensor, tile: int) -> Tensor:
    """Means of the logarithms over each window's tiles: (n, 3, h, w) to (n, 6, tile, tile/2 + 1)."""
    tiles = residuals.unfold(2, tile, tile).unfold(3, tile, tile)
    # "ortho" divides by the tile's side, so that white noise has its own deviation at every frequency.
    parts = torch.view_as_real(torch.fft.rfft2(tiles, norm="ortho"))
    return log_size(with_opponents(parts)).mean(dim=(2, 3))
