"""Protocol ``verification`` (paper 002): are two images of one model? Same-model against different-model pairs.

As published, pairs are drawn over images and the accuracy is that of the best threshold *on the very pairs that are
measured*, which is optimistic. Beside it stands the accuracy at a threshold that was chosen on pairs of other models,
and how good the probabilities are that a gallery of other models gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution.halves import Halves, deal_halves
from morelli.attribution.pairs import Pairs, different_models, draw_pairs, same_model
from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.against import Against
from morelli.evaluation.model_bootstrap import ModelBootstrap
from morelli.evaluation.pair_scores import METHODS, PairScorer, best_interval, best_threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from morelli.evaluation.data import EvaluationSet
    from morelli.types import LabelledEmbeddings

#: The measured fields of a row; each is in every row, None where the data do not give it.
FIGURES = (
    "n_same", "n_different", "auroc", "auroc_low", "auroc_high", "best_accuracy", "best_accuracy_low",
    "best_accuracy_high", "best_threshold", "accuracy", "accuracy_low", "accuracy_high", "tpr", "fpr", "brier", "ece",
    "lift", "lift_low", "lift_high",
)  # fmt: skip
_CASES = 2
# Bins of the calibration error, of equal width.
_BINS = 15


@dataclass(frozen=True, eq=False)
class PairSets:
    """Pairs that are measured.

    Attributes
    ----------
    same : Pairs
        Two images of one model.
    different : mapping of str to Pairs
        Of two models: "all", and the narrower kinds that the data tell apart.
    notes : tuple of str
    """

    same: Pairs
    different: Mapping[str, Pairs]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """One pair as an example: rows of its images, whether one model made both, the score, and the threshold."""

    first: int
    second: int
    same: bool
    score: float
    threshold: float

    @property
    def accepted(self) -> bool:
        """Whether it was taken for a pair of one model."""
        return self.score >= self.threshold


@dataclass(frozen=True, eq=False)
class VerificationTable:
    """Rows of the table, notes, and example pairs of the last method under the last encoder."""

    rows: list[dict[str, Any]]
    notes: tuple[str, ...]
    cases: tuple[Case, ...]


def draw_pair_sets(data: EvaluationSet, count: int, seed: int) -> PairSets:
    """Draw up to ``count`` pairs of each kind, none twice; all there are where there are fewer.

    Different-model pairs are "all"; "same-decoder" and "cross-decoder" where the dataset names decoders, else
    "same-family" and "cross-family", which stand in for them and are not the same thing; and "same-prompt".

    Raises
    ------
    NotEnoughReferencesError
        No model has two images.
    """
    labels = data.embeddings
    rng = np.random.default_rng(seed)
    same = same_model(labels.models, count, rng)
    if not len(same):
        raise NotEnoughReferencesError("no model has two images, so there is no pair of one model.", argument="dataset")
    different = {"all": different_models(labels.models, count, rng)}
    kind, kin, notes = _kin(data)
    known = np.flatnonzero(kin != "")
    one = np.zeros(len(known))
    different[f"same-{kind}"] = _placed(known, draw_pairs(kin[known], labels.models[known], count, rng))
    different[f"cross-{kind}"] = _placed(known, draw_pairs(one, kin[known], count, rng))
    told = np.flatnonzero(labels.prompts != "")
    if len(told):
        different["same-prompt"] = _placed(told, draw_pairs(labels.prompts[told], labels.models[told], count, rng))
    empty = [name for name, pairs in different.items() if not len(pairs)]
    if empty:
        notes.append(f"There are no {' and no '.join(empty)} pairs of different models.")
    return PairSets(same, {name: pairs for name, pairs in different.items() if len(pairs)}, tuple(notes))


def _kin(data: EvaluationSet) -> tuple[str, NDArray[np.str_], list[str]]:
    if data.decoders is None:
        return "family", data.embeddings.families, [
            "The dataset names no decoders (column decoder): pairs are split by family instead, which is not the same."
        ]  # fmt: skip
    unknown = int((data.decoders == "").sum())
    note = f"{unknown} images of unknown decoder are in no same-decoder or cross-decoder pair."
    return "decoder", data.decoders, [note] if unknown else []


def _placed(rows: NDArray[np.intp], pairs: Pairs) -> Pairs:
    return Pairs(rows[pairs.first], rows[pairs.second])


def verification_table(
    data: Mapping[str, EvaluationSet],
    *,
    methods: Sequence[str] | None = None,
    against: Against = Against(method=METHODS[0]),
    count: int = 5000,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> VerificationTable:
    """Rows of every method for every kind of different-model pairs; same-model pairs are those of all rows.

    Parameters
    ----------
    data : mapping of str to EvaluationSet
        Id of an encoder → the same images under it. All judge the same pairs.
    methods : sequence of str, optional
        Of `METHODS`; by default all that the number of models allows.
    against : Against
        Whose area under the curve the lifts are over.
    count : int
        Pairs of each kind.
    seed : int
    progress : callable, optional
        ``progress(stage, done, total)``.

    Raises
    ------
    NotEnoughReferencesError
        No model has two images, or ``plda`` was named and there are fewer than four models.
    UnknownNameError
        For another method.
    """
    first = next(iter(data.values()))
    labels = first.embeddings
    sets = draw_pair_sets(first, count, seed)
    halves, notes = _halves(labels, seed, needed="plda" in (*(methods or ()), against.method))
    chosen = list(dict.fromkeys(methods or (METHODS if halves is not None else METHODS[:1])))
    known: dict[tuple[str, str], _Judged] = {}

    def judged(encoder: str, method: str) -> _Judged:
        if (encoder, method) not in known:
            known[encoder, method] = _judge(PairScorer(method, data[encoder].embeddings, halves), sets)
        return known[encoder, method]

    rows: list[dict[str, Any]] = []
    cases: tuple[Case, ...] = ()
    for done, (encoder, name) in enumerate(product(data, chosen)):
        own, other = judged(encoder, name), judged(*against.of(encoder, name))
        make = partial(_row, labels, sets.same, own, None if other is own else other, seed=seed)
        rows += [
            {"method": name, "encoder": encoder, "pairs": kind, **make(pairs, kind)}
            for kind, pairs in sets.different.items()
        ]
        cases = _cases(sets, own, seed)
        if progress is not None:
            progress("verification", done + 1, len(chosen) * len(data))
    return VerificationTable(rows, (*sets.notes, *notes), cases)


def _halves(labels: LabelledEmbeddings, seed: int, *, needed: bool) -> tuple[Halves | None, list[str]]:
    try:
        halves = deal_halves(labels.models, labels.families, seed)
    except NotEnoughReferencesError as error:
        if needed:
            raise
        return None, [f"No threshold was chosen on other models, and nothing learnt on them: {error.message}"]
    notes = ["Statistics and thresholds are learnt on other models' images, some of them of the same prompts."]
    if not halves.families_whole:
        notes.append("There are fewer than four families: models of one family are in both halves.")
    return halves, notes


@dataclass(frozen=True, eq=False)
class _Judged:
    """Scores, probabilities, decisions and thresholds of the same-model pairs ("") and of each kind of the others."""

    scores: dict[str, NDArray[np.float64]]
    probabilities: dict[str, NDArray[np.float64]]
    accepted: dict[str, NDArray[np.bool_]]
    cuts: dict[str, NDArray[np.float64]]


def _judge(scorer: PairScorer, sets: PairSets) -> _Judged:
    kinds = {"": sets.same, **sets.different}
    answers = {kind: scorer.accepted(pairs, sets.same, sets.different["all"]) for kind, pairs in kinds.items()}
    return _Judged(
        {kind: scorer.scores(pairs) for kind, pairs in kinds.items()},
        {kind: scorer.probabilities(pairs) for kind, pairs in kinds.items()},
        {kind: answer[0] for kind, answer in answers.items()},
        {kind: answer[1] for kind, answer in answers.items()},
    )


def _row(
    labels: LabelledEmbeddings,
    same: Pairs,
    judged: _Judged,
    other: _Judged | None,
    different: Pairs,
    kind: str,
    *,
    seed: int,
) -> dict[str, Any]:
    out: dict[str, Any] = dict.fromkeys(FIGURES)
    models = labels.models
    p, q = judged.scores[""], judged.scores[kind]
    resampled = ModelBootstrap(models[same.first], models[different.first], models[different.second], seed=seed)
    area, best = resampled.auroc(p, q), best_threshold(p, q)
    out |= {"n_same": len(same), "n_different": len(different)}
    out |= {"auroc": area.point, "auroc_low": area.low, "auroc_high": area.high}
    at_best = best_interval(resampled, best, p, q)
    out |= {"best_accuracy": best.accuracy, "best_threshold": best.value}
    out |= {"best_accuracy_low": at_best.low, "best_accuracy_high": at_best.high}
    if not (np.isnan(judged.cuts[""]).any() or np.isnan(judged.cuts[kind]).any()):
        accepted, wrongly = judged.accepted[""], judged.accepted[kind]
        held = resampled.balanced_accuracy(accepted, wrongly)
        out |= {"accuracy": held.point, "accuracy_low": held.low, "accuracy_high": held.high}
        out |= {"tpr": float(accepted.mean()), "fpr": float(wrongly.mean())}
    out |= _forecast(judged.probabilities[""], judged.probabilities[kind])
    if other is not None:
        lift = resampled.auroc_difference((p, q), (other.scores[""], other.scores[kind]))
        out |= {"lift": lift.point, "lift_low": lift.low, "lift_high": lift.high}
    return out


def _forecast(same: NDArray[np.float64], different: NDArray[np.float64]) -> dict[str, float]:
    """Brier score and calibration error of the probabilities, both kinds of pairs with half of the weight.

    Saying 0.5 always has 0.25 and 0. Nothing where some pair has no probability.
    """
    said = np.concatenate([same, different])
    if np.isnan(said).any():
        return {}
    truth = np.arange(len(said)) < len(same)
    weights = np.where(truth, 0.5 / len(same), 0.5 / len(different))
    bins = np.minimum((said * _BINS).astype(np.intp), _BINS - 1)
    off = np.bincount(bins, weights * (said - truth), minlength=_BINS)
    return {"brier": float(weights @ (said - truth) ** 2), "ece": float(np.abs(off).sum())}


def _cases(sets: PairSets, judged: _Judged, seed: int) -> tuple[Case, ...]:
    """A few pairs of each outcome, drawn by the seed and not picked."""
    rng = np.random.default_rng(seed)
    out = []
    for kind, pairs in (("", sets.same), ("all", sets.different["all"])):
        if np.isnan(judged.cuts[kind]).any():
            continue
        for outcome in (True, False):
            found = np.flatnonzero(judged.accepted[kind] == outcome)
            for i in np.sort(rng.permutation(found)[:_CASES]):
                place = int(pairs.first[i]), int(pairs.second[i])
                out.append(Case(*place, kind == "", float(judged.scores[kind][i]), float(judged.cuts[kind][i])))
    return tuple(out)
