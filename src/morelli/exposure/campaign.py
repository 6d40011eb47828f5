"""How many battles an attacker must view, and votes must cast, until the target's place on the leaderboard moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.errors import ArrayError, InputError
from morelli.exposure.leaderboard import bradley_terry, elo, rank_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.exposure.voters import Attacker, Votes

    Array = NDArray[np.float64]

#: Places of one draw that cast no vote.
_NOTHING = -1
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Campaign:
    """One attack, simulated many times.

    Attributes
    ----------
    rank : ndarray of int, shape (s,)
        The target's place before the attack, 1 the best.
    battles, votes : ndarray, shape (s,)
        Viewed and cast when the place first differs in the wanted direction; infinite where it did not within ``most``
        battles. NaN where the target already has the first (for "down" the last) place.
    most : int
    """

    rank: NDArray[np.intp]
    battles: Array
    votes: Array
    most: int

    def summary(self, seed: int = 0, draws: int = 1000) -> dict[str, Any]:
        """Medians over the simulations that could move; None stands for "more than most".

        ``rank``: the mean place before the attack, of all simulations. ``possible``: the share of them in which there
        was a place to move to; ``moved``, ``battles`` and ``votes`` are of these alone, None where there is none.
        ``_range``: the middle 95 % of the simulations. ``_error``: the bootstrap interval of the median, which says how
        much more simulations would change it, and nothing of the data.
        """
        possible = np.isfinite(self.battles) | np.isinf(self.battles)
        moved = np.isfinite(self.battles)
        out: dict[str, Any] = {
            "rank": float(self.rank.mean()),
            "possible": float(possible.mean()),
            "moved": float(moved.sum() / possible.sum()) if possible.any() else None,
            "most": self.most,
        }
        for name, values in (("battles", self.battles[possible]), ("votes", self.votes[possible])):
            low, point, high = _quantiles(values, (0.025, 0.5, 0.975))
            out |= {name: point, f"{name}_range": [low, high], f"{name}_error": _error(values, seed, draws)}
        return out


def _quantiles(values: Array, at: Sequence[float]) -> list[float | None]:
    if not len(values):
        return [None] * len(at)
    # "lower": between a number and infinity there is no middle.
    found = np.quantile(values, at, method="lower")
    return [float(value) if np.isfinite(value) else None for value in found]


def _error(values: Array, seed: int, draws: int) -> list[float | None]:
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(max(len(values), 1), size=(draws, len(values)))]
    medians = np.quantile(drawn, 0.5, axis=1, method="lower") if len(values) else values
    return _quantiles(medians, (0.025, 0.975))


def _draw(votes: Votes, simulations: int, most: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Battles as numbers i·n + j for "i beats j", or −1; shape (simulations, most)."""
    n = len(votes.outcome)
    steps = np.cumsum(votes.outcome.ravel())
    found = np.searchsorted(steps, rng.random((simulations, most)), side="right").astype(np.int32)
    found[found >= n * n] = _NOTHING
    return found


def _place(strengths: Array, attacker: Attacker) -> NDArray[np.intp]:
    """The target's place; to draw level moves nobody, whichever the direction."""
    return rank_of(strengths, attacker.target, last_of_ties=attacker.direction == "up")


def _goal(rank: NDArray[np.intp], attacker: Attacker, n: int) -> NDArray[np.bool_]:
    """Where there is a place to move to."""
    return rank > 1 if attacker.direction == "up" else rank < n


def _reached(rank: NDArray[np.intp], before: NDArray[np.intp], attacker: Attacker) -> NDArray[np.bool_]:
    return rank < before if attacker.direction == "up" else rank > before


