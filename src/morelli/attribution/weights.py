"""How much each part of a fused score counts: a conditional logit over log-likelihood ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Pull of each weight towards the common one, in units of the loss per query: matters only where data are few …
PULL = 0.02
#: … as are degraded copies, several of which are of one image.
DEGRADED_PULL = 0.2
#: Of the weights of one degradation towards those of all of them together.
CONDITION_PULL = 1.0


def fit_weights(layers: Array, truth: NDArray[np.intp], pull: float = PULL, towards: Array | None = None) -> Array:
    """Weights w ≥ 0 that minimise the mean of −log softmax(Σ_c w_c·s_c)[truth].

    The loss is convex, and the weights' common scale is a temperature: log-likelihoods of correlated parts are each
    over-confident and their sum more so.

    Parameters
    ----------
    layers : ndarray, shape (parts, n, m)
        Log-likelihood ratios; −inf where a model is no candidate, in all parts alike.
    truth : ndarray of int, shape (n,)
        Column of the right model.
    pull : float
        Penalty, per query, of a weight that is twice the common one.
    towards : ndarray, shape (parts,), optional
        What each weight is drawn to in place of one common weight, which is learnt too.

    Returns
    -------
    ndarray, shape (parts,)
    """
    from scipy.optimize import minimize  # here: scoring with weights that were learnt before needs no optimiser

    finite = np.isfinite(layers[0])
    s = np.where(finite, layers, 0.0)
    mask = np.where(finite, 0.0, -np.inf)
    parts, n, _ = s.shape
    at_truth = s[:, np.arange(n), truth]

    if towards is None:
        # First the one common weight on a grid of scales, then each on its own.
        grid = np.geomspace(1e-4, 1.0, 60) / parts
        common = float(min(grid, key=lambda scale: logit_loss(np.full(parts, scale), s, mask, at_truth)[0]))
        if parts == 1:
            return np.array([common])
        centre = np.full(parts, common)
    else:
        centre = towards
    # A weight that those it is drawn to leave out may come back.
    unit = np.maximum(centre, centre.mean())

    def pulled(v: Array) -> tuple[float, Array]:
        # In units of what they are drawn to the problem is well scaled.
        value, slope = logit_loss(v * unit, s, mask, at_truth)
        away = v - centre / unit
        return value + pull * float(np.mean(away**2)), slope * unit + 2.0 * pull * away / parts

    result = minimize(pulled, centre / unit, jac=True, bounds=[(0.0, None)] * parts, method="L-BFGS-B")
    return result.x * unit


def logit_loss(w: Array, s: Array, mask: Array, at_truth: Array) -> tuple[float, Array]:
    """Mean of −log softmax(Σ_c w_c·s_c + mask)[truth] and its gradient.

    Parameters
    ----------
    w : ndarray, shape (parts,)
    s : ndarray, shape (parts, n, m)
        Finite.
    mask : ndarray, shape (n, m)
        0 for a candidate, −inf for another model.
    at_truth : ndarray, shape (parts, n)
        s at the right model.
    """
    total = np.tensordot(w, s, axes=1) + mask
    value = float(np.mean(np.asarray(logsumexp(total, axis=1)) - w @ at_truth))
    slope = (np.einsum("cnm,nm->cn", s, softmax(total, axis=1)) - at_truth).mean(axis=1)
    return value, slope
