"""Nearest centroid, as paper 000 publishes it: c_j = mean of the references' embeddings, the nearest one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.attribution.base import Attributor, class_means, stack
from morelli.errors import NotEnoughReferencesError
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors


def unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows divided by their Euclidean length; a row of zeros stays."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)


def unit_vectors(vectors: Vectors, names: tuple[str, ...] | None = None) -> NDArray[np.float64]:
    """Each named vector at unit length, side by side, the whole at unit length again: shape (n, sum of d)."""
    chosen = tuple(vectors) if names is None else names
    parts = [unit(stack(vectors, (name,))) for name in chosen]
    return unit(np.concatenate(parts, axis=1) if parts else stack(vectors))


class _NearestCentroid(Attributor):
    uses_background = False

    def fit(self, background: LabelledEmbeddings | None) -> Self:
        """Keep the background: it serves as references where a query comes without its own."""
        self.background_ = background
        self.models_ = np.unique(background.models) if background is not None else np.empty(0, dtype=np.str_)
        # Centroids of the background by names of vectors, made when first asked for: not from every image each query.
        self.means_: dict[tuple[str, ...], NDArray[np.float64]] = {}
        return self

    def _centroids(
        self, references: LabelledEmbeddings | None, models: NDArray[np.str_], names: tuple[str, ...]
    ) -> NDArray[np.float64]:
        if references is not None and len(references):
            return class_means(unit_vectors(references.vectors, names), references.models, models)
        background = getattr(self, "background_", None)
        if background is None or not len(background):
            raise NotEnoughReferencesError("there is nothing to compare with.", argument="references")
        if names not in self.means_:
            self.means_[names] = _means_by_model(background, models, names)
        return self.means_[names]


def _means_by_model(
    background: LabelledEmbeddings, models: NDArray[np.str_], names: tuple[str, ...]
) -> NDArray[np.float64]:
    """`class_means` of unit vectors, with one model's images at a time in memory."""
    order = np.argsort(background.models, kind="stable")
    ends = np.searchsorted(background.models[order], models, side="right")
    starts = np.searchsorted(background.models[order], models, side="left")
    parts = [order[start:end] for start, end in zip(starts, ends, strict=True)]
    return np.stack(
        [unit_vectors({name: background.vectors[name][rows] for name in names}, names).mean(axis=0) for rows in parts]
    )


class Euclid(_NearestCentroid):
    """Paper 000: argmin_j ‖φ(query) − c_j‖₂ over unit-norm embeddings, centroids not normalised again.

    An embedding of several named vectors is each of them at unit length, side by side, divided by the square root of
    their number.

    Examples
    --------
    >>> import numpy as np
    >>> from morelli.types import LabelledEmbeddings
    >>> angles = np.radians([0.0, 10.0, 80.0, 90.0])
    >>> x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    >>> labels = np.array(["a", "a", "b", "b"])
    >>> references = LabelledEmbeddings({"v": x}, labels, np.array(["p"] * 4), labels)
    >>> scores = Euclid().scores({"v": x[:1]}, references)
    >>> Euclid().candidates(references)[scores.argmax(axis=1)]
    array(['a'], dtype='<U1')
    """

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> NDArray[np.float64]:
        """Minus the distance to each centroid, in −2–0."""
        centroids = self._centroids(references, self.candidates(references), tuple(vectors))
        x = unit_vectors(vectors)
        squared = (x**2).sum(1)[:, None] - 2.0 * x @ centroids.T + (centroids**2).sum(1)
        return -np.sqrt(np.maximum(squared, 0.0))


class Cosine(_NearestCentroid):
    """The same with the cosine between the embedding and the centroid, which ignores how tight a cluster is."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> NDArray[np.float64]:
        """Cosine to each centroid, in −1–1."""
        centroids = self._centroids(references, self.candidates(references), tuple(vectors))
        return unit_vectors(vectors) @ unit(centroids).T
