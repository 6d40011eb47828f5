"""frac(i, j) and D(i) of paper 000, §4: how clearly the models stand apart for each prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.base import stack
from morelli.attribution.centroid import unit_vectors
from morelli.errors import InputError, NotEnoughReferencesError
from morelli.exposure.neighbours import distinct, nearest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from morelli.types import LabelledEmbeddings

#: τ is not published. At a half, a model is separable where most of its images lie nearest to one of its own.
DEFAULT_TAU = 0.5


@dataclass(frozen=True, eq=False)
class Separability:
    """What `separability` found.

    Attributes
    ----------
    prompts : ndarray of str, shape (P,)
        Sorted; those that two models share.
    models : ndarray of str, shape (M,)
        Sorted.
    frac : ndarray, shape (P, M), 0–1
        Of a model's images of a prompt the share whose nearest neighbour, among all models' images of the prompt, is
        its own; NaN where the model has fewer than two.
    counts : ndarray of int, shape (P, M)
        Images that were compared.
    duplicates, ties : int
        Images left out as copies of others; images with several nearest neighbours.
    notes : tuple of str
    """

    prompts: NDArray[np.str_]
    models: NDArray[np.str_]
    frac: NDArray[np.float64]
    counts: NDArray[np.intp]
    duplicates: int
    ties: int
    notes: tuple[str, ...] = ()

    def d(self, tau: float = DEFAULT_TAU) -> NDArray[np.float64]:
        """D(i), shape (P,), 0–1: the share of the models with frac(i, j) > τ.

        Of the models with two images of the prompt; NaN where there is none.
        """
        check_tau(tau)
        return share(self.frac > tau, np.isfinite(self.frac), axis=1)

    def separable(self, tau: float = DEFAULT_TAU) -> NDArray[np.float64]:
        """For each model the share of the prompts for which it is separable, shape (M,)."""
        check_tau(tau)
        return share(self.frac > tau, np.isfinite(self.frac), axis=0)

    def mean_frac(self) -> NDArray[np.float64]:
        """Mean of frac(i, j) over the models of each prompt, shape (P,): D(i) without a threshold."""
        known = np.isfinite(self.frac)
        total = known.sum(axis=1)
        return np.divide(np.where(known, self.frac, 0).sum(axis=1), total, out=np.full(len(total), np.nan),
                         where=total > 0)  # fmt: skip

    def chance(self) -> NDArray[np.float64]:
        """What frac would be if neighbours were drawn at random: (k_j − 1)/(Σk − 1), shape (P, M)."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.where(np.isfinite(self.frac), (self.counts - 1) / np.maximum(total - 1, 1), np.nan)


def check_tau(tau: float) -> None:
    """Refuse a τ outside 0 ≤ τ < 1: nothing is above 1, so that D would be 0 whatever the images."""
    if not 0.0 <= tau < 1.0:
        raise InputError(f"must be at least 0 and below 1; got {tau:g}.", argument="tau")


def share(hits: NDArray[np.bool_], judged: NDArray[np.bool_], axis: int) -> NDArray[np.float64]:
    """Share of the judged cells that are hits, along an axis; NaN where none was judged."""
    total = judged.sum(axis=axis)
    hit = (hits & judged).sum(axis=axis)
    return np.divide(hit, total, out=np.full(total.shape, np.nan), where=total > 0)


