"""One-vs-many (paper 000, §3): is this image from *this* model, when only its references can be had?

Case 1 (every model's references at hand) is an attributor's first place and needs nothing here. Case 2 has k
references of the target and a query: the published rule, and an exact conformal one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError, InputError, NotEnoughReferencesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OneVsMany:
    """Answer for one query.

    Attributes
    ----------
    accepted : bool
        The target may have made it.
    statistic : float
        Published: the distance to the centroid over the threshold, accepted at ≤ 1. Conformal: the p-value.
    alpha : float
        Nominal true-positive rate.
    attainable : bool
        Whether k references can give that rate; if not, everything is accepted (``note`` says what k would do).
    note : str
        Empty, or why the answer means less than it seems.
    """

    accepted: bool
    statistic: float
    alpha: float
    attainable: bool
    note: str = ""


def _check(query: Array, references: Array, alpha: float) -> int:
    if not 0.0 < alpha < 1.0:
        raise InputError(f"must lie between 0 and 1; got {alpha:g}.", argument="alpha")
    if len(references) < 2:
        raise NotEnoughReferencesError(
            f"one-vs-many needs two references of the target at least; here is {len(references)}.",
            argument="references",
        )
    if query.ndim != 1 or references.ndim != 2 or len(query) != references.shape[1]:
        raise ArrayError(
            f"the query must have shape (d,) and the references (k, d); got {query.shape} and {references.shape}.",
            argument="query",
        )
    if not (np.isfinite(query).all() and np.isfinite(references).all()):
        raise ArrayError("embeddings must be finite, and some are NaN or infinite.", argument="query")
    return len(references)


def published(query: Array, references: Array, alpha: float) -> OneVsMany:
    """Paper 000, Case 2: accept if ‖z − c‖ ≤ λ_α, the α-quantile of the references' distances to their own centroid.

    The centroid is nearer to the references that made it than to any new image of the same model, so that the true
    rate of acceptance lies below α: at k = 3 far below.

    Parameters
    ----------
    query : ndarray, shape (d,)
    references : ndarray, shape (k, d)
        k ≥ 2 embeddings of the target's images.
    alpha : float
        Between 0 and 1.

    Raises
    ------
    InputError, ArrayError, NotEnoughReferencesError
    """
    _check(query, references, alpha)
    centre = references.mean(axis=0)
    threshold = float(np.quantile(np.linalg.norm(references - centre, axis=1), alpha))
    distance = float(np.linalg.norm(query - centre))
    ratio = distance / threshold if threshold > 0 else math.inf if distance > 0 else 0.0
    return OneVsMany(distance <= threshold, ratio, alpha, True)


def conformal(query: Array, references: Array, alpha: float) -> OneVsMany:
    """Case 2 mended: the query joins the k references, and all k + 1 are ranked by distance to their common centroid.

    If the query is one more image of the target, its rank is uniform on 1 … k + 1, whatever the dimension and however
    small k: accepting p > 1 − α accepts it with probability at least α. The smallest p is 1/(k + 1), so that k
    references can refuse nothing where 1 − α < 1/(k + 1).

    Parameters and errors as in `published`.
    """
    k = _check(query, references, alpha)
    everyone = np.vstack([references, query[None]])
    distances = np.linalg.norm(everyone - everyone.mean(axis=0), axis=1)
    # Ties count for the query: exactness must not hang on rounding.
    p = float((distances >= distances[-1] * (1.0 - 1e-12)).sum()) / (k + 1)
    attainable = 1.0 - alpha >= 1.0 / (k + 1) - 1e-12
    note = (
        ""
        if attainable
        else f"{k} references cannot refuse anything at α = {alpha:g}: at least {references_for(alpha)} are needed."
    )
    return OneVsMany(p > 1.0 - alpha + 1e-12, p, alpha, attainable, note)


def references_for(alpha: float) -> int:
    """Fewest references with which the conformal rule can refuse anything at this α: ⌈1/(1 − α)⌉ − 1."""
    return max(2, math.ceil(1.0 / (1.0 - alpha) - 1e-9) - 1)
