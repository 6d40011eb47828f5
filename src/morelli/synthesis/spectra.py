"""The mean reduced power spectrum of a model's images (paper 002, §IV-B, step I of figure 11, and equation 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from morelli.errors import ArrayError, InputError

#: (n, 3, h, w), float32, 0–1 → (n, 3, h', w') in units of 1/256: what is left without the picture's content.
Residual = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class SpectrumSettings:
    """How a power spectrum becomes a vector.

    Parameters
    ----------
    bins : int
        Rings from frequency 0 to the Nyquist frequency, the first and the last half as wide: a coefficient at
        frequency r, in cycles a pixel, is in ring ``round(r · 2 · (bins − 1))``. Frequencies above it are left out.
        With ``side / 2 + 1`` bins a ring is one coefficient wide.
    ring : {"sum", "mean"}
        The sum over a ring is equation (1)'s integral over the angle.
    log : bool
        Decimal logarithm of the power.
    floor : float
        The least power that the logarithm sees.
    standardise : bool
        Bring each residual to zero mean and unit root mean square first: the strength of the residual is then gone.
    """

    bins: int = 33
    ring: Literal["sum", "mean"] = "sum"
    log: bool = True
    floor: float = 1e-12
    standardise: bool = False

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise InputError(f"must be 2 or more; got {self.bins}.", argument="bins")
        if self.ring not in ("sum", "mean"):
            raise InputError(f'must be "sum" or "mean"; got {self.ring!r}.', argument="ring")
        if not self.floor > 0:
            raise InputError(f"must be above 0; got {self.floor}.", argument="floor")


#: Ours: few enough rings that the spread of a few dozen models has full rank; in the logarithm no ring drowns others.
DEFAULT = SpectrumSettings()
#: As in the code behind the paper's reference 31 (Corvi et al. 2023), for images of ``side`` 128, but for one step: it
#: rescales the power spectrum by area to 222 × 222 first, and we take the rings of the spectrum as it is. Our rings end
#: at the Nyquist frequency.
GRIP = SpectrumSettings(bins=65, log=False, standardise=True)
RECIPES = {"default": DEFAULT, "grip": GRIP}


def power(residual: Tensor, standardise: bool = False) -> Tensor:
    """|DFT|², orthonormal, mean over the channels.

    Parameters
    ----------
    residual : Tensor, shape (n, c, h, w)
    standardise : bool
        Zero mean and unit root mean square of each image first; a flat one stays zero.

    Returns
    -------
    Tensor, shape (n, h, w), float64
        Zero frequency at [0, 0].
    """
    residual = residual.double()
    if standardise:
        residual = residual - residual.mean((1, 2, 3), keepdim=True)
        size = residual.square().mean((1, 2, 3), keepdim=True).sqrt()
        residual = residual / torch.where(size > 0, size, torch.ones_like(size))
    return torch.fft.fft2(residual, norm="ortho").abs().square().mean(1)


@lru_cache(maxsize=32)
def _rings(height: int, width: int, bins: int) -> tuple[Tensor, Tensor]:
    """Ring of each coefficient, ``bins`` where it is in none; and how many are in each."""
    down = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    across = torch.fft.fftfreq(width, dtype=torch.float64)[None]
    ring = torch.round((down.square() + across.square()).sqrt() * 2 * (bins - 1)).long().clamp(max=bins).flatten()
    return ring, torch.bincount(ring, minlength=bins + 1)[:bins]


def radial(powers: Tensor, settings: SpectrumSettings = DEFAULT) -> Tensor:
    """Power by ring of frequencies (equation 1).

    Parameters
    ----------
    powers : Tensor, shape (n, h, w)
        Zero frequency at [0, 0].

    Returns
    -------
    Tensor, shape (n, bins), float64
        Divided by h · w, so that images of several sizes compare; without the logarithm.

    Raises
    ------
    ArrayError
        An image so small that some ring holds no coefficient.
    """
    number, height, width = powers.shape
    ring, sizes = _rings(height, width, settings.bins)
    if int(sizes.min()) == 0:
        raise ArrayError(
            f"{height}×{width} coefficients do not fill {settings.bins} rings.",
            argument="images",
            fix="Use larger images, or fewer bins.",
        )
    sums = torch.zeros(number, settings.bins + 1, dtype=torch.float64, device=powers.device)
    sums.index_add_(1, ring.to(powers.device), powers.double().flatten(1))
    sums = sums[:, :-1]
    return sums / sizes.to(sums) if settings.ring == "mean" else sums / (height * width)


def mean_spectrum(batches: Iterable[Tensor], residual: Residual, settings: SpectrumSettings = DEFAULT) -> Tensor:
    """A model's vector: the reduced power spectrum of its images' residuals, averaged over the images.

    Parameters
    ----------
    batches : iterable of Tensor, each of shape (n, 3, h, w), float32, 0–1
        Images of one model.
    residual : callable
        What takes the pictures' content away; `morelli.fingerprint.residual.load_residual` has some.
    settings : SpectrumSettings

    Returns
    -------
    Tensor, shape (bins,), float64, on the CPU

    Raises
    ------
    InputError
        No image.
    ArrayError
        As `radial`.
    """
    total, count = torch.zeros(settings.bins, dtype=torch.float64), 0
    for images in batches:
        total += radial(power(residual(images), settings.standardise), settings).sum(0).cpu()
        count += len(images)
    if not count:
        raise InputError("there is no image.", argument="batches")
    mean = total / count
    return mean.clamp(min=settings.floor).log10() if settings.log else mean


def mean_power(batches: Iterable[Tensor], residual: Residual) -> Tensor:
    """The two-dimensional mean power spectrum, as figure 2 shows it.

    Parameters
    ----------
    batches : iterable of Tensor, each of shape (n, 3, h, w), float32, 0–1
        All of one size.
    residual : callable

    Returns
    -------
    Tensor, shape (h, w), float64, on the CPU
        Zero frequency in the middle.

    Raises
    ------
    InputError
        No image.
    """
    total: Tensor | None = None
    count = 0
    for images in batches:
        powers = power(residual(images)).sum(0).cpu()
        total, count = powers if total is None else total + powers, count + len(images)
    if total is None:
        raise InputError("there is no image.", argument="batches")
    return torch.fft.fftshift(total / count)
