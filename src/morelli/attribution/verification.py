"""Are two images of one model? Scores of pairs: cosine, and the likelihood ratio of the two-covariance model.

With statistics learnt on *other* models the ratio is fair to models that nobody has seen: it knows how images of any
model scatter, and how models differ, and nothing of these two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.bank import view_groups
from morelli.attribution.base import stack
from morelli.attribution.gaussian import Subspace, TwoCovariance, fit_subspace, fit_two_covariance
from morelli.errors import NotEnoughReferencesError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors
    from morelli.attribution.pairs import Pairs
    from morelli.types import LabelledEmbeddings

    Array = NDArray[np.float64]

DIMS = 128
SHRINKAGE = 0.2
FLOOR = 0.1
#: Numbers of each side of the pairs that are copied at once: 32 MiB of float64.
BLOCK = 2**22


def cosine_of_pairs(x: Array, pairs: Pairs) -> Array:
    """Paper 002: the cosine between the two embeddings, −1 to 1; shape (p,).

    ``x`` has rows of unit length, as `morelli.attribution.centroid.unit_vectors` gives them. Both sides of only so many
    pairs are in memory at once as fit into `BLOCK` numbers: an embedding may be a whole picture.
    """
    out, block = np.empty(len(pairs)), max(1, BLOCK // max(1, x.shape[1]))
    for start in range(0, len(pairs), block):
        some = slice(start, start + block)
        np.einsum("ij,ij->i", x[pairs.first[some]], x[pairs.second[some]], out=out[some])
    return out


def pair_ratio(a: Array, b: Array, between: Array, centre: Array) -> Array:
    """Log-likelihood ratio of "one class made both" against "two classes did", in nats; symmetric in a and b.

    In coordinates where noise is the identity and class effects have variances λ, each dimension has
    cov(a, b) = λ and var = 1 + λ if one class made both, and no covariance otherwise; the ratio of the two Gaussian
    densities, with s = a + b and t = a − b, is

        ½·[ 2·log(1+λ) − log(1+2λ) + (s²/2 + t²/2)/(1+λ) − s²/2/(1+2λ) − t²/2 ].

    Source: Brümmer and de Villiers, *The speaker partitioning problem* (2010).

    Parameters
    ----------
    a, b : ndarray, shape (p, r)
        Rotated.
    between : ndarray, shape (r,)
        λ ≥ 0.
    centre : ndarray, shape (r,)
        Rotated mean of the class effects.
    """
    s, t = (a - centre) + (b - centre), a - b
    constant = 2.0 * np.log1p(between) - np.log1p(2.0 * between)
    weight_s = 0.5 / (1.0 + between) - 0.5 / (1.0 + 2.0 * between)
    weight_t = 0.5 / (1.0 + between) - 0.5
    return 0.5 * (constant.sum() + (s**2) @ weight_s + (t**2) @ weight_t)


@dataclass(frozen=True, eq=False)
class _View:
    names: tuple[str, ...]
    subspace: Subspace
    model: TwoCovariance
    centre: Array

    def place(self, vectors: Vectors) -> Array:
        return self.subspace(stack(vectors, self.names)) @ self.model.rotation


@dataclass(frozen=True, eq=False)
class PairStatistics:
    """Two-covariance statistics of some models, one set a view of the encoder; their ratios are averaged over views.

    Views see the same picture, so that their ratios are far from independent: their mean is nearer to a log-likelihood
    ratio than their sum, and what is left is for a calibration to put right.
    """

    views: Mapping[str, _View]

    def place(self, vectors: Vectors) -> dict[str, Array]:
        """Embeddings in the coordinates of each view: arrays of shape (n, r)."""
        return {name: view.place(vectors) for name, view in self.views.items()}

    def ratios(self, placed: Mapping[str, Array], pairs: Pairs) -> Array:
        """Log-likelihood ratio of each pair of placed embeddings, shape (p,); higher speaks for one model."""
        parts = [
            pair_ratio(placed[name][pairs.first], placed[name][pairs.second], view.model.between, view.centre)
            for name, view in self.views.items()
        ]
        return np.mean(parts, axis=0)


def fit_pair_statistics(
    data: LabelledEmbeddings, *, dims: int = DIMS, shrinkage: float = SHRINKAGE, floor: float = FLOOR
) -> PairStatistics:
    """Learn how images of one model scatter and how models differ.

    Parameters
    ----------
    data : LabelledEmbeddings
        Two models at least, one of them with two images.
    dims : int
        Principal directions a view keeps.
    shrinkage, floor : float
        As in `fit_two_covariance`.

    Raises
    ------
    NotEnoughReferencesError
        One model, one image a model, or images that are all alike.
    """
    models, codes = np.unique(data.models, return_inverse=True)
    if len(models) < 2 or len(codes) == len(models):
        raise NotEnoughReferencesError(
            f"pairs are learnt from two models at least, with two images of one; here are {len(codes)} images of "
            f"{len(models)}.",
            argument="references",
        )
    views = {}
    for name, members in view_groups(tuple(data.vectors)).items():
        x = stack(data.vectors, members)
        subspace = fit_subspace(x, dims)
        z = subspace(x)
        model = fit_two_covariance(z, codes, shrinkage=shrinkage, floor=floor)
        rotated = z @ model.rotation
        centre = np.stack([rotated[codes == j].mean(axis=0) for j in range(len(models))]).mean(axis=0)
        views[name] = _View(members, subspace, model, centre)
    return PairStatistics(views)
