"""Who votes: honest people with noise, and an attacker who recognises images as well as was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import expit

from morelli.errors import ArrayError, InputError
from morelli.exposure.leaderboard import POINTS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

Direction = Literal["up", "down"]
DIRECTIONS: tuple[Direction, ...] = ("up", "down")


def win_probabilities(ratings: ArrayLike, noise: float = 0.0) -> Array:
    """P(an honest voter prefers i to j), shape (n, n): (1 − noise)/(1 + 10^((R_j − R_i)/400)) + noise/2.

    Parameters
    ----------
    ratings : array, shape (n,)
        Elo points of the models' true quality.
    noise : float, 0–1
        Share of the votes that are cast at random.

    Raises
    ------
    ArrayError, InputError
    """
    points = np.asarray(ratings, dtype=np.float64)
    if points.ndim != 1 or len(points) < 2 or not np.isfinite(points).all():
        raise ArrayError(f"needs a finite rating for each of two models or more; got {points.shape}.",
                         argument="ratings")  # fmt: skip
    if not 0.0 <= noise <= 1.0:
        raise InputError(f"must lie between 0 and 1; got {noise:g}.", argument="noise")
    return (1 - noise) * expit((points[:, None] - points) / POINTS) + noise / 2


def honest_wins(preference: Array, votes: int, simulations: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Counts of honest votes, shape (simulations, n, n): battles are drawn evenly among all pairs of models."""
    n = len(preference)
    first, second = np.triu_indices(n, 1)
    games = rng.multinomial(votes, np.full(len(first), 1 / len(first)), size=simulations)
    won = rng.binomial(games, preference[first, second])
    wins = np.zeros((simulations, n, n), dtype=np.int64)
    wins[:, first, second] = won
    wins[:, second, first] = games - won
    return wins


@dataclass(frozen=True)
class Attacker:
    """Views battles, looks for the target, and votes for or against it.

    Attributes
    ----------
    target : int
        Row of the confusion matrix.
    direction : {"up", "down"}
        Votes for the target, or against it.
    cover : bool
        Where exactly one image looks like the target's the vote is aimed. Otherwise: True: vote as an honest voter
        does, to look like one; False: leave the battle without a vote.
    """

    target: int
    direction: Direction = "up"
    cover: bool = False


@dataclass(frozen=True, eq=False)
class Votes:
    """What one viewed battle comes to.

    Attributes
    ----------
    outcome : ndarray, shape (n, n)
        Probability that a vote "row beats column" is cast; the sum is below 1 where battles are left without a vote.
    aimed : float
        Probability of a vote that is aimed at the target.
    on_target : float
        Probability that such a vote hits: the target is in the battle, and the vote goes the wanted way.
    """

    outcome: Array
    aimed: float
    on_target: float

    @property
    def cast(self) -> float:
        """Probability that a vote is cast at all."""
        return float(self.outcome.sum())


def attack_votes(confusion: ArrayLike, attacker: Attacker, preference: Array) -> Votes:
    """The attacker's votes, given how well images are recognised.

    The two images of a battle are judged independently: i is taken for the target with the measured probability
    C[i, target]. Where both or neither look like the target, no vote is aimed.

    Parameters
    ----------
    confusion : array, shape (n, c), rows sum to 1, c ≥ n
        Probability that an image of the row's model is attributed to the column's.
    attacker : Attacker
    preference : ndarray, shape (n, n)
        From `win_probabilities`: how cover votes fall.
    """
    table = np.asarray(confusion, dtype=np.float64)
    n = len(preference)
    if table.ndim != 2 or len(table) != n or table.shape[1] < n or not 0 <= attacker.target < n:
        raise ArrayError(f"needs a row for each of {n} models, and a target among them; got {table.shape}.",
                         argument="confusion")  # fmt: skip
    if attacker.direction not in DIRECTIONS:
        raise InputError(f"must be up or down; got {attacker.direction!r}.", argument="direction")
    seen = table[:, attacker.target]
    # taken[i, j]: in a battle of i and j, i alone is taken for the target.
    taken = seen[:, None] * (1 - seen)
    outcome = taken.copy() if attacker.direction == "up" else taken.T.copy()
    if attacker.cover:
        outcome += (1 - taken - taken.T) * preference
    np.fill_diagonal(outcome, 0.0)
    np.fill_diagonal(taken, 0.0)
    pairs = n * (n - 1) / 2
    hit = float(taken[attacker.target].sum()) / pairs
    return Votes(outcome / pairs, float(taken.sum()) / pairs, hit)
