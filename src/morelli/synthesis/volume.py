"""How much room a set of models takes in the space of spectra (paper 002, §IV-B, "Diversity")."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from morelli.errors import NotEnoughReferencesError
from morelli.synthesis.ffd import check_spectra


def log_volume(spectra: ArrayLike, *, floor: float = 1e-10) -> float:
    """Natural logarithm of the confidence ellipsoid's volume.

    ``(2π)^(n/2) / Γ(n/2 + 1) · √(∏ λᵢ)`` as printed, λ the eigenvalues of the unbiased covariance and n the number of
    bins. A ball's volume has π where this has 2π; ratios of volumes, which are all that is used, do not see it.

    Parameters
    ----------
    spectra : array_like, shape (models, bins)
        Mean spectra of more models than bins.
    floor : float
        Eigenvalues under this share of the largest count as that share: they are rounding.

    Returns
    -------
    float
        ``-inf`` where all spectra are equal.

    Raises
    ------
    NotEnoughReferencesError
        Not more models than bins: the volume would be zero whatever they are.
    ArrayError
        Another shape, or values that are not finite.

    Examples
    --------
    >>> round(math.exp(log_volume([[-1.0], [0.0], [1.0]])), 4)  # √(2π) / Γ(3/2), the variance being 1
    2.8284
    """
    array = check_spectra(spectra)
    models, bins = array.shape
    if models <= bins:
        raise NotEnoughReferencesError(
            f"there are {models} models for {bins} bins; a volume needs more models than bins.",
            argument="spectra",
            fix="Take more models, or fewer bins.",
        )
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(array, rowvar=False)))
    largest = float(values.max())
    if largest <= 0:
        return -math.inf
    logs = np.log(np.maximum(values, floor * largest)).sum()
    return 0.5 * bins * math.log(2 * math.pi) - math.lgamma(bins / 2 + 1) + 0.5 * float(logs)
