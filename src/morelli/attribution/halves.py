"""Models cut in halves, three ways, so that every pair of models is together on one side of a cut once.

What a pair of models is judged by (statistics, the pairs of a threshold or a calibration) is then taken from the other
side: from models that are neither of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import NotEnoughReferencesError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from morelli.attribution.pairs import Pairs

    Group = NDArray[np.intp]

GROUPS = 4
#: The groups on one side of each cut; the others are on its other side.
CUTS = ((0, 1), (0, 2), (0, 3))


@dataclass(frozen=True, eq=False)
class Side:
    """One side of one cut.

    Attributes
    ----------
    here, there : ndarray of bool, shape (n,)
        Images whose models are on this side; on the other one.
    cut : int
        Which of the three.
    """

    here: NDArray[np.bool_]
    there: NDArray[np.bool_]
    cut: int


@dataclass(frozen=True, eq=False)
class Halves:
    """Group (0–3) of each image's model.

    Attributes
    ----------
    groups : ndarray of int, shape (n,)
    families_whole : bool
        Whether no family is in two groups.
    """

    groups: Group
    families_whole: bool

    def __iter__(self) -> Iterator[Side]:
        for cut, members in enumerate(CUTS):
            here = np.isin(self.groups, members)
            yield Side(here, ~here, cut)
            yield Side(~here, here, cut)

    def judged(self, side: Side, pairs: Pairs) -> NDArray[np.bool_]:
        """Which pairs are judged on this side, shape (p,): each pair is on exactly one side of one cut.

        A pair of two groups is together on one side of one cut only; one inside a group is on a side of every cut, and
        takes turns.
        """
        a, b = self.groups[pairs.first], self.groups[pairs.second]
        together = side.here[pairs.first] & side.here[pairs.second]
        return together & ((a != b) | (a % len(CUTS) == side.cut))


def deal_halves(models: ArrayLike, families: ArrayLike, seed: int = 0) -> Halves:
    """Deal the models to four groups of about as many models, families whole where there are four of them.

    Parameters
    ----------
    models, families : array of str, shape (n,)
    seed : int

    Raises
    ------
    NotEnoughReferencesError
        For fewer than four models.
    """
    names, first, codes = np.unique(np.asarray(models), return_index=True, return_inverse=True)
    if len(names) < GROUPS:
        raise NotEnoughReferencesError(
            f"judging pairs by what other models teach takes {GROUPS} models, and here are {len(names)}.",
            argument="dataset",
            fix="Add images of other models.",
        )
    kin = np.asarray(families)[first]
    whole = len(np.unique(kin)) >= GROUPS
    units = np.unique(kin if whole else names, return_inverse=True)[1]
    sizes = np.bincount(units)
    order = np.random.default_rng(seed).permutation(len(sizes))
    group_of, load = np.empty(len(sizes), dtype=np.intp), np.zeros(GROUPS, dtype=np.intp)
    # The largest families first, each to the group with the fewest models: the groups come out about equal.
    for unit in order[np.argsort(-sizes[order], kind="stable")]:
        group_of[unit] = load.argmin()
        load[load.argmin()] += sizes[unit]
    return Halves(group_of[units][codes], whole)


def across_halves(
    halves: Halves, pairs: Pairs, judge: Callable[[Side, Pairs], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Every pair's score by what the other side teaches, shape (p,).

    Parameters
    ----------
    judge : callable
        ``judge(side, pairs)``: scores of pairs of ``side.here``, learnt on ``side.there`` alone.
    """
    out = np.full(len(pairs), np.nan)
    for side in halves:
        mine = halves.judged(side, pairs)
        if mine.any():
            out[mine] = judge(side, pairs.take(mine))
    return out
