"""Pairs of images, drawn without repetition however many there are: same model, different models, and narrower kinds.

Every kind of pair is "equal in one label, different in another": same-model pairs are equal in the model and differ in
the image, different-model pairs of one prompt are equal in the prompt and differ in the model. One function draws all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Rows = NDArray[np.intp]


class Pairs(NamedTuple):
    """Rows of the first and of the second image of each pair: shapes (p,); no unordered pair comes twice."""

    first: Rows
    second: Rows

    def __len__(self) -> int:
        return len(self.first)

    def take(self, which: NDArray[np.bool_]) -> Pairs:
        """The pairs that a mask chooses."""
        return Pairs(self.first[which], self.second[which])


def draw_pairs(equal: ArrayLike, different: ArrayLike, count: int | None, rng: np.random.Generator) -> Pairs:
    """Pairs that agree in one label and differ in another, uniformly over all such pairs.

    Parameters
    ----------
    equal : array, shape (n,)
        Both images of a pair have the same value here. A constant: no condition.
    different : array, shape (n,)
        And different values here. Row numbers: any two images.
    count : int or None
        Pairs to draw; all there are where that is fewer, or where it is None.
    rng : numpy Generator

    Returns
    -------
    Pairs

    Raises
    ------
    ArrayError
        For labels of different lengths, or a count below 1.
    """
    outer, inner = (np.unique(np.asarray(labels), return_inverse=True)[1] for labels in (equal, different))
    if outer.shape != inner.shape or outer.ndim != 1:
        raise ArrayError(f"two labels a row are needed, got {outer.shape} and {inner.shape}.", argument="different")
    if count is not None and count < 1:
        raise ArrayError(f"must be 1 or more, got {count}.", argument="count")
    order = np.lexsort((inner, outer))
    # Sorted so, the partners of a row are those after the last of its own cell, up to the last of its block.
    block_end = np.searchsorted(outer[order], outer[order], side="right")
    cell = outer[order].astype(np.int64) * (int(inner.max(initial=0)) + 1) + inner[order]
    cell_end = np.searchsorted(cell, cell, side="right")
    ends = np.cumsum(block_end - cell_end)
    total = int(ends[-1]) if len(ends) else 0
    everyone = count is None or count >= total
    ranks = np.arange(total) if everyone else np.sort(rng.choice(total, size=count, replace=False, shuffle=False))
    row = np.searchsorted(ends, ranks, side="right")
    # The rank of the last partner of each row is its end, less one.
    partner = block_end[row] - (ends[row] - ranks)
    return Pairs(order[row], order[partner])


def same_model(models: ArrayLike, count: int | None, rng: np.random.Generator) -> Pairs:
    """Pairs of two images of one model."""
    return draw_pairs(models, np.arange(len(np.asarray(models))), count, rng)


def different_models(models: ArrayLike, count: int | None, rng: np.random.Generator) -> Pairs:
    """Pairs of images of two models."""
    return draw_pairs(np.zeros(len(np.asarray(models))), models, count, rng)
