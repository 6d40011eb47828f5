"""The picture of a residual's spectrum, as the text of a link."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from morelli.defence.files import png_bytes
from morelli.report.page import data_uri

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 256


def spectrum(pixels: NDArray[np.uint8]) -> str:
    """The logarithmic magnitude spectrum of what a median filter takes away, as a grey picture.

    The middle of the picture, 256 pixels a side where it has them; the mean of the three channels; black to white from
    the 1st to the 99.5th percentile; frequency zero in the middle.
    """
    # The residual that fingerprints are best with (docs/fingerprint.md); without torch, as this is for looking at.
    from scipy.ndimage import median_filter

    height, width, _ = pixels.shape
    side = min(_SIDE, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    window = pixels[top : top + side, left : left + side].astype(np.float32)
    residual = window - median_filter(window, size=(3, 3, 1), mode="reflect")
    found = np.log1p(np.abs(np.fft.fft2(residual, axes=(0, 1), norm="ortho"))).mean(axis=2)
    found = np.fft.fftshift(found)
    low, high = np.percentile(found, [1, 99.5])
    grey = np.clip((found - low) / max(float(high - low), 1e-6), 0, 1)
    return data_uri(png_bytes((255 * grey).astype(np.uint8)), "image/png")
