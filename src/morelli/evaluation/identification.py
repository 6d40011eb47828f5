"""Protocol ``identification`` (paper 002): k references a model drawn by the seed, everything else is a query.

Where models have few images, that would leave hardly a query; there references and queries change places. So they do
where a model has one image a prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.bootstrap import Interval, prompt_bootstrap
from morelli.evaluation.plan import Plan, prompt_units
from morelli.evaluation.protocols import ANY_PROMPT_FOLDS, Task, any_prompt

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from morelli.evaluation.scored import Scored
    from morelli.types import LabelledEmbeddings

REFERENCES = 10


def identification(data: LabelledEmbeddings, k: int | None, seed: int) -> Plan[Task]:
    """The references of all models against all other images, whatever their prompts: one task, or several.

    As published, references and queries may share prompts. Where models have as a rule fewer than 2k images, what is
    left beside the references is too little to measure by, and where they have one image a prompt a query's own prompt
    would be among the references of the other models alone. There every image is a query once, and its references, k a
    model at most, are of other prompts: folds of prompts, as in `any_prompt`.

    Parameters
    ----------
    data : LabelledEmbeddings
    k : int or None
        References a model; 10 where None. A model with no more than k images keeps one as a query.
    seed : int
        Decides which.

    Raises
    ------
    NotEnoughReferencesError
        Fewer than two models, or no model with two images.
    """
    wanted = REFERENCES if k is None else k
    models, counts = np.unique(data.models, return_counts=True)
    if len(models) < 2 or counts.max() < 2:
        raise NotEnoughReferencesError(
            "it takes two models, and a model with two images: one is a reference and the other a query.",
            argument="dataset",
        )
    few = f"Models have as a rule fewer than {2 * wanted} images"
    why = few if np.median(counts) < 2 * wanted else "Models have one image a prompt" if _once(data) else ""
    if why and len(np.unique(prompt_units(data.prompts))) >= ANY_PROMPT_FOLDS:
        plan = any_prompt(data, wanted, seed)
        note = f"{why}: each image is a query once, and its references, up to {wanted} a model, are of other prompts."
        return Plan(plan.items, (note, *plan.notes))
    return _drawn(data, models, counts, wanted, seed)


def _once(data: LabelledEmbeddings) -> bool:
    """Whether models share prompts, and none has two images of one."""
    named = data.prompts != ""
    cells = np.stack([data.models[named], data.prompts[named]], axis=1)
    return len(cells) == len(np.unique(cells, axis=0)) > len(np.unique(cells[:, 1]))


def _drawn(
    data: LabelledEmbeddings, models: NDArray[np.str_], counts: NDArray[np.intp], wanted: int, seed: int
) -> Plan[Task]:
    """As published: one draw of references."""
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(data.models == model))[: min(wanted, max(count - 1, 1))]
        for model, count in zip(models, counts, strict=True)
    ]
    references = np.sort(np.concatenate(chosen))
    queries = np.setdiff1d(np.arange(len(data)), references)
    short = int((counts <= wanted).sum())
    shared = int((np.isin(data.prompts[queries], data.prompts[references]) & (data.prompts[queries] != "")).sum())
    notes = {
        f"{short} of {len(models)} models have no more than {wanted} images: all but one are references.": short,
        f"{shared} of {len(queries)} queries share their prompt with references, as published.": shared,
    }
    task = Task((0,), references, None, queries, None, 0)
    return Plan((task,), tuple(text for text, count in notes.items() if count))


def f1_interval(scored: Scored, seed: int = 0) -> Interval:
    """Macro-F1 of the first places, with its interval over prompts.

    Over the models that are a truth or a first place; in a resample those that it holds.
    """
    predicted = scored.models[scored.scores.argmax(axis=1)]
    truth = scored.models[scored.truth]
    return macro_f1_interval(truth, predicted, scored.prompts, seed=seed)


def macro_f1_interval(truth: ArrayLike, predicted: ArrayLike, prompts: ArrayLike, seed: int = 0) -> Interval:
    """Macro-F1 with its interval when whole prompts are drawn with replacement.

    F1 of a model is 2·TP / (truths + first places), all three of which are sums over prompts; see `prompt_bootstrap`.
    """
    a, b = np.asarray(truth, dtype=np.str_), np.asarray(predicted, dtype=np.str_)
    names = np.union1d(a, b)
    hit = (a == b)[:, None] & (a[:, None] == names)
    said = (a[:, None] == names).astype(np.float64) + (b[:, None] == names)

    def figure(means: NDArray[np.float64]) -> NDArray[np.float64]:
        m = len(names)
        with np.errstate(divide="ignore", invalid="ignore"):
            # A resample without a model, as truth and as answer, says nothing of its F1.
            return np.nanmean(2 * means[..., :m] / means[..., m:], axis=-1)

    return prompt_bootstrap(np.concatenate([hit, said], axis=1), prompts, statistic=figure, draws=1000, seed=seed)
