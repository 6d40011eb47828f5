"""The decay of the highest frequencies, and five neighbours (baseline ``dzanic``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.optimize import minimize

from morelli.attribution.image import FeatureAttributor
from morelli.baselines.knn import euclidean, vote_scores
from morelli.baselines.labels import Standardiser, encode_labels, require_fitted, stack_features
from morelli.errors import ImageTooSmallError, InputError
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pixels = NDArray[np.uint8]
    Feature = NDArray[np.float32]

GREY = np.array([0.2989, 0.5870, 0.1140])
BINS, FROM, SPAN = 200, 0.5, 5
#: Below it the kept rings hold too few frequencies to be averaged.
LEAST_SIDE = 16


class Dzanic(FeatureAttributor):
    """Dzanic, Shah and Witherden, *Fourier Spectrum Discrepancies in Deep Network Generated Images* (2020).

    The magnitude of a grey picture's spectrum, averaged in 200 rings between half and all of the greatest radius (that
    of the corners) and smoothed over five, is fitted from ``fit_from`` of the radius on by y = y₀·(x/x₀)^c. The
    features are c and the first and last value of the fitted part; k nearest neighbours vote on them, standardised.

    Deviations: rings lie around the zero frequency, where the published program's are one pixel off (plain bug, worth
    about 6 points on 128-pixel pictures); grey is not rounded to levels; empty rings are interpolated, where theirs are
    left out by the smoothing; equal votes, and classes without a vote, are ordered by distance; sizes may differ, for
    rings are counted in shares of the radius, though magnitudes grow with the size.

    Parameters
    ----------
    fit_from : float
        Share of the radius where the fit begins, 0.5 to 0.99. The published program defines 0.75 and is run with
        0.85.
    k : int
        Neighbours.
    """

    def __init__(self, fit_from: float = 0.85, k: int = 5) -> None:
        self.fit_from, self.k = fit_from, k

    def features(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> list[Feature]:
        """[c, first, last] of each picture."""
        if not FROM <= self.fit_from <= 0.99 or self.k < 1:
            raise InputError(
                f"fit_from must be 0.5 to 0.99 and k 1 or more; got {self.fit_from:g} and {self.k}.", argument="dzanic"
            )
        return [decay_features(grey(image), self.fit_from).astype(np.float32) for image in images]

    def fit_features(self, features: Sequence[Feature], models: NDArray[np.str_]) -> Self:
        """Keep the standardised features of known pictures."""
        x = stack_features(features)
        self.models_, self.labels_ = encode_labels(models, len(x))
        self.standardise_ = Standardiser(x)
        self.x_ = self.standardise_(x)
        return self

    def scores_features(self, features: Sequence[Feature]) -> Array:
        """Votes, shape (n, m)."""
        x = self.embed_features(features).astype(np.float64)
        return vote_scores(euclidean(x, self.x_), self.labels_, len(self.models_), self.k)

    def embed_features(self, features: Sequence[Feature]) -> NDArray[np.float32]:
        """The standardised features, shape (n, 3)."""
        require_fitted(self, "x_")
        return self.standardise_(stack_features(features)).astype(np.float32)


def grey(image: Pixels) -> Array:
    """Luminance of a picture, 0–255: shape (height, width)."""
    return check_pixels(image).astype(np.float64) @ GREY


def decay_features(picture: Array, fit_from: float = 0.85) -> Array:
    """[c, first, last] of one grey picture (height, width): shape (3,)."""
    first = round(BINS * (fit_from - FROM) / (1 - FROM))
    x, y = ring_means(picture)
    x, y = x[first:], y[first:]
    return np.array([fit_decay(x / x.max(), y), y[0], y[-1]])


def ring_means(picture: Array) -> tuple[Array, Array]:
    """Radii of the 200 rings' middles, as shares of the greatest, and the smoothed mean magnitude in each.

    Raises
    ------
    ImageTooSmallError
        A side below 16 pixels.
    """
    height, width = picture.shape
    if min(height, width) < LEAST_SIDE:
        raise ImageTooSmallError(f"{width} × {height} pixels, and {LEAST_SIDE} a side are needed.", argument="images")
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(picture)))
    rows, columns = (np.arange(side) - side // 2 for side in (height, width))
    share = np.hypot(*np.meshgrid(rows, columns, indexing="ij")) / np.hypot(height / 2, width / 2)
    kept = share > FROM
    ring = np.minimum(((share[kept] - FROM) / (1 - FROM) * BINS).astype(int), BINS - 1)
    count = np.bincount(ring, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(ring, magnitude[kept], minlength=BINS) / count
    # A ring that no frequency falls into takes the mean of its neighbours.
    filled = count > 0
    mean = np.interp(np.arange(BINS), np.flatnonzero(filled), mean[filled])
    return FROM + (np.arange(BINS) + 0.5) * (1 - FROM) / BINS, moving_average(mean, SPAN)


def moving_average(y: Array, span: int) -> Array:
    """Mean over ``span`` (odd) neighbours; near an end over as many as there are on both sides, as in MATLAB."""
    half = np.minimum(np.minimum(np.arange(len(y)), len(y) - 1 - np.arange(len(y))), span // 2)
    return np.array([y[i - h : i + h + 1].mean() for i, h in enumerate(half)])


def fit_decay(x: Array, y: Array) -> float:
    """The exponent c of y ≈ y₀·(x/x₀)^c, by least squares with Nelder and Mead's search from −2."""
    # Brought to 1 at the start, so that the search's tolerance does not depend on the magnitude; c is the same.
    ratio, height = x / x[0], y / y[0] if y[0] else y
    found = minimize(lambda c: float(((ratio ** c[0] * height[0] - height) ** 2).sum()), [-2.0], method="Nelder-Mead")
    return float(found.x[0])
