"""The space in which an attributor compares, and which references lie nearest to a query there."""

from __future__ import annotations

from collections.abc import Callable
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
#: Rounding of squared distances in single precision, as a share of what they are made of.
SLACK = 2e-5


def coordinates(attributor: Attributor, vectors: Vectors) -> NDArray[np.float32]:
    """Coordinates of n embeddings between which Euclidean distance is the attributor's, shape (n, d).

    Under a `LikelihoodAttributor` with statistics that is the distance of its ``nearness``: the noise of each group of
    named vectors is white, and groups count alike whatever their sizes. Under any other, embeddings at unit length.
    """
    bank = attributor.bank_ if isinstance(attributor, LikelihoodAttributor) else None
    if bank is None:
        return _in_blocks(unit_vectors, vectors)
    index = 1 if bank.has_same else 0

    def whitened(some: Vectors) -> NDArray[np.float64]:
        parts = [pair[index] for pair in bank.project(some).values()]
        return np.concatenate([part / np.sqrt(part.shape[1] * len(parts)) for part in parts], axis=1)

    return _in_blocks(whitened, vectors)


def _in_blocks(function: Callable[[Vectors], NDArray[np.float64]], vectors: Vectors) -> NDArray[np.float32]:
    """Rows in single precision, made a block at a time: the double precision of all would not fit."""
    count = len(next(iter(vectors.values())))
    first = function({name: values[:BLOCK] for name, values in vectors.items()})
    out = np.empty((count, first.shape[1]), np.float32)
    out[:BLOCK] = first
    for start in range(BLOCK, count, BLOCK):
        block = slice(start, start + BLOCK)
        out[block] = function({name: values[block] for name, values in vectors.items()})
    return out


@dataclass(frozen=True, eq=False)
class _Sketch:
    """Rows about a middle: coordinates along orthonormal directions, and squared lengths.

    Attributes
    ----------
    middle : ndarray, shape (d,)
    basis : ndarray, shape (d, s)
    rows : ndarray, shape (n, s)
    short, whole : ndarray, shape (n,)
        Squared length of ``rows``, and of the rows about the middle themselves.
    longest : float
        Largest length of a row of the space, from zero.
    """

    middle: NDArray[np.float32]
    basis: NDArray[np.float32]
    rows: NDArray[np.float32]
    short: NDArray[np.float32]
    whole: NDArray[np.float32]
    longest: float


def _sketch(space: NDArray[np.float32]) -> _Sketch:
    sample = space[:: max(1, len(space) // SAMPLE)]
    middle = sample.mean(axis=0)
    axes = np.linalg.svd(sample - middle, full_matrices=False)[2]
    basis = np.ascontiguousarray(axes[:SKETCHED].T)
    rows = np.empty((len(space), basis.shape[1]), np.float32)
    short, whole = np.empty(len(space), np.float32), np.empty(len(space), np.float32)
    longest = 0.0
    for start in range(0, len(space), BLOCK):
        block = slice(start, start + BLOCK)
        moved = space[block] - middle
        rows[block] = moved @ basis
        short[block], whole[block] = _squares(rows[block]), _squares(moved)
        longest = max(longest, float(_squares(space[block]).max()) ** 0.5)
    return _Sketch(middle, basis, rows, short, whole, longest)


def _squares(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.einsum("nd,nd->n", rows, rows)


class Nearest:
    """The rows of a space that lie nearest to a query, exactly, without reading all of a large space for each query.

    Distance within a subspace is never above the distance itself. A sketch holds every row's coordinates in the few
    directions along which a sample varies most: rows that are too far in the sketch already are left unread. Those that
    are left are screened by squared distances from inner products, which are quick and rounded; what comes near enough
    for its rounding is compared in full.

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
        if number > LARGE and count < number:
            chosen = self._near_enough(query, count, rows)
        else:
            chosen = np.arange(number) if rows is None else rows
        found = self._distances(query, chosen)
        order = np.argsort(found, kind="stable")[:count]
        return [(int(chosen[i]), float(found[i])) for i in order]

    def _near_enough(self, query: NDArray[np.float32], count: int, rows: NDArray[np.intp] | None) -> NDArray[np.intp]:
        """Those rows that may be among the nearest ones, ascending."""
        made = self._made = self._made or _sketch(self.space)
        moved = query[0] - made.middle
        far = float(moved @ moved)
        short = moved @ made.basis
        # Of all rows, for to gather many is slower.
        low = made.short - 2 * (made.rows @ short) + float(short @ short)
        if rows is not None and len(rows) < len(low):
            low = low[rows]
        tried = min(max(TRIED, count), len(low))
        first = np.argpartition(low, tried - 1)[:tried]
        some = self._distances(query, first if rows is None else rows[first])
        reached = float(np.partition(some, count - 1)[count - 1])
        # How much a square may be off for rounding, and the distances that it is held against.
        slack = SLACK * (float(made.whole.max()) + far + made.longest * far**0.5 + reached**2)
        left = np.flatnonzero(low <= reached**2 + slack)
        chosen = left if rows is None else rows[left]
        return chosen if len(chosen) <= BLOCK else chosen[self._squared(moved, made, chosen) <= reached**2 + slack]

    def _squared(self, moved: NDArray[np.float32], made: _Sketch, rows: NDArray[np.intp]) -> NDArray[np.floating]:
        """Squared distances of rows to the query, which is given about the middle, from inner products."""
        if 2 * len(rows) > len(self.space):
            inner = (self.space @ moved)[rows]
        else:
            inner = np.concatenate(
                [self.space[rows[start : start + BLOCK]] @ moved for start in range(0, len(rows), BLOCK)]
            )
        return made.whole[rows] + float(moved @ moved) - 2 * (inner - float(made.middle @ moved))

    def _distances(self, query: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
        return np.concatenate([np.linalg.norm(self.space[block] - query, axis=1) for block in blocks])
