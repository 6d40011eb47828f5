"""The vote simulation as one call: targets, leaderboards, with and without a defence, and what a watch catches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.errors import InputError, UnknownNameError
from morelli.exposure.campaign import Campaign, bradley_terry_campaign, elo_campaign, honest_elo
from morelli.exposure.detector import Watch, check_watch, detect
from morelli.exposure.ratings import check_rated
from morelli.exposure.voters import DIRECTIONS, Attacker, Votes, attack_votes, honest_wins, win_probabilities
from morelli.types import VOTES_SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.exposure.confusion import Confusion

SYSTEMS = ("bradley-terry", "elo")
#: For what the number of images leaves open: matrices that are drawn, and simulations under each.
DRAWN, AGAIN = 24, 40
#: What rows are called that no defence has touched.
UNDEFENDED = "none"
#: A target with a place to move to in a smaller share of the simulations is named in a note.
SELDOM = 0.5


@dataclass(frozen=True)
class VoteSettings:
    """What is simulated.

    Attributes
    ----------
    system : {"bradley-terry", "elo"}
    direction : {"up", "down"}
    votes : int
        Honest votes before the attack.
    noise : float
        Share of them that are cast at random.
    gap : float
        Elo points between neighbouring places, where no ratings are given.
    most : int
        Battles that the attacker views at most.
    simulations : int
    cover : bool
        Whether the attacker votes like an honest voter where the target is not seen.
    elo_k : float
    watch : Watch
    seed : int
        0 or more.
    """

    system: str = "bradley-terry"
    direction: str = "up"
    votes: int = 10_000
    noise: float = 0.1
    gap: float = 15.0
    most: int = 20_000
    simulations: int = 400
    cover: bool = False
    elo_k: float = 4.0
    watch: Watch = field(default_factory=Watch)
    seed: int = 0


#: Honest votes: of a hundred times as many the ratings' fit is no longer regular.
MOST_VOTES = 10**9


def check_settings(settings: VoteSettings) -> None:
    """Refuse what cannot be simulated.

    Raises
    ------
    UnknownNameError, InputError
    """
    if settings.system not in SYSTEMS:
        raise UnknownNameError("leaderboard", settings.system, SYSTEMS)
    if settings.direction not in DIRECTIONS:
        raise UnknownNameError("direction", settings.direction, DIRECTIONS)
    for name in ("votes", "most", "simulations"):
        if getattr(settings, name) < 1:
            raise InputError(f"must be 1 or more; got {getattr(settings, name)}.", argument=f"--{name}")
    if settings.votes > MOST_VOTES:
        raise InputError(f"must be {MOST_VOTES:,} or fewer; got {settings.votes:,}.", argument="--votes")
    if settings.simulations * settings.most > 400_000_000:
        raise InputError(
            f"{settings.simulations} simulations of {settings.most} battles take more memory than is sensible.",
            argument="--simulations",
            fix="Lower --simulations or --most.",
        )
    if settings.seed < 0:
        raise InputError(f"must be 0 or more; got {settings.seed}.", argument="--seed")
    check_watch(settings.watch)
    if not 0.0 <= settings.noise <= 1.0:
        raise InputError(f"must lie between 0 and 1; got {settings.noise:g}.", argument="--noise")
    if not settings.gap >= 0 or not settings.elo_k > 0:
        raise InputError("the gap must not be negative, and Elo's K must be positive.", argument="--gap")


def simulate_votes(
    confusion: Confusion,
    settings: VoteSettings | None = None,
    *,
    targets: Sequence[str] | None = None,
    defended: Mapping[str, Confusion] | None = None,
    ratings: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Votes that move each target one place, without and with a defence.

    Parameters
    ----------
    confusion : Confusion
        Of the attacker, as measured.
    settings : VoteSettings, optional
    targets : sequence of str, optional
        Default: every model.
    defended : mapping of str to Confusion, optional
        By the name of a defence: the same attacker against images that it protected.
    ratings : mapping of str to float, optional
        Elo points of the models' true quality, one of each model of the matrix. Default: places ``gap`` apart in the
        order of the matrix, the target in the middle; of two models it has the place that it can leave.

    Returns
    -------
    dict
        Schema ``morelli.votes/1``. The same arguments give the same figures. ``notes`` names the targets that most
        simulations could not move.

    Raises
    ------
    UnknownNameError
        No such target, leaderboard or direction; a rating of a model that the matrix does not have.
    InputError, DatasetError
    """
    asked = settings or VoteSettings()
    check_settings(asked)
    models = confusion.models
    if ratings is not None:
        check_rated(ratings, models)
    chosen = list(dict.fromkeys(targets)) if targets is not None else list(models)
    for name in chosen:
        confusion.index(name)
    matrices = {UNDEFENDED: confusion} | {name: each.reordered(models) for name, each in (defended or {}).items()}
    if len(matrices) <= len(defended or {}):
        raise InputError(f"no defence may be called {UNDEFENDED}.", argument="--defended")
    rows = []
    for name in chosen:
        points = _ratings(models, name, ratings, asked)
        for defence, matrix in matrices.items():
            rows.append({"target": name, "defence": defence, **_one(matrix, name, points, asked)})
    return {
        "schema": VOTES_SCHEMA,
        "models": list(models),
        "accuracy": confusion.accuracy,
        "defended_accuracy": {name: each.accuracy for name, each in matrices.items() if name != UNDEFENDED},
        "images": None if confusion.images is None else confusion.images.tolist(),
        "settings": asdict(asked) | {"ratings": None if ratings is None else dict(ratings)},
        "rows": rows,
        "notes": _notes(rows),
    }


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence on targets whose figures are of few simulations."""
    seldom = {row["target"]: row["possible"] for row in rows if row["possible"] < SELDOM}
    if not seldom:
        return []
    named = ", ".join(f"{name} ({100 * share:.3g} %)" for name, share in seldom.items())
    return [
        f"Fewer than half of the simulations had a place to move to for {named}; votes, battles and moved % are over "
        "those alone."
    ]


def undefended(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that no defence has touched."""
    return [row for row in rows if row["defence"] == UNDEFENDED]


