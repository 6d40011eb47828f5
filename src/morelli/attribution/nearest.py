"""The space in which an attributor compares: distances in it say which references lie near a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.base import Attributor
from morelli.attribution.centroid import unit_vectors
from morelli.attribution.likelihood import LikelihoodAttributor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors


def coordinates(attributor: Attributor, vectors: Vectors) -> NDArray[np.float32]:
    """Coordinates of n embeddings between which Euclidean distance is the attributor's, shape (n, d).

    Under a `LikelihoodAttributor` with statistics that is the distance of its ``nearness``: the noise of each group of
    named vectors is white, and groups count alike whatever their sizes. Under any other, embeddings at unit length.
    """
    bank = attributor.bank_ if isinstance(attributor, LikelihoodAttributor) else None
    if bank is None:
        return unit_vectors(vectors).astype(np.float32)
    index = 1 if bank.has_same else 0
    parts = [pair[index] for pair in bank.project(vectors).values()]
    return np.concatenate([part / np.sqrt(part.shape[1] * len(parts)) for part in parts], axis=1).astype(np.float32)