def frac(x: ArrayLike, models: ArrayLike) -> tuple[NDArray[np.str_], NDArray[np.float64], int]:
    """frac(i, j) of one prompt: paper 000, design 4.

    Where several rows tie for the nearest, the image counts with the share of them that are its own model's: the mean
    over the ways to break the tie.

    Parameters
    ----------
    x : array, shape (n, d)
        Embeddings of all models' images of the prompt, none twice.
    models : array of str, shape (n,)

    Returns
    -------
    models : ndarray of str, shape (m,)
        Sorted.
    frac : ndarray, shape (m,), 0–1
        NaN for a model with one image, whose nearest neighbour can only be another's.
    ties : int
        Images with several nearest neighbours.

    Examples
    --------
    >>> names, values, ties = frac([[0.0], [1.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> values.tolist(), ties
    ([1.0, 1.0], 0)
    """
    labels = np.asarray(models, dtype=np.str_)
    found = nearest(x)
    own = (labels[found.rows] == labels[found.columns]).astype(np.float64)
    n = len(labels)
    credit = np.bincount(found.rows, weights=own, minlength=n) / np.bincount(found.rows, minlength=n)
    names, code, count = np.unique(labels, return_inverse=True, return_counts=True)
    values = np.bincount(code, weights=credit) / count
    return names, np.where(count > 1, values, np.nan), found.ties


def separability(
    data: LabelledEmbeddings, *, unit: bool = True, progress: Callable[[int, int], None] | None = None
) -> Separability:
    """frac(i, j) of every prompt that two models share.

    Parameters
    ----------
    data : LabelledEmbeddings
        Images without a prompt take no part.
    unit : bool
        Embeddings at unit length (several named vectors: each of them, side by side), as the attributor ``euclid`` has
        them; False: as they are.
    progress : callable, optional
        Called with the prompts that are done and all of them.

    Raises
    ------
    NotEnoughReferencesError
        No prompt has images of two models, one of them with two.
    """
    models = np.unique(data.models)
    prompts = np.unique(data.prompts[data.prompts != ""])
    values = np.full((len(prompts), len(models)), np.nan)
    counts = np.zeros(values.shape, dtype=np.intp)
    duplicates = ties = 0
    order = np.argsort(data.prompts, kind="stable")
    starts = np.searchsorted(data.prompts[order], prompts, side="left")
    ends = np.searchsorted(data.prompts[order], prompts, side="right")
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        rows = np.sort(order[start:end])
        x = points({name: part[rows] for name, part in data.vectors.items()}, unit)
        keep = distinct(x, data.models[rows])
        duplicates += int((~keep).sum())
        rows, x = rows[keep], x[keep]
        if len(np.unique(data.models[rows])) >= 2:
            names, found, tied = frac(x, data.models[rows])
            columns = np.searchsorted(models, names)
            values[i, columns] = found
            counts[i, columns] = np.unique(data.models[rows], return_counts=True)[1]
            ties += tied
        if progress is not None:
            progress(i + 1, len(prompts))
    return _result(prompts, models, values, counts, duplicates, ties)


def points(vectors: Mapping[str, NDArray[np.float32]], unit: bool = True) -> NDArray[np.float32]:
    """Named vectors as the points whose distances are compared: shape (n, sum of d), float32."""
    return (unit_vectors(vectors) if unit else stack(vectors)).astype(np.float32)


def _result(
    prompts: NDArray[np.str_],
    models: NDArray[np.str_],
    values: NDArray[np.float64],
    counts: NDArray[np.intp],
    duplicates: int,
    ties: int,
) -> Separability:
    usable = np.isfinite(values).any(axis=1)
    if not usable.any():
        raise NotEnoughReferencesError(
            "no prompt has images of two models and a second image of one of them.",
            argument="prompt_id",
            fix="Add images: several of each model for the same prompts, and a metadata file that names the prompts.",
        )
    kept = counts[usable]
    single, absent = int((kept == 1).sum()), int((kept == 0).sum())
    notes = {
        f"{len(prompts) - int(usable.sum())} prompts have images of fewer than two models, or one image a model, and "
        "no D(i).": len(prompts) - int(usable.sum()),
        f"{absent} times a model has no image of a prompt: D(i) is the share of the models that have.": absent,
        f"{single} times a model has one image of a prompt: it is a neighbour there, and not judged.": single,
        f"{duplicates} images have the embedding of another and were left out.": duplicates,
        f"{ties} images have several nearest neighbours; they count in parts.": ties,
    }
    said = tuple(text for text, count in notes.items() if count)
    return Separability(prompts[usable], models, values[usable], kept, duplicates, ties, said)
