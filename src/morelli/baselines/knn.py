"""The k nearest neighbours' votes as scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def vote_scores(distances: Array, labels: NDArray[np.intp], classes: int, k: int) -> Array:
    """Share of votes of each class among the k nearest, and below that who comes nearest at all.

    Votes alone leave most classes at zero, and a tie counts against a method. So a part of less than half a vote is
    added, which falls with the distance to the class's nearest example; it decides only between equal votes.

    Parameters
    ----------
    distances : ndarray, shape (n, r)
        From each query to each reference, 0 or more.
    labels : ndarray of int, shape (r,)
        Class of each reference; every class has one.
    classes : int
    k : int
        Cut to r where it is larger.

    Returns
    -------
    ndarray, shape (n, classes)
    """
    k = min(k, distances.shape[1])
    # Stable, so that equal distances vote in the references' order, whatever the machine.
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    votes = np.stack([(labels[nearest] == j).sum(axis=1) for j in range(classes)], axis=1)
    best = np.stack([distances[:, labels == j].min(axis=1) for j in range(classes)], axis=1)
    # Each query's own scale, so that its scores do not depend on the others'.
    scale = np.median(best, axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, 1.0)
    return (votes + 0.5 / (1.0 + best / scale)) / k


def euclidean(a: Array, b: Array) -> Array:
    """Distances between rows, shape (n, r)."""
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0.0))
