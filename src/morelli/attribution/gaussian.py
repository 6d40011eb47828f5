"""Gaussian statistics that the better attributors share: a subspace, and the two-covariance model in it.

Two-covariance model (a form of PLDA): an embedding is ``z = m + u + e`` with a class effect ``u ~ N(0, B)`` and
noise ``e ~ N(0, W)``. After one simultaneous diagonalisation W becomes the identity and B a diagonal of λ, so that
every formula is one-dimensional. Source: Ioffe, *Probabilistic linear discriminant analysis* (2006); Brümmer and
de Villiers, *The speaker partitioning problem* (2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import eigh

from morelli.errors import NotEnoughReferencesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.intp]

#: Rows that are worked on at a time where there are many.
BLOCK = 20_000
# A direction that carries less than this share of the leading one is rounding noise.
_RANK_TOLERANCE = 1e-6
# Noise that is a smaller share of all variance than this is rounding.
_NO_NOISE = 1e-12


@dataclass(frozen=True, eq=False)
class Subspace:
    """Standardise, then rotate onto the leading principal directions.

    Attributes
    ----------
    mean, scale : ndarray, shape (d,)
    basis : ndarray, shape (d, r)
        Columns orthonormal to single precision, largest variance first.
    """

    mean: Array
    scale: Array
    basis: Array

    def __call__(self, x: Array) -> Array:
        """Coordinates of x, shape (n, d), in the subspace: shape (n, r)."""
        parts = [((part - self.mean) / self.scale) @ self.basis for part in _blocks(x)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def fit_subspace(x: Array, dims: int) -> Subspace:
    """Learn a subspace of at most ``dims`` directions from the rows of x, shape (n, d).

    Each dimension is standardised first, so that no unit of measure dominates. A constant dimension adds nothing.
    """
    mean, scale = x.mean(axis=0), _deviation(x)
    scale = np.where(scale > 1e-8 * np.maximum(1.0, np.abs(mean)), scale, np.inf)
    # Directions need no more than single precision: they are a choice of coordinates, and what follows is exact there.
    z = np.empty(x.shape, dtype=np.float32)
    for part, into in zip(_blocks(x), _blocks(z), strict=True):
        into[:] = (part - mean) / scale
    n, d = x.shape
    # Fewer rows than dimensions: the same directions from the n × n Gram matrix.
    gram = (z @ z.T if n < d else z.T @ z) / np.float32(n)
    size = len(gram)
    values, vectors = eigh(gram, subset_by_index=[max(0, size - dims), size - 1], driver="evr")
    values, vectors = values[::-1], vectors[:, ::-1]
    keep = values > _RANK_TOLERANCE * max(float(values[0]), 1e-30)
    values, vectors = values[keep].astype(np.float64), vectors[:, keep]
    basis = (z.T @ vectors) / np.sqrt(n * values) if n < d else vectors
    return Subspace(mean, scale, basis.astype(np.float64))


def _blocks(x: NDArray[Any]) -> list[NDArray[Any]]:
    """Views of the rows, few enough at a time that what is computed of them is small beside all."""
    return [x[start : start + BLOCK] for start in range(0, max(len(x), 1), BLOCK)]


def _deviation(x: Array) -> Array:
    """Standard deviation of each column, as ``x.std(axis=0)``, without another array of x's size."""
    if len(x) <= BLOCK:
        return x.std(axis=0)
    mean = x.mean(axis=0)
    return np.sqrt(sum(np.square(part - mean).sum(axis=0) for part in _blocks(x)) / len(x))


def group_means(x: Array, codes: Codes) -> tuple[Array, NDArray[np.int64]]:
    """Mean of each group's rows, shape (groups, d), and the groups' sizes; codes run from 0 without gaps."""
    counts = np.bincount(codes)
    # Much faster than np.add.at: rows of a group side by side, then one sum a group.
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(x[np.argsort(codes, kind="stable")], starts, axis=0)
    return sums / counts[:, None], counts


def pooled_scatter(x: Array, codes: Codes) -> tuple[Array, int]:
    """Pooled within-group covariance, shape (d, d), and its degrees of freedom (rows − groups, at least 1)."""
    means, counts = group_means(x, codes)
    residual = x - means[codes]
    dof = max(len(x) - len(counts), 1)
    return residual.T @ residual / dof, dof


def shrink(covariance: Array, amount: float) -> Array:
    """(1 − amount)·S + amount·tr(S)/d·I, amount in 0–1 (Ledoit and Wolf's target)."""
    d = len(covariance)
    return (1.0 - amount) * covariance + amount * np.trace(covariance) / d * np.eye(d)


