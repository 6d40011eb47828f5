"""The protocol one-vs-many: is this image from the target model? Case 1 by any method, Case 2 by both its rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution import one_vs_many as rules
from morelli.attribution.centroid import unit_vectors
from morelli.evaluation import metrics
from morelli.evaluation.bootstrap import prompt_bootstrap
from morelli.evaluation.plan import Trial

if TYPE_CHECKING:
    from morelli.evaluation.scored import Scored
    from morelli.types import LabelledEmbeddings

ALPHAS = (0.5, 0.75, 0.8, 0.9, 0.95)


def case_one(scored: Scored) -> dict[str, Any]:
    """Every model's references at hand: accept where the target is ranked first. Averaged over the targets.

    AUROC is over the target's margin to its best rival, so that it needs no threshold.
    """
    balanced, areas = [], []
    for column in range(len(scored.models)):
        shown = np.isfinite(scored.scores[:, column])
        truth = scored.truth[shown] == column
        if not truth.any() or truth.all():
            continue
        scores = scored.scores[shown]
        rivals = np.delete(scores, column, axis=1).max(axis=1)
        margin = scores[:, column] - rivals
        balanced.append(metrics.balanced_accuracy(truth, margin > 0))
        areas.append(metrics.auroc(margin[truth], margin[~truth]))
    return {"case": 1, "balanced_accuracy": float(np.mean(balanced)), "auroc": float(np.mean(areas))}


def case_two(
    data: LabelledEmbeddings, trials: Sequence[Trial], alphas: Sequence[float] = ALPHAS, seed: int = 0
) -> list[dict[str, Any]]:
    """Only the target's k references of the prompt: each rule at each α, with the true-positive rate beside it.

    Positives are the target's held-out images of the prompt, negatives those of all other models. Distances are
    Euclidean between unit-norm embeddings, as published.
    """
    x = unit_vectors(data.vectors)
    answers = {(name, alpha): _Answers() for name in ("published", "conformal") for alpha in alphas}
    for trial in trials:
        for target in np.unique(data.models[trial.references]):
            own = x[trial.references[data.models[trial.references] == target]]
            if len(own) < 2:
                continue
            for query in trial.queries:
                truth = bool(data.models[query] == target)
                for alpha in alphas:
                    answers["published", alpha].add(rules.published(x[query], own, alpha), truth, trial.prompt, -1)
                    answers["conformal", alpha].add(rules.conformal(x[query], own, alpha), truth, trial.prompt, 1)
    return [
        {"case": 2, "rule": rule, "alpha": alpha, **found.figures(seed)}
        for (rule, alpha), found in answers.items()
        if found.truth
    ]


class _Answers:
    """Answers of one rule at one α, as they come in."""

    def __init__(self) -> None:
        self.truth: list[bool] = []
        self.accepted: list[bool] = []
        self.score: list[float] = []
        self.prompts: list[str] = []
        self.attainable: list[bool] = []

    def add(self, answer: rules.OneVsMany, truth: bool, prompt: str, sign: int) -> None:
        self.truth.append(truth)
        self.accepted.append(answer.accepted)
        self.score.append(sign * answer.statistic)
        self.prompts.append(prompt)
        self.attainable.append(answer.attainable)

    def figures(self, seed: int) -> dict[str, Any]:
        truth, accepted, score = np.array(self.truth), np.array(self.accepted), np.array(self.score)
        prompts = np.array(self.prompts)
        rate = prompt_bootstrap(accepted[truth].astype(float), prompts[truth], seed=seed)
        return {
            "tpr": rate.point,
            "tpr_low": rate.low,
            "tpr_high": rate.high,
            "fpr": float(accepted[~truth].mean()),
            "balanced_accuracy": metrics.balanced_accuracy(truth, accepted),
            "auroc": metrics.auroc(score[truth], score[~truth]),
            "attainable": bool(np.median(self.attainable)),
            "n_positive": int(truth.sum()),
        }
