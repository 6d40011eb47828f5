"""Design 1 of paper 000 as numbers: variance within models against variance between models of the same prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.exposure.neighbours import distinct
from morelli.exposure.separability import points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from morelli.types import LabelledEmbeddings

BINS = 40
# Distances at unit length are at most 2; these are joined to `BINS` at the end, when the largest is known.
_FINE = np.linspace(0, 2, 2001)


@dataclass(frozen=True, eq=False)
class Variances:
    """Variances of embeddings at unit length, prompt by prompt, and how far pairs of images lie apart.

    Attributes
    ----------
    prompts : ndarray of str, shape (P,)
    within, between : ndarray, shape (P,)
        Sums over the dimensions. ``between`` has the part that the noise of the centroids gives taken out, so that it
        can fall below 0 where models do not differ.
    edges : ndarray, shape (b + 1,), b ≤ 40
        Bins of the distances, from 0 to the largest.
    same, different : ndarray, shape (b,), sums to 1
        Histograms of the distances between two images of one prompt, by one model and by two.
    pair_auroc : float
        Probability that two images by one model lie nearer to each other than two by two models.
    """

    prompts: NDArray[np.str_]
    within: NDArray[np.float64]
    between: NDArray[np.float64]
    edges: NDArray[np.float64]
    same: NDArray[np.float64]
    different: NDArray[np.float64]
    pair_auroc: float

    @property
    def share(self) -> float:
        """Σ between / Σ (between + within): the part of the variance that the model explains, at most 1."""
        return float(self.between.sum() / (self.between.sum() + self.within.sum()))

    @property
    def ratio(self) -> float:
        """Σ between / Σ within."""
        return float(self.between.sum() / self.within.sum())


def components(x: ArrayLike, models: ArrayLike) -> tuple[float, float]:
    """Variance within and between the models of one prompt: the moment estimator of the one-way random-effects model.

    within = SSW/(N − m) and between = (SSB/(m − 1) − within)/n₀ with n₀ = (N − Σn_j²/N)/(m − 1) (Searle, Casella and
    McCulloch, Variance Components, 1992, §3.6).

    Parameters
    ----------
    x : array, shape (n, d)
    models : array of str, shape (n,)
        Two at least, one of them with two images.

    Returns
    -------
    within, between : float
        ``between`` is not clipped at 0.
    """
    values = np.asarray(x, dtype=np.float64)
    _, code, count = np.unique(np.asarray(models), return_inverse=True, return_counts=True)
    n, m = len(values), len(count)
    if values.ndim != 2 or m < 2 or n <= m:
        raise ArrayError(f"needs two models, and two images of one; got {n} images of {m}.", argument="models")
    centres = np.zeros((m, values.shape[1]))
    np.add.at(centres, code, values)
    centres /= count[:, None]
    inside = float(((values - centres[code]) ** 2).sum()) / (n - m)
    spread = float((count[:, None] * (centres - values.mean(axis=0)) ** 2).sum()) / (m - 1)
    n0 = (n - float((count**2).sum()) / n) / (m - 1)
    return inside, (spread - inside) / n0


def variances(data: LabelledEmbeddings) -> Variances:
    """Variances of every prompt that two models share, one of them with two images. At unit length.

    Raises
    ------
    NotEnoughReferencesError
        There is no such prompt.
    """
    kept, inside, between, nearer = [], [], [], []
    counts = np.zeros((2, len(_FINE) - 1), dtype=np.int64)
    for prompt in np.unique(data.prompts[data.prompts != ""]):
        rows = np.flatnonzero(data.prompts == prompt)
        x = points({name: part[rows] for name, part in data.vectors.items()})
        keep = distinct(x, data.models[rows])
        x, models = x[keep], data.models[rows][keep]
        count = np.unique(models, return_counts=True)[1]
        if len(count) < 2 or count.max() < 2:
            continue
        kept.append(str(prompt))
        for store, value in zip((inside, between), components(x, models), strict=True):
            store.append(value)
        pair = _distances(x, models)
        counts += [np.histogram(np.minimum(side, _FINE[-1]), _FINE)[0] for side in pair]
        nearer.append(_nearer(*pair))
    if not kept:
        raise NotEnoughReferencesError(
            "no prompt has images of two models and a second image of one of them.", argument="prompt_id"
        )
    edges, (same, different) = _coarse(counts)
    return Variances(
        np.array(kept), np.array(inside), np.array(between), edges, same, different, float(np.mean(nearer))
    )  # fmt: skip


def _coarse(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`BINS` bins at most up to the last that is not empty, and the shares in them: shapes (b + 1,) and (2, b)."""
    last = int(np.flatnonzero(counts.sum(axis=0)).max()) + 1
    width = -(-last // BINS)
    bins = -(-last // width)
    padded = np.zeros((2, bins * width))
    padded[:, :last] = counts[:, :last]
    shares = padded.reshape(2, bins, width).sum(axis=2)
    edges = np.arange(bins + 1) * width * _FINE[1]
    return edges, shares / shares.sum(axis=1, keepdims=True)


def _distances(x: NDArray[np.float32], models: NDArray[np.str_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distances of all pairs of one model, and of two."""
    squares = (x**2).sum(axis=1)
    squared = squares[:, None] + squares - 2 * (x @ x.T)
    first, second = np.triu_indices(len(x), 1)
    distance = np.sqrt(np.maximum(squared[first, second], 0))
    same = models[first] == models[second]
    return distance[same], distance[~same]


def _nearer(same: NDArray[np.float32], different: NDArray[np.float32]) -> float:
    order = np.sort(different)
    above = len(order) - np.searchsorted(order, same, side="right")
    tied = np.searchsorted(order, same, side="right") - np.searchsorted(order, same, side="left")
    return float((above + tied / 2).mean() / len(order))
