"""Nearest neighbours within one set, exactly, at the speed of single precision.

One Gram matrix in float32 gives all distances, each with a rounding error that has a bound. Whatever lies within that
bound of a row's smallest distance is looked at again in float64, so that the answer does not depend on the precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Rows = NDArray[np.intp]

_LARGEST = 1e18  # its square is still a float32
_UNIT = 2.0**-24  # unit roundoff of float32
#: Squared distances that differ by less than this part are equal: float64 sums of d squares are no better.
TIE = 1e-12
_CELLS = 4_000_000  # float32 distances held at once: 16 MB
_PAIRS = 1_000_000  # float64 differences held at once: 8 MB


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest other row of each of n rows.

    Attributes
    ----------
    index : ndarray of int, shape (n,)
        The nearest row; the first of those that tie.
    rows, columns : ndarray of int, shape (p,)
        All pairs (row, nearest row), several for a row whose nearest ones tie; sorted, p ≥ n.
    """

    index: Rows
    rows: Rows
    columns: Rows

    @property
    def ties(self) -> int:
        """How many rows have more than one nearest row."""
        return int((np.bincount(self.rows, minlength=len(self.index)) > 1).sum())


def nearest(x: ArrayLike) -> Neighbours:
    """The nearest neighbour of each row among the other rows, by Euclidean distance.

    Parameters
    ----------
    x : array, shape (n, d), finite
        n ≥ 2; taken as float32.

    Returns
    -------
    Neighbours
        As if every distance had been computed in float64. Equal rows are each other's neighbours: take duplicates
        out first (`distinct`).

    Raises
    ------
    ArrayError
        Another shape, fewer than two rows, NaN or infinity.
    """
    points = np.ascontiguousarray(x, dtype=np.float32)
    if points.ndim != 2 or len(points) < 2 or not points.shape[1]:
        raise ArrayError(f"needs the shape (n, d) with two rows at least; got {points.shape}.", argument="x")
    # Far from the origin the differences that matter would drown in the norms. Rounding the centre costs nothing:
    # it is the same for all rows.
    centred = points - points.mean(axis=0, dtype=np.float64).astype(np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", centred, centred, dtype=np.float64))
    if not (norms < _LARGEST).all():  # NaN is not either
        raise ArrayError("must be finite, and some numbers are NaN, infinite or too large.", argument="x")
    step = max(1, _CELLS // len(points))
    parts = [_candidates(centred, norms, start, start + step) for start in range(0, len(points), step)]
    rows, columns = (np.concatenate(side) for side in zip(*parts, strict=True))
    rows, columns = _settle(points, rows, columns)
    return Neighbours(columns[np.searchsorted(rows, np.arange(len(points)))], rows, columns)


def _candidates(centred: NDArray[np.float32], norms: NDArray[np.float64], start: int, stop: int) -> tuple[Rows, Rows]:
    """Pairs (row, column) of the rows start … stop − 1 that may be nearest neighbours."""
    n, d = centred.shape
    block = slice(start, min(stop, n))
    # The same array on both sides lets numpy call the symmetric product, which is half the work.
    half = centred @ centred.T if stop - start >= n else centred[block] @ centred.T
    # |x_i − x_j|²/2 without |x_i|²/2, which is the same for all of a row.
    np.subtract((norms**2 / 2).astype(np.float32), half, out=half)
    own = np.arange(start, block.stop)
    half[own - start, own] = np.inf
    # |fl(x·y) − x·y| ≤ γ_d |x||y| in any order of summation (Higham 2002, §3.1); the rest pays for the norms, the
    # subtraction and the centring. Twice, as both the smallest distance and its rival are off.
    largest = float(norms.max())
    gamma = d * _UNIT / (1 - d * _UNIT)
    slack = 2 * (gamma * norms[block] * largest + 8 * _UNIT * largest**2)
    limit = (half.min(axis=1) + slack).astype(np.float32)
    limit = np.nextafter(limit, np.float32(np.inf))
    rows, columns = np.nonzero(half <= limit[:, None])
    return rows + start, columns


def _settle(points: NDArray[np.float32], rows: Rows, columns: Rows) -> tuple[Rows, Rows]:
    """Of each row's candidates those that are nearest in float64."""
    count = np.bincount(rows, minlength=len(points))
    open_ = np.flatnonzero(count[rows] > 1)
    if not len(open_):
        return rows, columns
    squared = np.empty(len(open_))
    step = max(1, _PAIRS // points.shape[1])
    for start in range(0, len(open_), step):
        part = open_[start : start + step]
        gap = points[rows[part]].astype(np.float64) - points[columns[part]]
        squared[start : start + step] = np.einsum("ij,ij->i", gap, gap)
    least = np.full(len(points), np.inf)
    np.minimum.at(least, rows[open_], squared)
    keep = np.ones(len(rows), dtype=np.bool_)
    keep[open_] = squared <= least[rows[open_]] * (1 + TIE)
    return rows[keep], columns[keep]


def distinct(x: ArrayLike, models: ArrayLike) -> NDArray[np.bool_]:
    """Which rows to keep so that no embedding occurs twice: shape (n,).

    The first of several equal rows of one model is kept, as a file that was stored twice says nothing twice. Equal
    rows of different models are all left out: nobody knows whose they are.

    Parameters
    ----------
    x : array, shape (n, d)
    models : array of str, shape (n,)
    """
    points, names = np.asarray(x), np.asarray(models)
    keep = np.ones(len(points), dtype=np.bool_)
    # Equal rows have equal sums; only rows with equal sums are compared number by number.
    _, code, count = np.unique(points.sum(axis=1), return_inverse=True, return_counts=True)
    for group in np.flatnonzero(count > 1):
        members = np.flatnonzero(code == group)
        _, inside = np.unique(points[members], axis=0, return_inverse=True)
        inside = inside.reshape(-1)
        for number in range(int(inside.max()) + 1):
            same = members[inside == number]
            keep[same[1:]] = False
            if len(np.unique(names[same])) > 1:
                keep[same] = False
    return keep
