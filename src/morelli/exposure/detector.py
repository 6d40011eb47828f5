"""What a simple watch over accounts catches: votes against the majority, and votes that take too long or too short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from morelli.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.exposure.voters import Votes

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Watch:
    """Accounts, and how long they take for a vote.

    Attributes
    ----------
    accounts : int
        Of each kind that are simulated.
    votes : int
        Cast by each account.
    false_alarm : float
        Share of the honest accounts that may be flagged, 0–1.
    seconds, attack_seconds : float
        Median time that an honest voter, and the attacker, takes for a vote. The attacker waits for references and may
        be slow, or works with a script and may be quick. Assumptions, not measurements.
    spread, between : float
        Standard deviation of the logarithm of the time, from vote to vote and from account to account.
    """

    accounts: int = 4000
    votes: int = 30
    false_alarm: float = 0.01
    seconds: float = 20.0
    attack_seconds: float = 40.0
    spread: float = 0.8
    between: float = 0.4


def detect(preference: Array, attack: Votes, watch: Watch, rng: np.random.Generator) -> dict[str, Any]:
    """Share of the attacker's votes that lie in flagged accounts, at a stated rate of false alarms.

    Agreement: an account is suspicious if few of its votes are for the model that most honest voters prefer. Timing:
    if the mean logarithm of its times is far from that of honest accounts, to either side. Both: either of the two,
    each at the rate 1 − √(1 − rate), as among honest accounts the two are independent.

    Thresholds are learnt from honest accounts of their own; the false alarms that are reported are those of others.
    Agreement takes few values, so that many accounts lie at the threshold itself: each of them is flagged with the
    probability that makes the learnt rate the stated one. Figures are the mean over those draws.

    Parameters
    ----------
    preference : ndarray, shape (n, n)
        From `win_probabilities`.
    attack : Votes
    watch : Watch
    rng : Generator

    Returns
    -------
    dict
        false_alarm, votes_per_account; and for agreement, timing and both: {caught, false_alarm}, the second as it
        came out. ``caught`` is None where the attacker casts no vote.

    Raises
    ------
    InputError
        A number of the watch out of its range.
    """
    check_watch(watch)
    n = len(preference)
    first, second = np.triu_indices(n, 1)
    honest = np.zeros((n, n))
    honest[first, second] = preference[first, second] / len(first)
    honest[second, first] = preference[second, first] / len(first)
    majority = np.where(preference > 0.5, 1.0, np.where(preference < 0.5, 0.0, 0.5))
    count = watch.accounts
    kinds = {
        "learnt": (honest, watch.seconds, 2 * count),
        "honest": (honest, watch.seconds, count),
        "attack": (attack.outcome, watch.attack_seconds, count),
    }
    seen = {
        name: (_agreement(outcome, majority, size, watch.votes, rng), _times(seconds, size, watch, rng))
        for name, (outcome, seconds, size) in kinds.items()
        if outcome.sum() > 0
    }
    middle = float(np.median(seen["learnt"][1]))
    # Low is suspicious in both.
    values = {kind: (a, -np.abs(t - middle)) for kind, (a, t) in seen.items()}
    agreement, nearness = values["learnt"]
    alone, each = watch.false_alarm, 1 - np.sqrt(1 - watch.false_alarm)
    out: dict[str, Any] = {"false_alarm": alone, "votes_per_account": watch.votes}
    for name, few, far in (
        ("agreement", _cut(agreement, alone), _NEVER),
        ("timing", _NEVER, _cut(nearness, alone)),
        ("both", _cut(agreement, each), _cut(nearness, each)),
    ):
        flagged = {
            kind: float((1 - (1 - few.flagged(a)) * (1 - far.flagged(t))).mean()) for kind, (a, t) in values.items()
        }
        out[name] = {"caught": flagged.get("attack"), "false_alarm": flagged["honest"]}
    return out


class _Cut(NamedTuple):
    """Accounts below ``at`` are flagged, and those at it with the probability ``chance``."""

    at: float
    chance: float

    def flagged(self, values: Array) -> Array:
        """The probability that each account is flagged."""
        return (values < self.at) + self.chance * (values == self.at)


_NEVER = _Cut(-np.inf, 0.0)


def _cut(values: Array, rate: float) -> _Cut:
    """The cut that flags this share of the values: expected, over the draws at the threshold."""
    count = len(values)
    at = np.sort(values)[min(int(rate * count), count - 1)]
    below, there = int((values < at).sum()), int((values == at).sum())
    return _Cut(float(at), (rate * count - below) / there)


def _agreement(outcome: Array, majority: Array, accounts: int, votes: int, rng: np.random.Generator) -> Array:
    """Share of each account's votes that go with the majority; where it is split, half a vote."""
    p = outcome / outcome.sum()
    values, code = np.unique(majority, return_inverse=True)
    weight = np.bincount(code.ravel(), weights=p.ravel(), minlength=len(values))
    return rng.multinomial(votes, weight / weight.sum(), size=accounts) @ values / votes


def _times(seconds: float, accounts: int, watch: Watch, rng: np.random.Generator) -> Array:
    """Mean logarithm of the times of each account's votes."""
    spread = np.hypot(watch.between, watch.spread / np.sqrt(watch.votes))
    return np.log(seconds) + spread * rng.standard_normal(accounts)


def check_watch(watch: Watch) -> None:
    """Refuse numbers out of their range.

    Raises
    ------
    InputError
    """
    if not 0.0 < watch.false_alarm < 1.0:
        raise InputError(f"must lie between 0 and 1; got {watch.false_alarm:g}.", argument="false_alarm")
    for name in ("accounts", "votes", "seconds", "attack_seconds", "spread"):
        if not getattr(watch, name) > 0:
            raise InputError(f"must be positive; got {getattr(watch, name):g}.", argument=name)
    if watch.between < 0:
        raise InputError(f"must not be negative; got {watch.between:g}.", argument="between")
