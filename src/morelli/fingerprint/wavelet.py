"""The residual of a Wiener filter in the wavelet domain, as camera fingerprints use it.

Source: Mıhçak et al., *Low-complexity image denoising based on statistical modeling of wavelet coefficients* (1999),
and Lukáš et al., *Digital camera identification from sensor pattern noise* (2006). Each detail coefficient is taken
for noise to the part σ²/(σ² + s²), with s² the least local variance, beyond σ², over windows of 3 to 9 coefficients.
The coarsest approximation holds no noise. Ours is periodic where the published code mirrors the border.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, pad

from morelli.fingerprint.denoiser import UNIT

LEVELS = 4
#: Standard deviation of the noise that is looked for, in units of 1/256.
SIGMA = 5.0
_WINDOWS = (3, 5, 7, 9)
# Daubechies' orthogonal filter with four vanishing moments (db4).
_LOW = (
    0.23037781330889653, 0.7148465705529157, 0.6308807679298589, -0.027983769416859854,
    -0.18703481171909309, 0.030841381835560764, 0.0328830116668852, -0.010597401785069032,
)  # fmt: skip


def wavelet_residual(images: Tensor, levels: int = LEVELS, sigma: float = SIGMA) -> Tensor:
    """The noise that the filter takes out of images (n, 3, h, w) in 0–1, in units of 1/256: the same shape."""
    height, width = images.shape[-2:]
    step = 2**levels
    down, across = -height % step, -width % step
    x = pad(images / UNIT, (0, across, 0, down), mode="replicate").flatten(0, 1)[:, None]
    details = []
    for _ in range(levels):
        bands = analyse(x)
        details.append(_noise(bands[:, 1:], sigma))
        x = bands[:, :1]
    x = torch.zeros_like(x)
    for noise in reversed(details):
        x = synthesise(torch.cat([x, noise], dim=1))
    return x.unflatten(0, images.shape[:2])[:, :, 0, :height, :width]


def _noise(details: Tensor, sigma: float) -> Tensor:
    """The noise part of detail coefficients (n, 3, h, w)."""
    energy = details.square()
    least = torch.stack([avg_pool2d(energy, w, 1, w // 2, count_include_pad=False) for w in _WINDOWS]).amin(0)
    signal = (least - sigma**2).clamp_min(0)
    return details * (sigma**2 / (sigma**2 + signal))


def analyse(x: Tensor) -> Tensor:
    """One level of the periodic orthogonal transform: (n, 1, h, w), sides even, to (n, 4, h/2, w/2), average first."""
    # Indices, not circular padding: around a small side the filter goes more than once.
    rows, columns = (torch.arange(extent + len(_LOW) - 2) % extent for extent in x.shape[-2:])
    return conv2d(x[..., rows, :][..., columns], _filters(x), stride=2)


def synthesise(bands: Tensor) -> Tensor:
    """The inverse of `analyse`: (n, 4, h, w) to (n, 1, 2h, 2w)."""
    height, width = (2 * extent for extent in bands.shape[-2:])
    spread = conv_transpose2d(bands, _filters(bands), stride=2)
    # What reaches over the edge comes back at the other side.
    spread = torch.zeros(*spread.shape[:-2], height, spread.shape[-1], dtype=spread.dtype).index_add_(
        -2, torch.arange(spread.shape[-2]) % height, spread
    )
    return torch.zeros(*spread.shape[:-1], width, dtype=spread.dtype).index_add_(
        -1, torch.arange(spread.shape[-1]) % width, spread
    )


def _filters(like: Tensor) -> Tensor:
    low = torch.tensor(_LOW, dtype=like.dtype)
    high = low.flip(0) * torch.tensor([1.0, -1.0], dtype=like.dtype).repeat(len(_LOW) // 2)
    return torch.stack([torch.outer(a, b) for a in (low, high) for b in (low, high)])[:, None]
