"""From scores to probabilities, candidate sets and "none of these": temperature and conformal p-values.

Everything is learnt from scores of a background's images by statistics that had not seen their prompts
(`morelli.attribution.crossfit`). Scores of one prompt depend on each other, so coverage is a measured figure, not a
guarantee. Sources: Guo et al., *On calibration of modern neural networks* (2017); Vovk et al., *Algorithmic learning
in a random world* (2005); Sadinle et al., *Least ambiguous set-valued classifiers* (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, log_softmax

from morelli.attribution.base import Attributor
from morelli.attribution.crossfit import OutOfFold, cross_scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

# With fewer calibration queries than this, figures would be noise: the attributor stays uncalibrated.
MIN_QUERIES = 50
# With more, the figures would be no better and the search for a temperature takes minutes: these many are drawn.
MOST_QUERIES = 10_000
# Several degraded copies are of one image, and stand for little more than it.
MIN_COPIED_IMAGES = 24


@dataclass(frozen=True, eq=False)
class Calibration:
    """What turns an attributor's scores into statements.

    Attributes
    ----------
    temperature : float
        Scores are divided by it before the softmax; > 0.
    surprise : ndarray, shape (n,)
        −log probability of the right model for each calibration query, ascending.
    best : ndarray, shape (n,)
        Best score of each calibration query, ascending: how well images of known models fit.
    lapse : float
        Share of queries, 0–1, that the scores say nothing of: (1 − lapse)·softmax + lapse/m. Without it a few queries
        that are wrong and sure would force a temperature at which all the others are too modest.
    """

    temperature: float
    surprise: NDArray[np.float64]
    best: NDArray[np.float64]
    lapse: float = 0.0

    def log_probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log probability of each candidate: shape (n, m); a score of −inf is no candidate and stays so."""
        return _log_probabilities(scores, self.temperature, self.lapse)

    def p_values(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Conformal p-value of each candidate: shape (n, m), in 1/(n_cal + 1) … 1.

        p_j = (1 + #{calibration queries at least as surprising as "model j made it"})/(n_cal + 1).
        """
        surprise = -self.log_probabilities(scores)
        above = len(self.surprise) - np.searchsorted(self.surprise, surprise - 1e-12)
        return (above + np.float64(1.0)) / (len(self.surprise) + 1.0)

    def known_p_value(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Conformal p-value of "one of the known models made it": shape (n,).

        Small where the best score is lower than those of images of known models.
        """
        best = scores.max(axis=1)
        below = np.searchsorted(self.best, best + 1e-12, side="right")
        return (1.0 + below) / (len(self.best) + 1.0)


@dataclass(frozen=True, eq=False)
class CalibrationPair:
    """Calibrations for queries as they come and for degraded ones, which fit every model less well.

    Attributes
    ----------
    clean : Calibration
    degraded : Calibration or None
        None where the background has too few degraded copies; ``clean`` then serves for all.
    """

    clean: Calibration
    degraded: Calibration | None = None

    def log_probabilities(
        self, scores: NDArray[np.float64], degraded: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """As `Calibration.log_probabilities`; ``degraded``, shape (n,), says which queries are (None: none)."""
        return self._each(scores, degraded, lambda calibration, part: calibration.log_probabilities(part))

    def p_values(self, scores: NDArray[np.float64], degraded: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """As `Calibration.p_values`."""
        return self._each(scores, degraded, lambda calibration, part: calibration.p_values(part))

    def known_p_value(
        self, scores: NDArray[np.float64], degraded: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """As `Calibration.known_p_value`."""
        return self._each(scores, degraded, lambda calibration, part: calibration.known_p_value(part)[:, None])[:, 0]

    def known(self, scores: NDArray[np.float64], degraded: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """How well each query fits any known model, on one scale for both kinds: shape (n,), higher is better.

        The best score; that of a degraded query is moved and stretched so that calibration queries of both kinds have
        one mean and one spread.
        """
        best = scores.max(axis=1)
        if self.degraded is None or degraded is None or not degraded.any():
            return best
        here, there = self.degraded.best, self.clean.best
        spread = float(there.std()) / (float(here.std()) or 1.0)
        return np.where(degraded, (best - here.mean()) * spread + there.mean(), best)

    def _each(
        self,
        scores: NDArray[np.float64],
        degraded: NDArray[np.bool_] | None,
        ask: Callable[[Calibration, NDArray[np.float64]], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        if self.degraded is None or degraded is None or not degraded.any():
            return ask(self.clean, scores)
        if degraded.all():
            return ask(self.degraded, scores)
        clean, other = ask(self.clean, scores[~degraded]), ask(self.degraded, scores[degraded])
        out = np.empty((len(scores), clean.shape[1]))
        out[~degraded], out[degraded] = clean, other
        return out


def _log_probabilities(scores: NDArray[np.float64], temperature: float, lapse: float) -> NDArray[np.float64]:
    log_p = np.asarray(log_softmax(scores / temperature, axis=1), dtype=np.float64)
    if lapse == 0.0:
        return log_p
    shown = np.isfinite(scores)
    mixed = np.logaddexp(np.log1p(-lapse) + log_p, np.log(lapse) - np.log(shown.sum(axis=1, keepdims=True)))
    return np.where(shown, mixed, -np.inf)


def fit_temperature(scores: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
    """The temperature that minimises the mean −log probability of the right model; scores may hold −inf."""
    from scipy.optimize import minimize_scalar  # here: a verdict from what was learnt before needs no optimiser

    spread = float(np.std(scores[np.isfinite(scores)])) or 1.0
    found = minimize_scalar(
        lambda t: _loss(scores, truth, spread * float(np.exp(t)), 0.0), bounds=(-6.0, 6.0), method="bounded"
    )
    return spread * float(np.exp(found.x))


def fit_lapse(scores: NDArray[np.float64], truth: NDArray[np.intp]) -> tuple[float, float]:
    """Temperature and lapse that together minimise the mean −log probability of the right model."""
    from scipy.optimize import minimize

    alone = fit_temperature(scores, truth)
    # From the temperature alone the two together are well behaved; the simplex starts at a lapse of 2 %.
    found = minimize(
        lambda v: _loss(scores, truth, alone * float(np.exp(v[0])), float(expit(v[1]))),
        np.array([-0.1, -4.0]),
        method="Nelder-Mead",
        bounds=[(-3.0, 3.0), (-9.0, 0.0)],
        options={"xatol": 1e-3, "fatol": 1e-6},
    )
    if found.fun >= _loss(scores, truth, alone, 0.0):
        return alone, 0.0
    return alone * float(np.exp(found.x[0])), float(expit(found.x[1]))


def _loss(scores: NDArray[np.float64], truth: NDArray[np.intp], temperature: float, lapse: float) -> float:
    return float(-_log_probabilities(scores, temperature, lapse)[np.arange(len(truth)), truth].mean())


def calibrate(table: OutOfFold) -> Calibration | None:
    """Learn a calibration from out-of-fold scores; None where there are fewer than `MIN_QUERIES`.

    Of more than `MOST_QUERIES` so many are drawn, the same ones each time. Each fold's surprises use the temperature of
    the other folds, so that no query is judged by its own.
    """
    if len(table) < MIN_QUERIES:
        return None
    table = _drawn(table)
    surprise = np.empty(len(table))
    for fold in np.unique(table.folds):
        test, train = table.folds == fold, table.folds != fold
        learn = train if train.any() else test
        fitted = fit_lapse(table.scores[learn], table.truth[learn])
        log_p = _log_probabilities(table.scores[test], *fitted)
        surprise[test] = -log_p[np.arange(int(test.sum())), table.truth[test]]
    temperature, lapse = fit_lapse(table.scores, table.truth)
    return Calibration(temperature, np.sort(surprise), np.sort(table.scores.max(axis=1)), lapse)


def _drawn(table: OutOfFold) -> OutOfFold:
    if len(table) <= MOST_QUERIES:
        return table
    # By lot and not every n-th: references often come model by model in turn.
    kept = np.sort(np.random.default_rng(0).choice(len(table), MOST_QUERIES, replace=False))
    return OutOfFold(table.scores[kept], table.truth[kept], table.rows[kept], table.folds[kept])


def calibrate_attributor(
    attributor: Attributor, background: LabelledEmbeddings, k: int, new: bool = False
) -> CalibrationPair | None:
    """Calibration of a fitted attributor for queries with k same-prompt references a model (0: prompt unknown).

    An attributor that offers ``cross_scores(k, new)`` is asked for its own, one that has learnt ``conditions_`` also
    for ``cross_scores(k, new, True)``, of degraded copies; any other is refitted on each fold. With ``new`` the
    candidates are models that the background does not know. None where the background is too small or tells nothing of
    such queries.
    """
    own = getattr(attributor, "cross_scores", None)
    if own is not None:
        clean = calibrate(own(k, new))
        degraded = None
        if clean is not None and getattr(attributor, "conditions_", None) is not None:
            copies = own(k, new, True)
            degraded = calibrate(copies) if len(np.unique(copies.rows)) >= MIN_COPIED_IMAGES else None
        return None if clean is None else CalibrationPair(clean, degraded)
    if k and not (background.prompts != "").any():
        k = 0
    clean = calibrate(cross_scores(attributor.clone, background, k))
    return None if clean is None else CalibrationPair(clean)
