"""One method's answers to all attacks, and the figures that follow from them alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._audit.attacks import AttackPlan
from morelli.attribution.catalogue import load_attributor
from morelli.evaluation.bootstrap import paired_lift, prompt_bootstrap
from morelli.evaluation.metrics import topk_hits
from morelli.evaluation.protocols import run_tasks
from morelli.evaluation.scored import Scored, image_confusion, per_image
from morelli.exposure.battles import judge_alone, judge_jointly, pair_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

_BATTLES = 20_000


@dataclass(frozen=True, eq=False)
class Measured:
    """Answers of one method.

    Attributes
    ----------
    method : str
    scored : Scored
        All attacks, one after another.
    kind : ndarray of str, shape (n,)
    number : ndarray of int, shape (n,)
        Kind and number of the attack that each row belongs to.
    attack : ndarray of int, shape (n,)
        Which attack.
    hit : ndarray, shape (n,)
        1 where the first place is the truth.
    """

    method: str
    scored: Scored
    kind: NDArray[np.str_]
    number: NDArray[np.intp]
    attack: NDArray[np.intp]
    hit: NDArray[np.float64]

    def rows(self, kind: str, number: int | None = None) -> NDArray[np.intp]:
        """Rows of the attacks of a kind."""
        chosen = self.kind == kind
        return np.flatnonzero(chosen if number is None else chosen & (self.number == number))

    def numbers(self, kind: str) -> list[int]:
        """The different numbers of a kind, rising."""
        return np.unique(self.number[self.kind == kind]).tolist()

    def accuracy(self, rows: NDArray[np.intp], seed: int = 0) -> dict[str, float]:
        """top1, low and high over images, each once however often it was asked; interval over prompts."""
        images = self.scored.rows[rows]
        hit = per_image(self.hit[rows], images)
        prompts = self.scored.prompts[rows][np.unique(images, return_index=True)[1]]
        found = prompt_bootstrap(hit, prompts, seed=seed)
        return {"top1": found.point, "low": found.low, "high": found.high}

    def by(self, rows: NDArray[np.intp], labels: NDArray[np.str_], names: NDArray[np.str_]) -> NDArray[np.float64]:
        """Accuracy over the images of each name, NaN where there is none: shape (len(names),)."""
        _, first = np.unique(self.scored.rows[rows], return_index=True)
        hit, own = per_image(self.hit[rows], self.scored.rows[rows]), labels[rows][first]
        return np.array([hit[own == name].mean() if (own == name).any() else np.nan for name in names])

    def truth_names(self) -> NDArray[np.str_]:
        """Model of each row."""
        return self.scored.models[self.scored.truth]


def measure(
    method: str,
    data: LabelledEmbeddings,
    plan: AttackPlan,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Run every attack of the plan by a method."""
    tasks = [each.task for each in plan.attacks]
    scored = run_tasks(partial(load_attributor, method), data, tasks, calibrate=False, progress=progress)
    sizes = [len(task.queries) for task in tasks]
    hit = topk_hits(scored.scores, scored.truth, (1,))[1].astype(np.float64)
    kind = np.repeat([each.kind for each in plan.attacks], sizes)
    number = np.repeat([each.number for each in plan.attacks], sizes)
    return Measured(method, scored, kind, number, np.repeat(np.arange(len(tasks)), sizes), hit)


def confusion(found: Measured) -> dict[str, Any]:
    """Labels, matrix and images of the main attack: rows the truth, columns the first place, each image once."""
    labels, matrix, images = image_confusion(found.scored, found.rows("main"))
    return {"labels": labels, "matrix": matrix.tolist(), "images": images.tolist()}


def battle(found: Measured, seed: int) -> dict[str, Any] | None:
    """Pairs of images of one prompt by two models, judged one by one and together; None where there is no pair."""
    rows = found.rows("main")
    pairs = pair_up(found.attack[rows], found.scored.truth[rows], _BATTLES, seed)
    if not len(pairs):
        return None
    first, second = rows[pairs[:, 0]], rows[pairs[:, 1]]
    # A battle needs two candidates an image; with two models both always are.
    scores, truth = found.scored.scores, np.stack([found.scored.truth[first], found.scored.truth[second]], axis=1)
    alone, joint = (judge(scores[first], scores[second]) == truth for judge in (judge_alone, judge_jointly))
    prompts = found.scored.prompts[first]
    lift = paired_lift(joint.all(axis=1), alone.all(axis=1), prompts, seed=seed)
    return {
        "battles": len(pairs),
        "both_alone": float(alone.all(axis=1).mean()),
        "both_together": float(joint.all(axis=1).mean()),
        "image_alone": float(alone.mean()),
        "image_together": float(joint.mean()),
        "lift": lift.point,
        "lift_low": lift.low,
        "lift_high": lift.high,
    }
