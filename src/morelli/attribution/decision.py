"""From scores to statements, and from those to one answer: a model, "none" or "unsure"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from morelli.attribution.calibration import CalibrationPair
from morelli.types import Ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE = "none"
UNSURE = "unsure"

#: A candidate set is small with up to this many models …
MOST_CANDIDATES = 3
#: … and up to this share of all models, rounded up.
CANDIDATE_SHARE = 0.25
#: Least calibrated probability of the first place.
LEAST_PROBABILITY = 0.5
#: Least share of the degradations under which the first place must stay.
LEAST_AGREEMENT = 0.5
#: A query fits no known model where the p-value of "one of them made it" is at most this.
UNKNOWN_LEVEL = 0.05


@dataclass(frozen=True)
class Statement:
    """What is said of one query.

    Attributes
    ----------
    probabilities : list of float
        One a model, in 0–1.
    p_values : list of float or None
        Conformal p-value of each model; None without calibration.
    known : float or None
        Conformal p-value of "one of these models made it"; None without calibration.
    """

    probabilities: list[float]
    p_values: list[float] | None
    known: float | None


def state(
    calibration: CalibrationPair | None, scores: NDArray[np.float64], degraded: NDArray[np.bool_] | None = None
) -> Statement:
    """What a calibration makes of one query's scores, shape (1, m); without one, their plain softmax.

    Parameters
    ----------
    degraded : ndarray of bool, shape (1,), optional
        Whether the query looks degraded; None: no.
    """
    if calibration is None:
        return Statement(softmax(scores[0]).tolist(), None, None)
    return Statement(
        np.exp(calibration.log_probabilities(scores, degraded)[0]).tolist(),
        calibration.p_values(scores, degraded)[0].tolist(),
        float(calibration.known_p_value(scores, degraded)[0]),
    )


@dataclass(frozen=True)
class Conclusion:
    """All that follows from one query's scores.

    Attributes
    ----------
    ranking : list of Ranked
        Most likely first.
    candidates : list of str
        Models with a conformal p-value above ε, in the same order.
    p_value : float or None
        Of "one of these models made it"; None without calibration.
    rejected : bool
        Whether that is too small.
    firsts : list of str
        Who comes first for each degraded copy.
    agreement : float or None
        Share of those that agree with the query; None where there are no copies.
    decision, reason : str
        As `decide` gives them.
    """

    ranking: list[Ranked]
    candidates: list[str]
    p_value: float | None
    rejected: bool
    firsts: list[str]
    agreement: float | None
    decision: str
    reason: str


def conclude(
    models: Sequence[str],
    families: Mapping[str, str],
    scores: NDArray[np.float64],
    calibration: CalibrationPair | None,
    *,
    degraded: bool,
    epsilon: float,
) -> Conclusion:
    """Rank, calibrate and decide.

    Parameters
    ----------
    models : sequence of str, length m
        The columns of the scores.
    families : mapping of str to str
        Family of each model.
    scores : ndarray, shape (1 + copies, m)
        Of the query, and of its degraded copies for the stability.
    calibration : CalibrationPair or None
    degraded : bool
        Whether the query itself looks degraded.
    epsilon : float
        Of the candidate set.
    """
    stated = state(calibration, scores[:1], np.array([degraded]))
    order: list[int] = np.argsort(-scores[0], kind="stable").tolist()
    ranking = [Ranked(models[j], families[models[j]], stated.probabilities[j], float(scores[0, j])) for j in order]
    candidates = [models[j] for j in order if stated.p_values and stated.p_values[j] > epsilon]
    rejected = stated.known is not None and stated.known <= UNKNOWN_LEVEL
    firsts: list[int] = scores.argmax(axis=1).tolist()
    best = [models[j] for j in firsts]
    agreement = float(np.mean([other == best[0] for other in best[1:]])) if len(best) > 1 else None
    decision, reason = decide(
        [line.model for line in ranking],
        candidates,
        calibrated=calibration is not None,
        rejected=rejected,
        agreement=agreement,
        probability=ranking[0].probability,
    )
    return Conclusion(ranking, candidates, stated.known, rejected, best[1:], agreement, decision, reason)


def small_set(models: int) -> int:
    """How many candidates a decision allows among so many models: at least 1, at most 3."""
    return min(MOST_CANDIDATES, max(1, math.ceil(CANDIDATE_SHARE * models)))


def decide(
    ranking: Sequence[str],
    candidates: Sequence[str],
    *,
    calibrated: bool,
    rejected: bool,
    agreement: float | None,
    probability: float = 1.0,
) -> tuple[str, str]:
    """The decision, and why where it is no model.

    Parameters
    ----------
    ranking : sequence of str
        All models, most likely first.
    candidates : sequence of str
        Those whose conformal p-value is large enough.
    calibrated : bool
        Without calibration there is no candidate set, and the first place must stay under every degradation.
    rejected : bool
        The query fits no known model.
    agreement : float or None
        Share of degradations that keep the first place; None where none was tried.
    probability : float
        Of the first place; counts where it is calibrated.

    Returns
    -------
    decision, reason : str
        A model, "none" or "unsure"; the reason is empty for a model.
    """
    if not calibrated:
        if agreement is None:
            return UNSURE, "there is neither a calibration nor a stability test to decide by."
        if agreement < 1.0:
            return UNSURE, "there is no calibration, and the first place changes under degradation."
        return ranking[0], ""
    if rejected:
        return NONE, "the best score is lower than those of images of the known models."
    if ranking[0] not in candidates:
        return UNSURE, "no model, not even the first, is likely enough to be a candidate."
    if len(candidates) > small_set(len(ranking)):
        return UNSURE, f"{len(candidates)} of {len(ranking)} models remain candidates."
    if probability < LEAST_PROBABILITY:
        return UNSURE, "the first place is less likely than all others together."
    if agreement is not None and agreement < LEAST_AGREEMENT:
        return UNSURE, "the first place changes under most degradations."
    return ranking[0], ""
