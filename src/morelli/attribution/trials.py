"""Trials inside a background: who is the query, who are its references. For fitting weights and calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.bank import prompt_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings


@dataclass(frozen=True, eq=False)
class Trial:
    """Row indices; a query is not among its references, and both are of one prompt."""

    prompt: str
    references: NDArray[np.intp]
    queries: NDArray[np.intp]


def fold_of_rows(prompts: NDArray[np.str_], folds: int, seed: int = 0) -> NDArray[np.intp]:
    """Fold of each row, shape (n,): all rows of a prompt share one, prompts are dealt out in random order."""
    if not len(prompts):
        return np.empty(0, dtype=np.intp)
    codes = prompt_codes(prompts)
    count = codes.max() + 1
    deal = np.random.default_rng(seed).permutation(np.arange(count) % min(folds, count))
    return deal[codes]


def leave_one_out(models: NDArray[np.str_], prompts: NDArray[np.str_], k: int, rows: NDArray[np.intp]) -> list[Trial]:
    """Trials over the given rows: every image of a model with two or more in a prompt is once a query.

    In trial s of a prompt the s-th image of each model is the query and the next k of the model, taken in a circle
    and without the query, are its references; a model with fewer has fewer, a model with one image takes no part.
    """
    trials = []
    for prompt in np.unique(prompts[rows]):
        if prompt == "":
            continue
        inside = rows[prompts[rows] == prompt]
        images = {model: inside[models[inside] == model] for model in np.unique(models[inside])}
        images = {model: members for model, members in images.items() if len(members) >= 2}
        if len(images) < 2:
            continue
        for s in range(max(len(members) for members in images.values())):
            queries, references = [], []
            for members in images.values():
                at = s % len(members)
                references.append(np.roll(members, -at - 1)[: min(k, len(members) - 1)])
                if s < len(members):
                    queries.append(members[at])
            trials.append(Trial(str(prompt), np.concatenate(references), np.array(queries)))
    return trials


def seeds_per_cell(background: LabelledEmbeddings) -> int:
    """Median number of images that one model has of one prompt; 0 where prompts are not known."""
    known = background.prompts != ""
    if not known.any():
        return 0
    cells = np.char.add(np.char.add(background.prompts[known], "\x1f"), background.models[known])
    return int(np.median(np.unique(cells, return_counts=True)[1]))