@dataclass(frozen=True, eq=False)
class TwoCovariance:
    """The model after diagonalisation: noise is the identity, class effects have variances ``between``.

    Attributes
    ----------
    rotation : ndarray, shape (r, r)
        ``z @ rotation`` has within-class covariance I and between-class covariance diag(``between``).
    between : ndarray, shape (r,)
        λ ≥ 0, largest first; the variance of class effects over that of the noise.
    reference_noise : ndarray, shape (r,), or float
        Variance of the noise of references over that of queries: 1, and less where queries have more (`noisier`).
    """

    rotation: Array
    between: Array
    reference_noise: Array | float = 1.0

    def noisier(self, noise: Array, *, shrinkage: float, floor: float) -> tuple[TwoCovariance, Array]:
        """The model for queries with more noise than the rows that it was learnt from.

        Shrinkage is linear, so W + N is shrunk as W and N are on their own; in the coordinates of this model W is I and
        B is diagonal, and all that is left is to diagonalise both anew.

        Parameters
        ----------
        noise : ndarray, shape (r, r)
            Covariance N of the added noise, not rotated.
        shrinkage, floor : float
            Those of this model.

        Returns
        -------
        TwoCovariance, ndarray of shape (r, r)
            The model, and the matrix V that turns this model's coordinates into its own: ``z @ self.rotation @ V``.
        """
        bare = np.maximum(self.between - floor / (1.0 + floor) * self.between.mean(), 0.0)
        within = np.eye(len(bare)) + self.rotation.T @ shrink(noise, shrinkage) @ self.rotation
        values, vectors = eigh(np.diag(bare), within)
        order = np.argsort(values)[::-1]
        between = np.maximum(values[order], 0.0)
        turn = vectors[:, order]
        # References keep the noise that they had; what the turn mixes of it between directions is left out.
        kept = (turn**2 * np.broadcast_to(self.reference_noise, len(turn))[:, None]).sum(axis=0)
        return TwoCovariance(self.rotation @ turn, between + floor * between.mean(), kept), turn

    def predict(self, queries: Array, means: Array, counts: Array, centre: Array) -> Array:
        """Log-likelihood ratio of each query: made by the class, against by some class of the same population.

        Each class mean is drawn to the centre by g = λ/(λ + w/k), with w the references' noise, and the predictive
        variance is 1 + g·w/k: what is left of λ after k references. The population's density is N(centre, 1 + λ); it is
        the same for all classes, so it changes no ranking, and it makes the ratio of a query that fits no class low.

        Parameters
        ----------
        queries : ndarray, shape (n, r)
            Rotated.
        means : ndarray, shape (m, r)
            Rotated mean of each class's references.
        counts : ndarray, shape (m,)
            Independent references a class, k.
        centre : ndarray, shape (r,)
            Rotated mean of the class effects.

        Returns
        -------
        ndarray, shape (n, m)
            Nats; higher is more likely.
        """
        noise = self.reference_noise / counts[:, None]
        gain = self.between / (self.between + noise)
        variance = 1.0 + gain * noise
        weight = 1.0 / variance
        # Σ (q − μ)²/v expanded, so that nothing of shape (n, m, r) is built; offset by the centre against cancellation.
        q, mu = queries - centre, gain * (means - centre)
        distance = (q**2) @ weight.T - 2.0 * q @ (mu * weight).T + (mu**2 * weight).sum(axis=1)
        population = (q**2 / (1.0 + self.between)).sum(axis=1) + np.log1p(self.between).sum()
        return -0.5 * (distance + np.log(variance).sum(axis=1) - population[:, None])


def between_scatter(x: Array, cells: Codes, parents: Codes | None, within: Array) -> Array:
    """Covariance of the cells' true means inside their parents: that of the observed means less the noise in them."""
    means, counts = group_means(x, cells)
    if parents is None:
        parents = np.zeros(len(x), dtype=np.intp)
    owner = np.zeros(len(counts), dtype=np.intp)
    owner[cells] = parents
    observed, _ = pooled_scatter(means, np.unique(owner, return_inverse=True)[1])
    return observed - within * np.mean(1.0 / counts)


def fit_two_covariance(
    x: Array, cells: Codes, parents: Codes | None = None, *, shrinkage: float, floor: float
) -> TwoCovariance:
    """Estimate W and B from rows in cells (classes) that may lie in parents (prompts), and diagonalise both.

    Parameters
    ----------
    x : ndarray, shape (n, r)
    cells, parents : ndarray of int, shape (n,)
        Class of each row, and the group inside which classes are compared; None: one group.
    shrinkage : float
        Of W towards a multiple of the identity, 0–1.
    floor : float
        Added to every λ, as a share of the mean λ: classes that the background does not hold may differ in
        directions in which its classes agree.

    Raises
    ------
    NotEnoughReferencesError
        The rows of each cell are all alike, so that there is no noise to measure.
    """
    within, _ = pooled_scatter(x, cells)
    if np.trace(within) <= _NO_NOISE * x.var(axis=0).sum():
        raise NotEnoughReferencesError(
            "the images of each model have equal embeddings: nothing tells how far seeds scatter.",
            argument="references",
            fix="Add images that differ, or take euclid or cosine.",
        )
    shrunk = shrink(within, shrinkage)
    between = between_scatter(x, cells, parents, within)
    values, vectors = eigh(between, shrunk)
    order = np.argsort(values)[::-1]
    between_values = np.maximum(values[order], 0.0)
    between_values += floor * between_values.mean()
    return TwoCovariance(vectors[:, order], between_values)
