"""From the score of a pair to the probability that one model made both: logistic regression on pairs that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

#: With fewer pairs of a kind than this a probability would be made of noise.
MIN_PAIRS = 50
# Draws the two numbers to "no information": without it, kinds that do not overlap would be said to be certain.
_RIDGE = 1e-2


@dataclass(frozen=True)
class PairCalibration:
    """log-odds = ``offset`` + ``slope`` · (score − ``centre``) / ``scale``, where both kinds are equally frequent.

    Attributes
    ----------
    offset, slope : float
        ``slope`` ≥ 0.
    centre, scale : float
        Of the scores that it was learnt from.
    pairs : int
        How many.
    """

    offset: float
    slope: float
    centre: float
    scale: float
    pairs: int

    def probability(self, scores: ArrayLike, prior: float = 0.5) -> Floats:
        """Probability, 0–1, that one model made both, where a share ``prior`` of such pairs is of one model."""
        z = (np.asarray(scores, dtype=np.float64) - self.centre) / self.scale
        return expit(self.offset + self.slope * z + logit(prior))


def fit_pair_calibration(same: ArrayLike, different: ArrayLike) -> PairCalibration | None:
    """Learn it from scores of pairs that are known, each kind with half of the weight.

    Returns
    -------
    PairCalibration or None
        None for fewer than 50 pairs of either kind.

    Raises
    ------
    ArrayError
        For scores that are not finite.

    References
    ----------
    Platt, *Probabilistic outputs for support vector machines* (1999); Brümmer and du Preez, *Application-independent
    evaluation of speaker detection* (2006), for the equal weights.
    """
    p, q = np.asarray(same, dtype=np.float64), np.asarray(different, dtype=np.float64)
    scores = np.concatenate([p, q])
    if not np.isfinite(scores).all():
        raise ArrayError("must be finite, and some are NaN or infinite.", argument="same")
    if min(len(p), len(q)) < MIN_PAIRS:
        return None
    centre, scale = float(scores.mean()), float(scores.std()) or 1.0
    z = (scores - centre) / scale
    sign = np.where(np.arange(len(z)) < len(p), 1.0, -1.0)
    weight = np.where(sign > 0, 0.5 / len(p), 0.5 / len(q))

    def loss(x: Floats) -> tuple[float, Floats]:
        margin = sign * (x[0] + x[1] * z)
        pull = -weight * sign * expit(-margin)
        value = float(weight @ np.logaddexp(0.0, -margin) + 0.5 * _RIDGE * (x[1] ** 2) / len(z))
        return value, np.array([pull.sum(), pull @ z + _RIDGE * x[1] / len(z)])

    # A score is built to rise with likeness; a negative slope would be chance, and is not let in.
    found = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=[(None, None), (0.0, None)])
    return PairCalibration(float(found.x[0]), float(found.x[1]), centre, scale, len(z))
