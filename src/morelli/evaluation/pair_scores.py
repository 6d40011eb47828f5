"""Methods of the protocol verification: a score for each pair, and a threshold that its own models had no part in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.centroid import unit_vectors
from morelli.attribution.halves import Halves, Side, across_halves
from morelli.attribution.pair_judge import PairJudge, learn_pair_judge
from morelli.attribution.verification import PairStatistics, cosine_of_pairs, fit_pair_statistics
from morelli.errors import UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from morelli.attribution.pairs import Pairs
    from morelli.evaluation.bootstrap import Interval
    from morelli.evaluation.model_bootstrap import ModelBootstrap
    from morelli.types import LabelledEmbeddings

    Floats = NDArray[np.float64]

#: The published rule, and the likelihood ratio of the two-covariance model learnt on other models.
METHODS = ("cosine", "plda")


@dataclass(frozen=True)
class Threshold:
    """The best threshold on some pairs: a pair at or above it is accepted. ``accuracy`` is balanced, 0–1."""

    value: float
    accuracy: float


def best_threshold(same: ArrayLike, different: ArrayLike) -> Threshold:
    """The threshold with the highest balanced accuracy on pairs that are known, and that accuracy.

    It lies midway between two scores; of several the lowest is taken.
    """
    p, q = np.sort(np.asarray(same, dtype=np.float64)), np.sort(np.asarray(different, dtype=np.float64))
    values = np.unique(np.concatenate([p, q]))
    cuts = np.concatenate([values[:1], (values[:-1] + values[1:]) / 2, [np.inf]])
    accepted = 1 - np.searchsorted(p, cuts, side="left") / len(p)
    refused = np.searchsorted(q, cuts, side="left") / len(q)
    accuracy = (accepted + refused) / 2
    return Threshold(float(cuts[accuracy.argmax()]), float(accuracy.max()))


def best_interval(resampled: ModelBootstrap, best: Threshold, same: ArrayLike, different: ArrayLike) -> Interval:
    """The accuracy at the best threshold for some pairs, with its interval over models; resamples hold the threshold.

    Choosing it anew in each resample would add the optimism of that choice a second time: the interval of scores that
    say nothing would lie above a half.

    Parameters
    ----------
    resampled : ModelBootstrap
        Of these pairs.
    best : Threshold
        From `best_threshold` of these scores.
    same, different : array, shapes (p,) and (q,)
        Scores.
    """
    return resampled.balanced_accuracy(np.asarray(same) >= best.value, np.asarray(different) >= best.value)


class PairScorer:
    """Scores pairs of one dataset by one method.

    Parameters
    ----------
    name : {"cosine", "plda"}
    data : LabelledEmbeddings
    halves : Halves or None
        None: fewer than four models; only a method that learns nothing can be asked then.

    Raises
    ------
    UnknownNameError
        For another method.
    """

    def __init__(self, name: str, data: LabelledEmbeddings, halves: Halves | None) -> None:
        if name not in METHODS:
            raise UnknownNameError("method of the protocol verification", name, METHODS)
        self.name, self.data, self.halves = name, data, halves
        self._unit = unit_vectors(data.vectors)
        self._learnt: dict[bytes, tuple[PairStatistics, Mapping[str, Floats]]] = {}
        self._judges: dict[bytes, PairJudge] = {}

    def scores(self, pairs: Pairs) -> Floats:
        """Score of each pair, shape (p,), higher for one model; statistics come from the halves without its models."""
        if self.name == "cosine" or self.halves is None:
            return cosine_of_pairs(self._unit, pairs)
        return across_halves(self.halves, pairs, self._judge)

    def accepted(self, pairs: Pairs, same: Pairs, different: Pairs) -> tuple[NDArray[np.bool_], Floats]:
        """Whether each pair is accepted, shape (p,), and by which threshold, shape (p,).

        The threshold of a pair is the best one on those of the pairs ``same`` and ``different`` whose models are all in
        the other half, scored by what this half teaches; NaN, and not accepted, where there are no such pairs. So a
        pair's models have no part in the pairs that its threshold is chosen on, and with ``plda`` one in the statistics
        that score those.
        """
        scores, cuts = self.scores(pairs), np.full(len(pairs), np.nan)
        if self.halves is None:
            return scores >= cuts, cuts
        for side in self.halves:
            mine = self.halves.judged(side, pairs)
            known = [kind.take(side.there[kind.first] & side.there[kind.second]) for kind in (same, different)]
            if mine.any() and all(len(kind) for kind in known):
                back = Side(side.there, side.here, side.cut)
                cuts[mine] = best_threshold(*(self._judge(back, kind) for kind in known)).value
        return scores >= cuts, cuts

    def probabilities(self, pairs: Pairs) -> Floats:
        """Probability that one model made both, as `morelli verify` would say it: shape (p,), NaN where it would not.

        The gallery is the half of the models without the pair's; its judge knows nothing of the others.
        """
        found = np.full(len(pairs), np.nan)
        if self.name == "cosine" or self.halves is None:
            return found
        for side in self.halves:
            mine = self.halves.judged(side, pairs)
            if mine.any():
                key = side.there.tobytes()
                if key not in self._judges:
                    self._judges[key] = learn_pair_judge(self.data.take(side.there))
                judge = self._judges[key]
                if judge.calibration is not None:
                    found[mine] = judge.calibration.probability(self._judge(side, pairs.take(mine)))
        return found

    def _judge(self, side: Side, pairs: Pairs) -> Floats:
        if self.name == "cosine":
            return cosine_of_pairs(self._unit, pairs)
        key = side.there.tobytes()
        if key not in self._learnt:
            statistics = fit_pair_statistics(self.data.take(side.there))
            self._learnt[key] = statistics, statistics.place(self.data.vectors)
        statistics, placed = self._learnt[key]
        return statistics.ratios(placed, pairs)
