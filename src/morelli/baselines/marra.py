"""A mean noise residual for each model, and correlation with it (baseline ``marra``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from morelli.attribution.image import FeatureAttributor
from morelli.baselines.dzanic import GREY
from morelli.baselines.labels import encode_labels, require_fitted
from morelli.errors import ArrayError, ImageTooSmallError, InputError, UnknownNameError
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pixels = NDArray[np.uint8]
    Feature = NDArray[np.float32]

FORMS = {"wavelet": "wavelet", "dncnn": "denoiser"}
#: Windows of the Wiener filter over a spectrum, as over wavelet coefficients.
WINDOWS = (3, 5, 7, 9)
LEAST_SIDE = 32


class Marra(FeatureAttributor):
    """Marra et al., *Do GANs Leave Artificial Fingerprints?* (2019).

    A model's fingerprint is the mean of its pictures' residuals, and a picture's score under it the normalised
    cross-correlation of its residual with it. The form "wavelet" is that of the public camera-fingerprint programs:
    wavelet denoising (db4, four levels, σ = 5), grey, zero means of rows and columns in each of the four Bayer phases,
    Wiener filter on the spectrum with the residual's own deviation. "dncnn" takes what a denoising network
    removes, grey, without the filters.

    Pictures of several sizes are compared in their common centre window and never resized.

    Deviations: the wavelet transform is periodic where the program mirrors the border, and windows of its filter that
    reach over a border have fewer pixels, not zeros; the network is this package's small denoiser; of large
    pictures the centre is used (``window``), for residuals of a whole set must fit into memory; ``embed`` gives
    residuals of all pictures together, cut to their common window and of length 1, so that a mean of them weighs
    pictures alike.

    Parameters
    ----------
    form : {"wavelet", "dncnn"}
    limit : int
        Residuals of a model that enter its fingerprint, the first ones; published: 512.
    window : int
        Sides above it are cut to it around the centre, in pixels; 0: never.
    """

    resizes = False

    def __init__(self, form: str = "wavelet", limit: int = 512, window: int = 512) -> None:
        self.form, self.limit, self.window = form, limit, window

    def features(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> list[Feature]:
        """The residual of each picture, shape (height, width)."""
        if self.form not in FORMS:
            raise UnknownNameError("form of marra", self.form, FORMS)
        if self.limit < 1 or self.window < 0:
            raise InputError("limit must be 1 or more, and window 0 or more.", argument="limit")
        return [self._residual(check_pixels(image)) for image in images]

    def _residual(self, pixels: Pixels) -> Feature:
        import torch

        from morelli.fingerprint.residual import load_residual

        side = self.window or max(pixels.shape[:2])
        part = crop_centre(pixels, min(side, pixels.shape[0]), min(side, pixels.shape[1]))
        if min(part.shape[:2]) < LEAST_SIDE:
            raise ImageTooSmallError(
                f"{part.shape[1]} × {part.shape[0]} pixels, and {LEAST_SIDE} a side are needed.", argument="images"
            )
        tensor = torch.from_numpy(np.array(part)).permute(2, 0, 1)[None].float() / 255
        residual = load_residual(FORMS[self.form])(tensor)[0].permute(1, 2, 0).double().numpy() @ GREY
        if self.form == "wavelet":
            residual = zero_mean_phases(residual)
            residual = wiener_spectrum(residual, float(residual.std(ddof=1)))
        return residual.astype(np.float32)

    def fit_features(self, features: Sequence[Feature], models: NDArray[np.str_]) -> Self:
        """Average the residuals of each model, in the window that all have."""
        names, labels = encode_labels(models, len(features))
        _check_residuals(features)
        height, width = common_window(features)
        sums = np.zeros((len(names), height, width))
        counts = np.zeros(len(names), dtype=int)
        for residual, label in zip(features, labels.tolist(), strict=True):
            if counts[label] < self.limit:
                sums[label] += crop_centre(residual, height, width)
                counts[label] += 1
        self.models_, self.fingerprints_ = names, sums / counts[:, None, None]
        return self

    def scores_features(self, features: Sequence[Feature]) -> Array:
        """Correlation of each residual with each fingerprint, −1 to 1: shape (n, m)."""
        require_fitted(self, "fingerprints_")
        _check_residuals(features)
        out = np.empty((len(features), len(self.models_)))
        theirs: dict[tuple[int, int], Array] = {}
        for number, residual in enumerate(features):
            window = common_window([residual, self.fingerprints_[0]])
            if window not in theirs:
                cut = [normalised(crop_centre(each, *window)).ravel() for each in self.fingerprints_]
                theirs[window] = np.stack(cut)
            out[number] = theirs[window] @ normalised(crop_centre(residual, *window)).ravel()
        return out

    def embed_features(self, features: Sequence[Feature]) -> NDArray[np.float32]:
        """Residuals of mean 0 and length 1 in the pictures' common window; their inner product is the correlation."""
        _check_residuals(features)
        window = common_window(features)
        return np.stack([normalised(crop_centre(each, *window)).ravel() for each in features]).astype(np.float32)


def _check_residuals(features: Sequence[NDArray[Any]]) -> None:
    if not len(features) or any(np.ndim(each) != 2 for each in features):
        raise ArrayError("must be residuals of shape (height, width).", argument="features")


def common_window(arrays: Sequence[NDArray[Any]]) -> tuple[int, int]:
    """Height and width that all have."""
    return min(each.shape[0] for each in arrays), min(each.shape[1] for each in arrays)


def crop_centre(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The centre of the first two axes."""
    top, left = (array.shape[0] - height) // 2, (array.shape[1] - width) // 2
    return array[top : top + height, left : left + width]


def normalised(residual: NDArray[Any]) -> Array:
    """Mean 0 and length 1; a flat one is left at 0."""
    centred = np.asarray(residual, dtype=np.float64) - residual.mean(dtype=np.float64)
    length = np.linalg.norm(centred)
    return centred / length if length > 0 else centred


def zero_mean_phases(residual: Array) -> Array:
    """Means of the rows and the columns taken out, in each of the four 2 × 2 phases: the same shape."""
    out = residual.copy()
    for down in (0, 1):
        for across in (0, 1):
            phase = out[down::2, across::2]
            phase -= phase.mean()
            phase -= phase.mean(axis=1, keepdims=True)
            phase -= phase.mean(axis=0, keepdims=True)
    return out


def wiener_spectrum(residual: Array, sigma: float) -> Array:
    """What a Wiener filter takes for noise of deviation ``sigma`` in the spectrum's magnitude: the same shape.

    Lone peaks, which compression and demosaicking leave, stand out of it and are taken down to the noise.
    """
    from scipy.ndimage import uniform_filter

    spectrum = np.fft.fft2(residual)
    magnitude = np.abs(spectrum) / np.sqrt(residual.size)
    if sigma == 0:
        return np.zeros_like(residual)
    energy = magnitude**2
    least = np.min([uniform_filter(energy, window, mode="constant") for window in WINDOWS], axis=0)
    kept = sigma**2 / (sigma**2 + np.maximum(least - sigma**2, 0))
    return np.real(np.fft.ifft2(spectrum * kept))
