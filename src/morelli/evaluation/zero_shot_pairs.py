"""Verification of seen and unseen models: pairs inside each group, and the threshold that the other group gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution.centroid import unit_vectors
from morelli.attribution.pairs import Pairs, different_models, same_model
from morelli.attribution.verification import cosine_of_pairs, fit_pair_statistics
from morelli.errors import NotEnoughReferencesError, UnknownNameError
from morelli.evaluation.model_bootstrap import ModelBootstrap
from morelli.evaluation.pair_scores import METHODS, best_interval, best_threshold
from morelli.evaluation.verification import FIGURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.evaluation.model_split import ModelSplit
    from morelli.evaluation.zero_shot import Learnt
    from morelli.types import LabelledEmbeddings

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GroupPairs:
    """Pairs of one group as rows of the data: of one model, and of two."""

    same: Pairs
    different: Pairs


def draw_group_pairs(labels: LabelledEmbeddings, split: ModelSplit, count: int, seed: int) -> dict[str, GroupPairs]:
    """Up to ``count`` pairs of each kind for each group, none twice; the same for every method.

    Raises
    ------
    NotEnoughReferencesError
        A group has no pair of a kind.
    """
    out = {}
    for number, (group, rows) in enumerate(split.tested.items()):
        rng = np.random.default_rng([seed, 3, number])
        models = labels.models[rows]
        drawn = [kind(models, count, rng) for kind in (same_model, different_models)]
        if not all(len(pairs) for pairs in drawn):
            raise NotEnoughReferencesError(
                f"the {group} models give no pairs of both kinds.", argument="dataset", fix="Add images."
            )
        out[group] = GroupPairs(*(Pairs(rows[pairs.first], rows[pairs.second]) for pairs in drawn))
    return out


def pair_rows(
    learnt: Learnt, split: ModelSplit, drawn: Mapping[str, GroupPairs], seed: int, reference: Learnt | None = None
) -> dict[str, dict[str, Any]]:
    """Figures of each group, as in `morelli.evaluation.verification`; lifts are over ``reference``.

    ``best_accuracy`` is at the best threshold for the very pairs, as published. ``accuracy`` is at the best threshold
    for the *other* group's pairs: what could be chosen without knowing these models.

    Raises
    ------
    UnknownNameError
        A rule that compares no pairs.
    """
    scores = {group: pair_scores(learnt, split, pairs) for group, pairs in drawn.items()}
    theirs = None if reference is None else {g: pair_scores(reference, split, pairs) for g, pairs in drawn.items()}
    cuts = {group: best_threshold(*both) for group, both in scores.items()}
    out = {}
    for group, pairs in drawn.items():
        models, (p, q) = learnt.embeddings.models, scores[group]
        (other,) = (name for name in cuts if name != group)
        resampled = ModelBootstrap(
            models[pairs.same.first], models[pairs.different.first], models[pairs.different.second], seed=seed
        )
        accepted, wrongly = p >= cuts[other].value, q >= cuts[other].value
        area, held = resampled.auroc(p, q), resampled.balanced_accuracy(accepted, wrongly)
        at_best = best_interval(resampled, cuts[group], p, q)
        out[group] = dict.fromkeys(FIGURES) | {
            "n_same": len(p), "n_different": len(q),
            "auroc": area.point, "auroc_low": area.low, "auroc_high": area.high,
            "best_accuracy": cuts[group].accuracy, "best_threshold": cuts[group].value,
            "best_accuracy_low": at_best.low, "best_accuracy_high": at_best.high,
            "accuracy": held.point, "accuracy_low": held.low, "accuracy_high": held.high,
            "tpr": float(accepted.mean()), "fpr": float(wrongly.mean()),
        }  # fmt: skip
        if theirs is not None:
            lift = resampled.auroc_difference((p, q), theirs[group])
            out[group] |= {"lift": lift.point, "lift_low": lift.low, "lift_high": lift.high}
    return out


def pair_scores(learnt: Learnt, split: ModelSplit, pairs: GroupPairs) -> tuple[Floats, Floats]:
    """Scores of the pairs of one model, and of those of two.

    Raises
    ------
    UnknownNameError
        A rule that compares no pairs.
    """
    both = (pairs.same, pairs.different)
    if learnt.rule == "plda":
        statistics = fit_pair_statistics(learnt.embeddings.take(split.training))
        placed = statistics.place(learnt.embeddings.vectors)
        first, second = (statistics.ratios(placed, kind) for kind in both)
        return first, second
    if learnt.rule != "cosine":
        raise UnknownNameError("method of the protocol verification", learnt.rule, METHODS)
    # Rows that are not tested have no embedding, and those of the other group are in none of these pairs.
    rows = np.unique(np.concatenate([side for kind in both for side in kind]))
    unit = unit_vectors(learnt.embeddings.take(rows).vectors)
    moved = (Pairs(np.searchsorted(rows, kind.first), np.searchsorted(rows, kind.second)) for kind in both)
    first, second = (cosine_of_pairs(unit, kind) for kind in moved)
    return first, second
