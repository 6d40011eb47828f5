"""What a gallery teaches of pairs: two-covariance statistics of its models, and a calibration held out by model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.enough import enough
from morelli.attribution.halves import GROUPS, Side, across_halves, deal_halves
from morelli.attribution.pair_calibration import PairCalibration, fit_pair_calibration
from morelli.attribution.pairs import Pairs, different_models, same_model
from morelli.attribution.verification import PairStatistics, fit_pair_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors
    from morelli.types import LabelledEmbeddings

#: Pairs of each kind that the calibration is learnt from.
PAIRS = 5000
#: Images that are learnt from at most: one covariance for all is settled long before.
MOST = 20_000


@dataclass(frozen=True, eq=False)
class PairJudge:
    """Scores a pair, and says how probable it is that one model made both.

    Attributes
    ----------
    statistics : PairStatistics
        Of all models of the gallery.
    calibration : PairCalibration or None
        None where the gallery has fewer than four models, or too few pairs.
    models : int
        Models that it was learnt from.
    """

    statistics: PairStatistics
    calibration: PairCalibration | None
    models: int

    def ratio(self, vectors: Vectors) -> float:
        """Log-likelihood ratio, in nats, of "one model made both", for the two rows of ``vectors``."""
        pair = Pairs(np.array([0]), np.array([1]))
        return float(self.statistics.ratios(self.statistics.place(vectors), pair)[0])


def learn_pair_judge(data: LabelledEmbeddings, *, seed: int = 0, count: int = PAIRS) -> PairJudge:
    """Learn from a gallery's embeddings, of many from `MOST` that `enough` chooses.

    The calibration sees every pair scored by statistics of models that are neither of the two: so will it be for a pair
    of models that the gallery lacks.

    Parameters
    ----------
    data : LabelledEmbeddings
    seed : int
        Decides halves and draws.
    count : int
        Pairs of each kind at most.

    Raises
    ------
    NotEnoughReferencesError
        One model, or one image a model.
    """
    data = enough(data, MOST)
    statistics = fit_pair_statistics(data)
    models = len(np.unique(data.models))
    calibration = _calibrate(data, seed, count) if models >= GROUPS else None
    return PairJudge(statistics, calibration, models)


def _calibrate(data: LabelledEmbeddings, seed: int, count: int) -> PairCalibration | None:
    rng = np.random.default_rng(seed)
    halves = deal_halves(data.models, data.families, seed)
    repeated = all(_has_pairs(data, side.there) for side in halves)
    if not repeated:
        return None

    def judge(side: Side, pairs: Pairs) -> NDArray[np.float64]:
        learnt = fit_pair_statistics(data.take(side.there))
        return learnt.ratios(learnt.place(data.vectors), pairs)

    same, different = same_model(data.models, count, rng), different_models(data.models, count, rng)
    everyone = Pairs(*(np.concatenate(rows) for rows in zip(same, different, strict=True)))
    scores = across_halves(halves, everyone, judge)
    return fit_pair_calibration(scores[: len(same)], scores[len(same) :])


def _has_pairs(data: LabelledEmbeddings, rows: NDArray[np.bool_]) -> bool:
    """Whether some rows show two models and two images of one."""
    models = len(np.unique(data.models[rows]))
    return models >= 2 and int(rows.sum()) > models
