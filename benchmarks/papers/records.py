"""What a cell keeps of each query and pair, so that methods are compared on the same ones: paired differences."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.encoders.weights import short_hash
from morelli.evaluation.bootstrap import Interval, paired_lift
from morelli.evaluation.metrics import topk_hits
from morelli.evaluation.model_bootstrap import ModelBootstrap
from morelli.evaluation.pair_scores import best_interval, best_threshold
from morelli.evaluation.scored import per_image
from morelli.evaluation.zero_shot_pairs import pair_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.evaluation.model_split import ModelSplit
    from morelli.evaluation.scored import Scored
    from morelli.evaluation.zero_shot import Learnt
    from morelli.evaluation.zero_shot_pairs import GroupPairs


def queries(scored: Scored, contents: NDArray[np.str_]) -> dict[str, Any]:
    """The queries of one method.

    Parameters
    ----------
    scored : Scored
    contents : ndarray of str
        Content hash of each row.

    Returns
    -------
    dict
        ``state``, a hash of the images in their order; ``prompts``, a number for each; ``top1``, the share of the times
        that it was asked that the right model came first.
    """
    rows = np.unique(scored.rows)
    first = np.unique(scored.rows, return_index=True)[1]
    hits = topk_hits(scored.scores, scored.truth, (1,))[1]
    return {
        "state": short_hash({"images": contents[rows].tolist()}),
        "prompts": np.unique(scored.prompts[first], return_inverse=True)[1].tolist(),
        "top1": [round(value, 6) for value in per_image(hits.astype(float), scored.rows).tolist()],
    }


def query_lift(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None, seed: int) -> Interval | None:
    """How much more of the same queries one method names than another; None where they are not the same."""
    if not ours or not theirs or ours["state"] != theirs["state"]:
        return None
    prompts = np.char.add("p", np.array(ours["prompts"]).astype(np.str_))
    return paired_lift(ours["top1"], theirs["top1"], prompts, seed=seed)


def pair_record(learnt: Learnt, split: ModelSplit, pairs: GroupPairs, contents: NDArray[np.str_]) -> dict[str, Any]:
    """The pairs of one group: a hash of which they are, the models that they are of, and a method's scores."""
    models = learnt.embeddings.models
    names = np.unique(models[np.concatenate([pairs.same.first, pairs.different.first, pairs.different.second])])
    sides = (pairs.same.first, pairs.same.second, pairs.different.first, pairs.different.second)
    scores = pair_scores(learnt, split, pairs)
    return {
        "state": short_hash({"pairs": [contents[side].tolist() for side in sides]}),
        "names": names.tolist(),
        "models": [_packed(np.searchsorted(names, models[side]), np.uint16) for side in (sides[0], *sides[2:])],
        "scores": [_packed(each, np.float32) for each in scores],
    }


def pair_lift(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None, seed: int) -> Interval | None:
    """How much larger one method's area under the curve is than another's; None where the pairs are not the same."""
    if not ours or not theirs or ours["state"] != theirs["state"]:
        return None
    return _resamples(ours, seed).auroc_difference(_scores(ours), _scores(theirs))


def best_of_pairs(record: Mapping[str, Any], seed: int) -> Interval:
    """The accuracy at the best threshold, with its interval, from the pairs that a cell kept."""
    same, different = _scores(record)
    return best_interval(_resamples(record, seed), best_threshold(same, different), same, different)


def _resamples(record: Mapping[str, Any], seed: int) -> ModelBootstrap:
    names = np.array(record["names"])
    return ModelBootstrap(*(names[_unpacked(each, np.uint16)] for each in record["models"]), seed=seed)


def _scores(record: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    same, different = (_unpacked(each, np.float32) for each in record["scores"])
    return same, different


def _packed(values: Sequence[float] | NDArray[Any], kind: type) -> str:
    return base64.b64encode(np.asarray(values).astype(kind).tobytes()).decode("ascii")


def _unpacked(text: str, kind: type) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype=kind)