def typical(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The median target's "votes" or "battles"; None where there is none, or half the targets do not move."""
    row = typical_row(rows, name)
    return None if row is None else float(row[name])


def typical_row(rows: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The median target's row, with its interval; None where there is none, or half the targets do not move."""
    known = [row for row in rows if row["moved"] is not None]
    order = sorted(known, key=lambda row: np.inf if row[name] is None else row[name])
    middle = order[(len(order) - 1) // 2] if order else None
    return None if middle is None or middle[name] is None else middle


def _ratings(
    models: Sequence[str], target: str, given: Mapping[str, float] | None, asked: VoteSettings
) -> NDArray[np.float64]:
    if given is not None:
        return np.array([given[name] for name in models], dtype=np.float64)
    others = [name for name in models if name != target]
    # Of two models none is in the middle: who shall rise is second, who shall fall first.
    ahead = max(len(others) // 2, 1) if asked.direction == "up" else len(others) // 2
    order = [*others[:ahead], target, *others[ahead:]]
    return np.array([-asked.gap * order.index(name) for name in models])


def _one(matrix: Confusion, target: str, points: NDArray[np.float64], asked: VoteSettings) -> dict[str, Any]:
    preference = win_probabilities(points, asked.noise)
    direction = DIRECTIONS[DIRECTIONS.index(asked.direction)]  # type: ignore[arg-type]
    attacker = Attacker(matrix.index(target), direction, asked.cover)
    votes = attack_votes(matrix.rates, attacker, preference)
    # The same streams for every matrix: a defence is compared on the same honest votes.
    honest, accounts, redrawn = (np.random.default_rng([asked.seed, number]) for number in (0, 2, 3))
    if asked.system == "elo":
        before = honest_elo(preference, asked.votes, asked.simulations, honest, asked.elo_k)
    else:
        before = honest_wins(preference, asked.votes, asked.simulations, honest)

    def attacked(votes: Votes, simulations: int) -> Campaign:
        attack, those = np.random.default_rng([asked.seed, 1]), before[:simulations]
        if asked.system == "elo":
            return elo_campaign(those.astype(np.float64), votes, attacker, asked.most, attack, asked.elo_k)
        return bradley_terry_campaign(those.astype(np.int64), votes, attacker, asked.most, attack)

    own, rates = attacker.target, matrix.rates[:, attacker.target]
    moved = attacked(votes, asked.simulations).summary(asked.seed)
    if matrix.images is not None:
        few = min(asked.simulations, AGAIN)
        others = (attack_votes(each, attacker, preference) for each in matrix.drawn(DRAWN, redrawn))
        moved |= _intervals(moved, attacked(votes, few), [attacked(each, few) for each in others])
    watched = detect(preference, votes, asked.watch, accounts)
    caught = watched["both"]["caught"]
    return {
        "recognised": float(rates[own]),
        "mistaken": float(np.delete(rates, own).mean()),
        "aimed_per_battle": votes.aimed,
        "precision": votes.on_target / votes.aimed if votes.aimed > 0 else None,
        **moved,
        "detector": watched,
        "votes_caught": None if caught is None or moved["votes"] is None else caught * moved["votes"],
    }


def _intervals(found: Mapping[str, Any], measured: Campaign, drawn: Sequence[Campaign]) -> dict[str, float | None]:
    """95 % for the medians, by how they change with matrices that other images might have given.

    All see the same honest votes and chances, so that what differs is the matrix; the logarithm of the ratio is taken
    for normal. None: more than the battles that are simulated.
    """
    out: dict[str, float | None] = {}
    for name in ("battles", "votes"):
        point, base = found[name], _median(measured, name)
        out |= {f"{name}_low": None, f"{name}_high": None}
        if point is None or not np.isfinite(base):
            continue
        ratios = np.array([_median(each, name) for each in drawn]) / base
        known = ratios[np.isfinite(ratios)]
        apart = 1.96 * float(np.log(known).std()) if len(known) else 0.0
        # Where one of the matrices does not move the target, the interval has no upper end.
        bounded = len(known) == len(ratios)
        out[f"{name}_low"] = float(point * (np.exp(-apart) if bounded else min(1.0, *ratios)))
        out[f"{name}_high"] = float(point * np.exp(apart)) if bounded else None
    return out


def _median(campaign: Campaign, name: str) -> float:
    """Over the simulations that could move; infinite where half of them did not."""
    values = campaign.battles if name == "battles" else campaign.votes
    possible = values[~np.isnan(values)]
    return float(np.quantile(possible, 0.5, method="lower")) if len(possible) else np.inf
