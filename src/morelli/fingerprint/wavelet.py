"""The residual of a Wiener filter in the wavelet domain, as camera fingerprints use it.

Source: Mıhçak et al., *Low-complexity image denoising based on statistical modeling of wavelet coefficients* (1999),
and Lukáš et al., *Digital camera identification from sensor pattern noise* (2006). Each detail coefficient is taken
for noise to the part σ²/(σ² + s²), with s² the least local variance, beyond σ², over windows of 3 to 9 coefficients.
The coarsest approximation holds no noise. Ours is periodic where the published code mirrors the border.
"""

from __future__ import annotations

from functools import cache, reduce

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, pad

from morelli.fingerprint.denoiser import UNIT

LEVELS = 4
#: Standard deviation of the noise that is looked for, in units of 1/256.
SIGMA = 5.0
_WINDOWS = (3, 5, 7, 9)
#: Sides up to which transforms and means are products with matrices: several times as quick as convolutions there.
_MATRIX = 256
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
    if max(details.shape[-2:]) <= _MATRIX:
        down, across = (_means(extent, details.dtype) for extent in details.shape[-2:])
        means = (one @ (energy @ other.mT) for one, other in zip(down, across, strict=True))
    else:
        means = (avg_pool2d(energy, w, 1, w // 2, count_include_pad=False) for w in _WINDOWS)
    least = reduce(torch.minimum, means)
    signal = (least - sigma**2).clamp_min(0)
    return details * (sigma**2 / (sigma**2 + signal))


def analyse(x: Tensor) -> Tensor:
    """One level of the periodic orthogonal transform: (n, 1, h, w), sides even, to (n, 4, h/2, w/2), average first."""
    if max(x.shape[-2:]) <= _MATRIX:
        down, across = (_transform(extent, x.dtype) for extent in x.shape[-2:])
        halves = (down @ x[:, 0] @ across.mT).unflatten(-1, (2, -1)).unflatten(-3, (2, -1))
        return halves.transpose(2, 3).flatten(1, 2)
    # Indices, not circular padding: around a small side the filter goes more than once.
    rows, columns = (torch.arange(extent + len(_LOW) - 2) % extent for extent in x.shape[-2:])
    return conv2d(x[..., rows, :][..., columns], _filters(x), stride=2)


def synthesise(bands: Tensor) -> Tensor:
    """The inverse of `analyse`: (n, 4, h, w) to (n, 1, 2h, 2w)."""
    height, width = (2 * extent for extent in bands.shape[-2:])
    if max(height, width) <= _MATRIX:
        down, across = (_transform(extent, bands.dtype) for extent in (height, width))
        whole = bands.unflatten(1, (2, 2)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return (down.mT @ whole @ across)[:, None]
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


@cache
def _transform(extent: int, dtype: torch.dtype) -> Tensor:
    """One level of the transform of a row of an even number of samples, as an orthogonal matrix, averages first.

    Kept matrices are no tensors of inference mode, whoever asks first: gradients may flow through them too.
    """
    with torch.inference_mode(False):
        return _make_transform(extent, dtype)


def _make_transform(extent: int, dtype: torch.dtype) -> Tensor:
    low = torch.tensor(_LOW, dtype=dtype)
    high = low.flip(0) * torch.tensor([1.0, -1.0], dtype=dtype).repeat(len(_LOW) // 2)
    matrix = torch.zeros(extent, extent, dtype=dtype)
    start = 2 * torch.arange(extent // 2)
    for k in range(len(_LOW)):
        for first, taps in ((0, low), (extent // 2, high)):
            # Around a small side the filter goes more than once.
            matrix.index_put_((first + start // 2, (start + k) % extent), taps[k], accumulate=True)
    return matrix


@cache
def _means(extent: int, dtype: torch.dtype) -> Tensor:
    """Matrices (4, n, n): means over each of `_WINDOWS` around every sample of a row, fewer samples at its ends."""
    with torch.inference_mode(False):
        place = torch.arange(extent)
        far = (place[:, None] - place).abs()
        near = torch.stack([far <= w // 2 for w in _WINDOWS]).to(dtype)
        return near / near.sum(-1, keepdim=True)
