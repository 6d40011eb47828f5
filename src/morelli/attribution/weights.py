"""How much each part of a fused score counts: a conditional logit over log-likelihood ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pull of each weight towards the common one, in units of the loss per query: matters only where data are few.
_PULL = 0.02


def fit_weights(layers: NDArray[np.float64], truth: NDArray[np.intp]) -> NDArray[np.float64]:
    """Weights w ≥ 0 that minimise the mean of −log softmax(Σ_c w_c·s_c)[truth].

    The loss is convex, and the weights' common scale is a temperature: log-likelihoods of correlated parts are each
    over-confident and their sum more so.

    Parameters
    ----------
    layers : ndarray, shape (parts, n, m)
        Log-likelihood ratios; −inf where a model is no candidate, in all parts alike.
    truth : ndarray of int, shape (n,)
        Column of the right model.

    Returns
    -------
    ndarray, shape (parts,)
    """
    finite = np.isfinite(layers[0])
    s = np.where(finite, layers, 0.0)
    mask = np.where(finite, 0.0, -np.inf)
    parts, n, _ = s.shape
    at_truth = s[:, np.arange(n), truth]

    def loss(w: NDArray[np.float64], common: float) -> tuple[float, NDArray[np.float64]]:
        total = np.tensordot(w, s, axes=1) + mask
        value = np.mean(logsumexp(total, axis=1) - w @ at_truth)
        probability = softmax(total, axis=1)
        slope = (np.einsum("cnm,nm->cn", s, probability) - at_truth).mean(axis=1)
        away = w / common - 1.0
        return value + _PULL * np.mean(away**2), slope + 2.0 * _PULL * away / (common * parts)

    # First the one common weight on a grid of scales, then each on its own.
    grid = np.geomspace(1e-4, 1.0, 60) / parts
    common = min(grid, key=lambda scale: loss(np.full(parts, scale), 1e9)[0] - _PULL)
    if parts == 1:
        return np.array([common])
    # In units of the common weight the problem is well scaled.
    result = minimize(
        lambda v: (lambda value, slope: (value, slope * common))(*loss(v * common, common)),
        np.ones(parts),
        jac=True,
        bounds=[(0.0, None)] * parts,
        method="L-BFGS-B",
    )
    return result.x * common
