"""A residual that costs little: what blurs of two sizes leave, less of it where the picture is busy.

x₀ is the picture, x₁ and x₂ are what the binomial filter of five taps makes of it once and, at twice the width,
again. The residual is the sum of x₀ − x₁ and x₁ − x₂, each sample weighed by σ²/(σ² + s²), s² the mean of the squares
around it: half of it is left where the picture deviates by σ, nearly all on smooth ground, where traces show, and
next to nothing at an edge, which is none. `morelli.fingerprint.wavelet` shrinks alike, by windows of several sizes
less the noise that it looks for; this is over two scales of the undecimated transform of Starck and Murtagh (*à
trous*, 1994), says as much by place, and takes a seventh of the time or less (docs/decisions/0011).
"""

from __future__ import annotations

from torch import Tensor

#: Widths of the blurs, in pixels between taps.
WIDTHS = (1, 2)
#: Pixels that the result lacks on each side: two widths of each blur, one of the mean around.
MARGIN = 2 * sum(WIDTHS) + 1
#: Standard deviation from which a residual counts as the picture's, in units of 1/256.
SIGMA = 2.0


def highpass_residual(x: Tensor, sigma: float = SIGMA) -> Tensor:
    """The weighed residual of channels (…, h, w) in units of 1/256: (…, h − 14, w − 14).

    Parameters
    ----------
    x : Tensor, shape (…, h, w), floating point
        Both sides above 14.
    sigma : float
        Deviation at which half of a sample is left, in units of 1/256.
    """
    left = MARGIN
    parts = []
    for width in WIDTHS:
        blurred = _blurred(x, width)
        detail = _inner(x, 2 * width) - blurred
        left -= 2 * width
        # Of a band with room to spare only what is needed for the means.
        detail = _inner(detail, left - 1)
        parts.append(_inner(detail, 1) * (sigma**2 / (sigma**2 + _mean3(detail.square()))))
        x = blurred
    return parts[0] + parts[1]


def _inner(x: Tensor, less: int) -> Tensor:
    """Without ``less`` pixels on each side."""
    return x[..., less : x.shape[-2] - less, less : x.shape[-1] - less]


def _blurred(x: Tensor, width: int) -> Tensor:
    """Binomial weights 1, 4, 6, 4, 1 along both axes, ``width`` pixels apart: without two widths on each side."""
    for axis in (-2, -1):
        extent = x.shape[axis] - 4 * width
        taps = [x.narrow(axis, number * width, extent) for number in range(5)]
        x = (taps[0] + taps[4]) + 4 * (taps[1] + taps[3]) + 6 * taps[2]
    return x / 256


def _mean3(x: Tensor) -> Tensor:
    for axis in (-2, -1):
        extent = x.shape[axis] - 2
        x = x.narrow(axis, 0, extent) + x.narrow(axis, 1, extent) + x.narrow(axis, 2, extent)
    return x / 9