def bradley_terry_campaign(
    wins: NDArray[np.int64], votes: Votes, attacker: Attacker, most: int, rng: np.random.Generator
) -> Campaign:
    """Votes until the target's place moves on a Bradley–Terry leaderboard, by bisection.

    Bradley–Terry does not depend on the order of votes, so that any number of the attacker's battles can be tried at
    once. With mistaken votes among them the place may waver; the answer is then one crossing, the first for all that
    bisection sees: one battle fewer and the target has not moved.

    Parameters
    ----------
    wins : ndarray of int, shape (s, n, n)
        Honest votes of each simulation.
    votes : Votes
    attacker : Attacker
    most : int
        Battles that are viewed at most.
    rng : Generator
    """
    s, n, _ = wins.shape
    _check(most, wins)
    honest = bradley_terry(wins)
    before = _place(honest, attacker)
    drawn = _draw(votes, s, most, rng)
    low, high = np.zeros(s, dtype=np.int64), np.full(s, most, dtype=np.int64)
    open_ = np.flatnonzero(_goal(before, attacker, n))
    moved = np.zeros(s, dtype=np.bool_)

    def try_at(rows: NDArray[np.intp], battles: NDArray[np.int64]) -> NDArray[np.bool_]:
        theta = bradley_terry(wins[rows] + _counts(drawn[rows], battles, n), start=honest[rows])
        return _reached(_place(theta, attacker), before[rows], attacker)

    if len(open_):
        moved[open_] = try_at(open_, high[open_])
    rows = np.flatnonzero(moved)
    while len(rows):
        middle = (low[rows] + high[rows]) // 2
        hit = try_at(rows, middle)
        high[rows] = np.where(hit, middle, high[rows])
        low[rows] = np.where(hit, low[rows], middle)
        rows = rows[high[rows] - low[rows] > 1]
    return _campaign(before, attacker, n, moved, high, drawn, most)


def _counts(drawn: NDArray[np.int32], battles: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Wins among the first so many battles of each simulation, shape (s, n, n)."""
    out = np.empty((len(drawn), n * n), dtype=np.int64)
    for row, (line, stop) in enumerate(zip(drawn, battles, strict=True)):
        out[row] = np.bincount(line[:stop] + 1, minlength=n * n + 1)[1:]
    return out.reshape(-1, n, n)


def _campaign(
    before: NDArray[np.intp],
    attacker: Attacker,
    n: int,
    moved: NDArray[np.bool_],
    at: NDArray[np.int64],
    drawn: NDArray[np.int32],
    most: int,
) -> Campaign:
    battles = np.where(moved, at, np.inf).astype(np.float64)
    cast = np.cumsum(drawn != _NOTHING, axis=1)
    votes = np.where(moved, cast[np.arange(len(at)), np.minimum(at, most) - 1], np.inf)
    stuck = ~_goal(before, attacker, n)
    battles[stuck] = votes[stuck] = np.nan
    return Campaign(before, battles, votes, most)


def elo_campaign(
    ratings: Array, votes: Votes, attacker: Attacker, most: int, rng: np.random.Generator, k: float = 4.0
) -> Campaign:
    """The same on an Elo leaderboard: the attacker's votes come in one burst after the honest ones; first passage.

    Parameters
    ----------
    ratings : ndarray, shape (s, n)
        Points after the honest votes (`honest_elo`).
    k : float
        As in `morelli.exposure.leaderboard.elo`.
    """
    s, n = ratings.shape
    _check(most, ratings)
    before = _place(ratings, attacker)
    drawn = _draw(votes, s, most, rng)
    points = ratings.copy()
    at, moved = np.full(s, most, dtype=np.int64), np.zeros(s, dtype=np.bool_)
    waiting = np.flatnonzero(_goal(before, attacker, n))
    for t in range(most):
        if not len(waiting):
            break
        line = drawn[waiting, t : t + 1]
        points[waiting] = elo(points[waiting], np.where(line < 0, -1, line // n), line % n, k)
        hit = _reached(_place(points[waiting], attacker), before[waiting], attacker)
        at[waiting[hit]], moved[waiting[hit]] = t + 1, True
        waiting = waiting[~hit]
    return _campaign(before, attacker, n, moved, at, drawn, most)


def honest_elo(preference: Array, votes: int, simulations: int, rng: np.random.Generator, k: float = 4.0) -> Array:
    """Points of an Elo leaderboard after honest votes, shape (simulations, n); everyone begins at 0."""
    n = len(preference)
    points = np.zeros((simulations, n))
    for start in range(0, votes, _CHUNK):
        shape = (simulations, min(_CHUNK, votes - start))
        first = rng.integers(n, size=shape)
        second = (first + rng.integers(1, n, size=shape)) % n
        won = rng.random(shape) < preference[first, second]
        points = elo(points, np.where(won, first, second), np.where(won, second, first), k)
    return points


def _check(most: int, table: NDArray) -> None:
    if most < 1:
        raise InputError(f"must be 1 or more; got {most}.", argument="most")
    if not len(table):
        raise ArrayError("there is no simulation.", argument="simulations")
