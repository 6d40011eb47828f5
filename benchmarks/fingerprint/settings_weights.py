"""Deployments: which weights and base each has, and whether its images are attributed to its weights.

Candidates are the weights, each with images of its own settings alone for references.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution.catalogue import load_attributor
from morelli.errors import DatasetError, NotEnoughReferencesError
from morelli.evaluation.bootstrap import prompt_bootstrap
from morelli.evaluation.metrics import topk_hits
from morelli.evaluation.protocols import Task, run_tasks
from morelli.evaluation.splits import prompt_folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

    Names = NDArray[np.str_]

METHODS = ("lda", "cosine")
FOLDS = 4
OTHER, OWN = "all other settings", "all own settings"


def weights_of(name: str) -> str:
    """The part of a deployment's name before ``@``: all of it where it runs at its model's own settings."""
    return name.partition("@")[0]


@dataclass(frozen=True)
class Deployments:
    """The deployments of a dataset, those of one base and then of one weights side by side, own settings first.

    Attributes
    ----------
    names, weights, bases : tuple of str
    """

    names: tuple[str, ...]
    weights: tuple[str, ...]
    bases: tuple[str, ...]


def find_deployments(models: Sequence[str], prompts: Sequence[str], bases: Sequence[str]) -> Deployments:
    """The deployments that a dataset has.

    Parameters
    ----------
    models, prompts, bases : sequence of str, length n
        Of each image; a base is "" where it is not known, and is then the weights.

    Raises
    ------
    DatasetError
        No name has an ``@``; a prompt is not known; weights have two bases, or no images at their own settings; no
        base is known.
    NotEnoughReferencesError
        Fewer than two weights or two prompts.
    """
    names = set(models)
    found = {weights_of(name) for name in names}
    if found >= names:
        raise DatasetError(
            "no model's name has an @, so that none is a deployment of another's weights.",
            argument="model",
            fix="Name deployments WEIGHTS@SETTINGS, as python -m benchmarks.zoo.exposure does.",
        )
    if absent := sorted(found - names):
        raise DatasetError(f"there is no image of {', '.join(absent)} at its own settings.", argument="model")
    if not any(bases):
        raise DatasetError("the dataset does not say what its models derive from.", argument="base")
    if not all(prompts):
        raise DatasetError(f"{sum(not each for each in prompts)} images have no prompt.", argument="prompt_id")
    for what, count in (("weights", len(found)), ("prompts", len(set(prompts)))):
        if count < 2:
            raise NotEnoughReferencesError(f"2 {what} are the least, and there is {count}.", argument="dataset")
    of: dict[str, set[str]] = {}
    for model, base in zip(models, bases, strict=True):
        of.setdefault(weights_of(model), set()).add(base or weights_of(model))
    for weights, several in of.items():
        if len(several) > 1:
            raise DatasetError(f"{weights} has the bases {' and '.join(sorted(several))}.", argument="base")
    base = {weights: next(iter(several)) for weights, several in of.items()}

    def place(name: str) -> tuple[str, bool, str, bool, str]:
        weights = weights_of(name)
        return base[weights], weights != base[weights], weights, name != weights, name

    ordered = tuple(sorted(names, key=place))
    return Deployments(ordered, tuple(map(weights_of, ordered)), tuple(base[weights_of(name)] for name in ordered))


def weights_tasks(models: Names, prompts: Names, seed: int, folds: int = FOLDS) -> list[Task]:
    """Tasks of a fold of prompts each: its images, against images at own settings of all other folds' prompts.

    Parameters
    ----------
    models, prompts : ndarray of str, shape (n,)
        Deployments and prompt ids.
    seed : int
        Decides the folds.
    folds : int
        Never more than there are prompts.
    """
    own = np.array([weights_of(name) == name for name in models.tolist()])
    fold = prompt_folds(prompts, folds, seed)
    return [
        Task((number,), np.flatnonzero(own & (fold != number)), None, np.flatnonzero(fold == number), None, 0)
        for number in np.unique(fold).tolist()
    ]


def attribute(data: LabelledEmbeddings, found: Deployments, method: str, seed: int) -> list[dict[str, Any]]:
    """How often images are attributed to their weights, all other settings first and then each of them.

    Parameters
    ----------
    data : LabelledEmbeddings
        Models are deployments.
    found : Deployments
        Of the data.
    method : str
        An attributor's name.
    seed : int
        Decides folds and intervals.

    Returns
    -------
    list of dict
        ``setting``; ``n`` images; ``top1``, ``top1_low``, ``top1_high`` to the weights; ``base_top1``; ``own_top1``,
        what images of the same weights at their own settings reach; ``taken_for``, the most frequent wrong weights, and
        ``taken_share`` of the images. Fractions 0–1.
    """
    weights = np.array([weights_of(name) for name in data.models.tolist()])
    tasks = weights_tasks(data.models, data.prompts, seed)
    scored = run_tasks(partial(load_attributor, method), replace(data, models=weights), tasks, calibrate=False)
    hits = topk_hits(scored.scores, scored.truth, (1,))[1].astype(np.float64)
    said, true, names = scored.models[scored.scores.argmax(axis=1)], weights[scored.rows], data.models[scored.rows]
    base = dict(zip(found.weights, found.bases, strict=True))
    in_base = np.array([base[a] == base[b] for a, b in zip(said.tolist(), true.tolist(), strict=True)])
    own = names == true
    reached = {each: float(hits[own & (true == each)].mean()) for each in dict.fromkeys(found.weights)}

    def row(setting: str, chosen: NDArray[np.bool_]) -> dict[str, Any]:
        top1 = prompt_bootstrap(hits[chosen], scored.prompts[chosen], seed=seed)
        wrong = Counter(said[chosen & (said != true)].tolist()).most_common(1)
        return {
            "method": method, "setting": setting, "n": int(chosen.sum()),
            "top1": top1.point, "top1_low": top1.low, "top1_high": top1.high,
            "base_top1": float(in_base[chosen].mean()),
            "own_top1": float(np.mean([reached[each] for each in true[chosen].tolist()])),
            "taken_for": wrong[0][0] if wrong else None,
            "taken_share": wrong[0][1] / int(chosen.sum()) if wrong else 0.0,
        }  # fmt: skip

    others = [name for name, each in zip(found.names, found.weights, strict=True) if name != each]
    return [row(OTHER, ~own), row(OWN, own), *(row(name, names == name) for name in others)]
