"""All pairs of images by how their deployments are related: how alike they are, and how well the kinds are told apart.

A pair counts only where its images have different seeds: a model that starts two pictures from the same noise would
otherwise make them alike, whatever its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.centroid import unit_vectors
from morelli.errors import ArrayError
from morelli.evaluation.bootstrap import Interval, expanded_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.intp]

#: Bins of the cosine from −1 to 1. Two scores of one bin count as a tie; an odd number keeps 0 off an edge.
BINS = 1001
DRAWS = 2000
LEVEL = 0.95
_CELLS = 2_000_000  # weights held at once while drawing: 16 MB
#: Kinds of pairs and the codes that make them up. Pairs of one deployment have the code 0 where its weights have other
#: settings too, and else 1.
KINDS: Mapping[str, tuple[int, ...]] = {
    "one deployment": (0, 1),
    "same weights, other settings": (2,),
    "same base, other weights": (3,),
    "other bases": (4,),
}
CODES = 5
#: What is told from what: the first kind is to be the more alike.
QUESTIONS: Mapping[tuple[str, str], tuple[tuple[int, ...], tuple[int, ...]]] = {
    ("one deployment", "other bases"): ((0, 1), (4,)),
    ("same weights, other settings", "other weights"): ((2,), (3, 4)),
    ("same base, other weights", "other bases"): ((3,), (4,)),
    ("one deployment, of weights with several", "same weights, other settings"): ((0,), (2,)),
}


def pair_codes(weights: Sequence[str], bases: Sequence[str]) -> Integers:
    """Code of each pair of deployments, shape (D, D); see `KINDS`.

    Parameters
    ----------
    weights, bases : sequence of str, length D
        Of each deployment.
    """
    w, b = np.array(weights), np.array(bases)
    same = w[:, None] == w
    codes = np.where(same, 2, np.where(b[:, None] == b, 3, 4))
    np.fill_diagonal(codes, np.where(same.sum(axis=1) > 1, 0, 1))
    return codes


def centred(vectors: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Embeddings less their mean over all images, each named vector and then the whole at unit length: (n, all d)."""
    moved = {name: x - x.mean(axis=0, dtype=np.float64) for name, x in vectors.items()}
    return unit_vectors(moved).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Table:
    """Pairs by what prompts they have: a row for each two prompts, or for each one.

    Attributes
    ----------
    first, second : ndarray of int, shape (r,)
        Prompts of a row, from 0; equal in all rows where pairs share their prompt.
    counts : ndarray, shape (r, CODES, BINS)
        Pairs by code and cosine.
    sums, squares : ndarray, shape (r, CODES)
        Of the cosines.
    """

    first: Integers
    second: Integers
    counts: NDArray[np.float32]
    sums: Floats
    squares: Floats


@dataclass(frozen=True, eq=False)
class Likeness:
    """How alike images are.

    Attributes
    ----------
    different, same : Table
        Pairs of different prompts, and of one prompt.
    matrix : ndarray, shape (D, D)
        Mean cosine of two deployments' images of different prompts; NaN where there is no pair.
    """

    different: Table
    same: Table
    matrix: Floats


def compare(
    unit: NDArray[np.float32], deployments: Integers, prompts: Integers, seeds: Integers, codes: Integers
) -> Likeness:
    """Cosines of all pairs of images with different seeds.

    Parameters
    ----------
    unit : ndarray, shape (n, d)
        Embeddings at unit length.
    deployments, prompts, seeds : ndarray of int, shape (n,)
        Deployments and prompts are numbered from 0.
    codes : ndarray of int, shape (D, D)
        As `pair_codes` gives them.

    Raises
    ------
    ArrayError
        Lengths differ.
    """
    if unit.ndim != 2 or any(column.shape != unit.shape[:1] for column in (deployments, prompts, seeds)):
        raise ArrayError(f"needs a label an image, got embeddings of shape {unit.shape}.", argument="unit")
    rows = [np.flatnonzero(prompts == number) for number in range(int(prompts.max()) + 1)]
    one_hot = np.eye(len(codes), dtype=np.float32)[deployments]
    total, pairs = np.zeros(codes.shape), np.zeros(codes.shape)
    made: dict[bool, list[tuple[int, int, Floats, Floats, Floats]]] = {False: [], True: []}
    for i, here in enumerate(rows):
        for j, there in enumerate(rows[i:], i):
            cosine = np.clip(unit[here] @ unit[there].T, -1, 1)
            usable = seeds[here][:, None] != seeds[there]
            if i == j:
                usable &= np.tri(len(here), k=-1, dtype=np.bool_)
            else:
                total += one_hot[here].T @ (cosine * usable) @ one_hot[there]
                pairs += one_hot[here].T @ usable.astype(np.float32) @ one_hot[there]
            code = codes[deployments[here][:, None], deployments[there]][usable]
            made[i == j].append((i, j, *_binned(cosine[usable], code)))
    total, pairs = total + total.T, pairs + pairs.T
    matrix = np.divide(total, pairs, out=np.full_like(total, np.nan), where=pairs > 0)
    return Likeness(_table(made[False]), _table(made[True]), matrix)


