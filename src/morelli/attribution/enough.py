"""Of a background too large to learn from whole, as much as statistics need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

#: Images that statistics and calibrations are learnt from, at most. Covariances of a few hundred numbers are settled
#: long before.
LIMIT = 100_000
#: Of every model at least so many, also where that comes to more.
FEW = 10
#: Images of one model and prompt that are taken before another prompt has its turn.
SEEDS = 30
_PROMPTS = 20


def enough(background: LabelledEmbeddings, limit: int = LIMIT) -> LabelledEmbeddings:
    """The background itself, or about ``limit`` of its images where it has more.

    Models that have few images keep them all; the others have as many as each other. Prompts come in one order for all
    models, so that models are seen in the same prompts, several images of each. Images with degraded copies come
    first: they are few. The same background gives the same choice.

    Parameters
    ----------
    background : LabelledEmbeddings
    limit : int
        At least 1; exceeded where every model has to have `FEW`.
    """
    if len(background) <= limit:
        return background
    copied = np.zeros(len(background), dtype=np.bool_)
    if background.degraded is not None:
        copied[background.degraded.rows] = True
    return background.take(chosen_rows(background.models, background.prompts, copied, limit))


def chosen_rows(
    models: NDArray[np.str_], prompts: NDArray[np.str_], first: NDArray[np.bool_], limit: int
) -> NDArray[np.intp]:
    """Rows that `enough` keeps, ascending; those that are marked come before others of their model."""
    model, counts = np.unique(models, return_inverse=True, return_counts=True)[1:]
    quota = _quota(counts, limit)
    seeds = max(2, min(SEEDS, quota // _PROMPTS))
    draw = np.random.default_rng(0)
    prompt = np.unique(prompts, return_inverse=True)[1]
    unknown = prompts == ""
    prompt[unknown] = prompt.max() + 1 + np.arange(int(unknown.sum()))  # each of these is a prompt of its own
    turn = draw.permutation(int(prompt.max()) + 1)[prompt]
    lot = draw.permutation(len(models))
    round_ = _place_in_group(model.astype(np.int64) * len(turn) * 2 + turn, lot) // seeds
    order = np.lexsort((lot, turn, round_, ~first, model))
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[place < quota])


def _quota(counts: NDArray[np.intp], limit: int) -> int:
    """Images a model, so that all together are at most ``limit``; at least `FEW`."""
    low, high = FEW, max(FEW, int(counts.max()))
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def _place_in_group(groups: NDArray[np.int64], lot: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number of each row within its group, by lot: shape (n,)."""
    order = np.lexsort((lot, groups))
    ordered = groups[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[begins, len(groups)])
    place = np.empty(len(groups), np.intp)
    place[order] = np.arange(len(groups)) - np.repeat(begins, sizes)
    return place
