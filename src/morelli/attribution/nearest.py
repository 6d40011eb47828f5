"""The space in which an attributor compares, and which references lie nearest to a query there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.base import Attributor
from morelli.attribution.centroid import unit_vectors
from morelli.attribution.likelihood import LikelihoodAttributor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors

#: Rows that are worked on at once.
BLOCK = 4096
#: Rows from which on a space counts as large: fewer are compared in a few milliseconds.
LARGE = 20_000
#: Directions of the sketch, and rows whose variation chooses them.
SKETCHED = 32
SAMPLE = 1000
#: Rows that the sketch puts first are compared in full, to learn how near the nearest are.
TRIED = 256
SLACK = 1e-4


def coordinates(attributor: Attributor, vectors: Vectors) -> NDArray[np.float32]:
    """Coordinates of n embeddings between which Euclidean distance is the attributor's, shape (n, d).

    Under a `LikelihoodAttributor` with statistics that is the distance of its ``nearness``: the noise of each group of
    named vectors is white, and groups count alike whatever their sizes. Under any other, embeddings at unit length.
    """
    bank = attributor.bank_ if isinstance(attributor, LikelihoodAttributor) else None
    if bank is None:
        return _unit_rows(vectors)
    index = 1 if bank.has_same else 0
    parts = [pair[index] for pair in bank.project(vectors).values()]
    return np.concatenate([part / np.sqrt(part.shape[1] * len(parts)) for part in parts], axis=1).astype(np.float32)


def _unit_rows(vectors: Vectors) -> NDArray[np.float32]:
    """Unit vectors in single precision, made a block at a time: the double precision of all would not fit."""
    count = len(next(iter(vectors.values())))
    blocks = [
        unit_vectors({name: values[start : start + BLOCK] for name, values in vectors.items()}).astype(np.float32)
        for start in range(0, max(count, 1), BLOCK)
    ]
    return np.concatenate(blocks)


@dataclass(frozen=True, eq=False)
class _Sketch:
    """Rows' coordinates about a middle along orthonormal directions, and the largest of them without its sign."""

    middle: NDArray[np.float32]
    basis: NDArray[np.float32]
    rows: NDArray[np.float32]
    scale: float


def _sketch(space: NDArray[np.float32]) -> _Sketch:
    sample = space[:: max(1, len(space) // SAMPLE)]
    middle = sample.mean(axis=0)
    axes = np.linalg.svd(sample - middle, full_matrices=False)[2]
    basis = np.ascontiguousarray(axes[:SKETCHED].T)
    blocks = [(space[start : start + BLOCK] - middle) @ basis for start in range(0, len(space), BLOCK)]
    rows = np.concatenate(blocks)
    return _Sketch(middle, basis, rows, float(np.abs(rows).max()))


class Nearest:
    """The rows of a space that lie nearest to a query, exactly, without reading all of a large space for each query.

    Distance within a subspace is never above the distance itself. A sketch holds every row's coordinates in the few
    directions along which a sample varies most: rows that are too far in the sketch already are left unread.

    Parameters
    ----------
    space : ndarray, shape (n, d), float32
    """

    def __init__(self, space: NDArray[np.float32]) -> None:
        self.space = space
        self._made: _Sketch | None = None

    def find(
        self, query: NDArray[np.float32], count: int, rows: NDArray[np.intp] | None = None
    ) -> list[tuple[int, float]]:
        """Row and Euclidean distance of the nearest rows, nearest first; of rows as near, the earlier first.

        Parameters
        ----------
        query : ndarray, shape (1, d), float32
        count : int
        rows : ndarray of int, optional
            Those that are compared, ascending; None: all.
        """
        number = len(self.space) if rows is None else len(rows)
        chosen = np.arange(number) if rows is None else rows
        if number > LARGE and count < number:
            chosen = self._near_enough(query, count, chosen)
        found = self._distances(query, chosen)
        order = np.argsort(found, kind="stable")[:count]
        return [(int(chosen[i]), float(found[i])) for i in order]

    def _near_enough(self, query: NDArray[np.float32], count: int, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those rows that the sketch does not show to be farther than the nearest ones."""
        made = self._made = self._made or _sketch(self.space)
        sketch = made.rows if len(rows) == len(made.rows) else made.rows[rows]
        low = np.linalg.norm(sketch - (query - made.middle) @ made.basis, axis=1)
        tried = min(max(TRIED, count), len(rows))
        first = rows[np.argpartition(low, tried - 1)[:tried]]
        reached = float(np.partition(self._distances(query, first), count - 1)[count - 1])
        return rows[low <= reached + SLACK * (reached + made.scale)]  # a hair farther, for all of it is rounded

    def _distances(self, query: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
        return np.concatenate([np.linalg.norm(self.space[block] - query, axis=1) for block in blocks])