def _binned(cosine: NDArray[np.float32], code: Integers) -> tuple[Floats, Floats, Floats]:
    place = np.minimum(((cosine + 1) * (BINS / 2)).astype(np.intp), BINS - 1)
    counts = np.bincount(code * BINS + place, minlength=CODES * BINS).reshape(CODES, BINS)
    sums, squares = (np.bincount(code, cosine**power, CODES).astype(np.float64) for power in (1, 2))
    return counts.astype(np.float64), sums, squares


def _table(rows: Sequence[tuple[int, int, Floats, Floats, Floats]]) -> Table:
    first, second = (np.array([row[at] for row in rows], dtype=np.intp) for at in (0, 1))
    counts = np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, CODES, BINS)
    sums, squares = (np.array([row[at] for row in rows]).reshape(-1, CODES) for at in (3, 4))
    return Table(first, second, counts, sums, squares)


class Resampled:
    """Figures of a table with their intervals when whole prompts are drawn with replacement.

    A prompt that is drawn w times counts w times: a pair of one prompt has the weight w, a pair of two prompts the
    product of their weights. Quantiles are widened for few prompts as in `morelli.evaluation.bootstrap`.

    Parameters
    ----------
    table : Table
    seed : int
    draws : int
    """

    def __init__(self, table: Table, seed: int = 0, draws: int = DRAWS) -> None:
        prompts = np.unique(np.concatenate([table.first, table.second]))
        self._table = table
        # Two prompts make one row of pairs, whose resamples would all be the same.
        enough = len(prompts) >= (2 if np.array_equal(table.first, table.second) else 3)
        self._tail = expanded_tail(LEVEL, len(prompts)) if enough else float("nan")
        self._counts = table.counts.sum(axis=0, dtype=np.float64)
        chosen = np.random.default_rng(seed).multinomial(len(prompts), np.full(len(prompts), 1 / len(prompts)), draws)
        flat, step = table.counts.reshape(len(table.first), -1), max(1, _CELLS // max(1, len(table.first)))
        counts, sums = [], []
        for start in range(0, draws if enough else 0, step):
            weights = self._spread(chosen[start : start + step], prompts)
            counts.append(weights.astype(np.float32) @ flat)
            sums.append(weights @ table.sums)
        self._drawn = np.concatenate(counts or [np.empty((0, CODES * BINS))]).reshape(-1, CODES, BINS)
        self._drawn_sums = np.concatenate(sums or [np.empty((0, CODES))])

    def _spread(self, chosen: NDArray[np.int64], prompts: Integers) -> Floats:
        first, second = (np.searchsorted(prompts, side) for side in (self._table.first, self._table.second))
        weights = chosen[:, first] if np.array_equal(first, second) else chosen[:, first] * chosen[:, second]
        return weights.astype(np.float64)

    def count(self, codes: Sequence[int]) -> int:
        """How many pairs there are."""
        return int(self._counts[list(codes)].sum())

    def spread(self, codes: Sequence[int]) -> float:
        """Standard deviation of the cosines over pairs; NaN where there is none."""
        count, chosen = self.count(codes), list(codes)
        if not count:
            return float("nan")
        mean = self._table.sums[:, chosen].sum() / count
        return float(np.sqrt(max(0.0, self._table.squares[:, chosen].sum() / count - mean**2)))

    def mean(self, codes: Sequence[int]) -> Interval:
        """Mean cosine."""
        chosen = list(codes)

        def figure(counts: Floats, sums: Floats) -> Floats:
            return sums[..., chosen].sum(axis=-1) / counts[..., chosen, :].sum(axis=(-2, -1))

        return self._interval(figure)

    def area(self, codes: Sequence[int], others: Sequence[int]) -> Interval:
        """Probability that a pair of the first codes is more alike than one of the others, ties counting half."""
        one, other = list(codes), list(others)

        def figure(counts: Floats, _: Floats) -> Floats:
            p, q = (counts[..., chosen, :].sum(axis=-2, dtype=np.float64) for chosen in (one, other))
            below = np.cumsum(q, axis=-1) - q / 2
            return (p * below).sum(axis=-1) / (p.sum(axis=-1) * q.sum(axis=-1))

        return self._interval(figure)

    def _interval(self, figure: Callable[[Floats, Floats], Floats]) -> Interval:
        with np.errstate(divide="ignore", invalid="ignore"):
            point = float(figure(self._counts, self._table.sums.sum(axis=0)))
            figures = figure(self._drawn, self._drawn_sums)
        if np.isnan(point) or np.isnan(self._tail) or np.isnan(figures).all():
            return Interval(point, float("nan"), float("nan"))
        low, high = np.nanquantile(figures, [self._tail, 1 - self._tail])
        return Interval(point, float(low), float(high))
