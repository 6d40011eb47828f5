"""Fréchet Frequency Distance: how far one set of models' spectra is from another's (paper 002, §IV-B, step II)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morelli.errors import ArrayError, NotEnoughReferencesError

Array = NDArray[np.float64]


def ffd(one: ArrayLike, other: ArrayLike) -> float:
    """The Fréchet distance between two Gaussians fitted to spectra, squared as in the paper.

    ``‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½)``, with unbiased covariances. The distance itself is biased all the same:
    the fewer models, the larger, also between sets of one distribution. Only distances between sets of the same sizes
    compare; `morelli.synthesis.compare.compare` sees to that.

    Parameters
    ----------
    one, other : array_like, shape (models, bins)
        Mean spectra, at least two models each.

    Returns
    -------
    float
        0 or more; 0 for equal means and covariances. Its unit is that of the spectra, squared: only distances of one
        recipe compare.

    Raises
    ------
    ArrayError
        Another shape, other bins, or values that are not finite.
    NotEnoughReferencesError
        Fewer than two models.

    Examples
    --------
    >>> round(ffd([[0.0], [2.0]], [[3.0], [5.0]]), 6)
    9.0
    """
    x, y = check_spectra(one, "one"), check_spectra(other, "other")
    if x.shape[1] != y.shape[1]:
        raise ArrayError(f"must have as many bins as the other: {x.shape[1]} and {y.shape[1]}.", argument="other")
    return frechet(x.mean(0), _covariance(x), y.mean(0), _covariance(y))


def frechet(mean_1: Array, covariance_1: Array, mean_2: Array, covariance_2: Array) -> float:
    """The same from means and covariances.

    Parameters
    ----------
    mean_1, mean_2 : ndarray, shape (n,)
    covariance_1, covariance_2 : ndarray, shape (n, n)
        Symmetric, without negative eigenvalues; they may be singular.
    """
    # Σ₁Σ₂ and Σ₁^½ Σ₂ Σ₁^½ have the same eigenvalues; the second is symmetric, so none turns out complex.
    values, vectors = np.linalg.eigh(covariance_1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance_2 @ root), 0)).sum()
    apart = np.square(mean_1 - mean_2).sum()
    return float(max(apart + np.trace(covariance_1) + np.trace(covariance_2) - 2 * shared, 0.0))


def check_spectra(spectra: ArrayLike, argument: str = "spectra") -> Array:
    """Spectra as float64.

    Raises
    ------
    ArrayError
        Not (models, bins), or values that are not finite.
    NotEnoughReferencesError
        Fewer than two models.
    """
    array = np.asarray(spectra, dtype=np.float64)
    if array.ndim != 2 or not array.shape[1]:
        raise ArrayError(f"must have shape (models, bins); got {array.shape}.", argument=argument)
    if not np.isfinite(array).all():
        raise ArrayError("holds values that are not finite.", argument=argument)
    if len(array) < 2:
        raise NotEnoughReferencesError(f"must hold two models or more; got {len(array)}.", argument=argument)
    return array


def _covariance(spectra: Array) -> Array:
    return np.atleast_2d(np.cov(spectra, rowvar=False))
