"""A likeness fused with an attributor's scores: standardised, weighted, added; the weight learnt from background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.calibration import fit_temperature
from morelli.attribution.weights import fit_weights
from morelli.errors import ArrayError, NotEnoughReferencesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# How strongly the two are held alike, in nats over all queries: fifty queries feel it, thousands do not.
_PULL = 1.0
# Likenesses of one query that differ by less say nothing of the models.
_FLAT = 1e-12


def standardise(likeness: Array) -> Array:
    """Each query's likenesses less their mean, over their standard deviation: shape (n, m).

    A model without a likeness (NaN) gets 0, the mean: nothing is said for or against it. So does every model of a query
    whose likenesses are all alike.
    """
    known = np.isfinite(likeness)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, likeness, 0.0).sum(axis=1, keepdims=True) / count
    away = np.where(known, likeness - mean, 0.0)
    spread = np.sqrt((away**2).sum(axis=1, keepdims=True) / count)
    return np.where(spread > _FLAT, away / np.maximum(spread, _FLAT), 0.0)


@dataclass(frozen=True)
class Fusion:
    """Fused scores are ``own``·scores + ``weight``·standardised likeness.

    Attributes
    ----------
    own : float
        1, or 0 where the attributor's scores turned out to say nothing.
    weight : float
        w ≥ 0, in the units of the attributor's scores.
    """

    own: float
    weight: float

    def __call__(self, scores: Array, likeness: Array) -> Array:
        """Fused scores, shape (n, m); a score of −inf is no candidate and stays so."""
        allowed = np.isfinite(scores)
        z = standardise(np.where(allowed, likeness, np.nan))
        return np.where(allowed, self.own * np.where(allowed, scores, 0.0) + self.weight * z, scores)


def fit_fusion(scores: Array, likeness: Array, truth: NDArray[np.intp], pull: float = _PULL) -> Fusion:
    """The w that makes the right models of background queries most probable.

    Parameters
    ----------
    scores : ndarray, shape (n, m)
        Of an attributor that had not seen these queries (`morelli.attribution.crossfit`); −inf: no candidate.
    likeness : ndarray, shape (n, m)
        Of the same queries and models by regeneration; NaN where a model has no generator.
    truth : ndarray of int, shape (n,)
        Column of the right model.
    pull : float
        Penalty of a weight that is twice the common one, nats over all queries: what keeps few queries from choosing
        between the two.

    Raises
    ------
    ArrayError
        The shapes do not fit together.
    NotEnoughReferencesError
        There is no query.
    """
    if scores.shape != likeness.shape or truth.shape != scores.shape[:1]:
        raise ArrayError(
            f"scores {scores.shape}, likeness {likeness.shape} and truth {truth.shape} must be of the same queries.",
            argument="likeness",
        )
    if not len(truth):
        raise NotEnoughReferencesError("a weight needs background queries.", argument="background")
    allowed = np.isfinite(scores)
    z = np.where(allowed, standardise(np.where(allowed, likeness, np.nan)), -np.inf)
    # Each at its own temperature first: the two then are of one unit, in which "alike" is a fair place to start from.
    units = [fit_temperature(part, truth) for part in (scores, z)]
    layers = np.stack([np.where(allowed, part / unit, -np.inf) for part, unit in zip((scores, z), units, strict=True)])
    own, other = fit_weights(layers, truth, pull / len(truth)) / units
    return Fusion(1.0, float(other / own)) if own > 0 else Fusion(0.0, 1.0)
