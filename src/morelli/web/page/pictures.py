"""Pictures as the text of links: the page and its reports show what they carry, and name no file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.defence.files import png_bytes
from morelli.gallery.thumbnail import MEDIA_TYPE, make_thumbnail
from morelli.report.page import data_uri

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.gallery.view import GalleryView

_CONTENT = re.compile(r"\(([0-9a-f]{12})\)$")
_SIDE = 256


def preview(pixels: NDArray[np.uint8], side: int = 384) -> str:
    """A small copy of a decoded picture, shape (height, width, 3), uint8."""
    return data_uri(make_thumbnail(pixels, side), MEDIA_TYPE)


def near(view: GalleryView, evidence: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Thumbnails of the references that a verdict names, where the gallery keeps them."""
    found = {each["reference"]: _CONTENT.search(each["reference"]) for each in evidence}
    digits = {name: match[1] for name, match in found.items() if match}
    kept = view.thumbnails(digits.values())
    return {name: data_uri(picture, MEDIA_TYPE) for name, of in digits.items() if (picture := kept[of])}


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
