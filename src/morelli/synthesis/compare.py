"""Fidelity and diversity of synthetic models: table II and figure 12 of paper 002."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.errors import InputError, NotEnoughReferencesError
from morelli.synthesis.architectures import LETTERS, from_id
from morelli.synthesis.ffd import ffd
from morelli.synthesis.model_spectra import Spectra
from morelli.synthesis.volume import log_volume

#: Draws of models for each row that has more than the smallest.
DRAWS = 20

Floats = NDArray[np.float64]


def without(spectra: Spectra, letter: str) -> Spectra:
    """Synthetic models that are left when an option is taken away.

    Parameters
    ----------
    spectra : Spectra
        Of a store.
    letter : {"K", "L", "S", "U", "A", "N", "seed"}
        An option is fixed to its first value; "seed" leaves each architecture its lowest seed.

    Raises
    ------
    InputError
        Spectra of a dataset, or another letter.
    """
    if spectra.keys is None:
        raise InputError(f"{spectra.source} is no store: it has no options to take away.", argument="without")
    if letter != "seed" and letter not in LETTERS:
        raise InputError(f"must be seed or one of {', '.join(LETTERS)}; got {letter!r}.", argument="without")
    if letter == "seed":
        lowest: dict[str, int] = {}
        for key in spectra.keys:
            lowest[key.architecture_id] = min(key.seed, lowest.get(key.architecture_id, key.seed))
        mask = [lowest[key.architecture_id] == key.seed for key in spectra.keys]
    else:
        found = [from_id(key.architecture_id) for key in spectra.keys]
        mask = [each == each.without(LETTERS[letter]) for each in found]
    rows = np.flatnonzero(mask)
    names = tuple(spectra.names[row] for row in rows)
    return Spectra(spectra.source, names, tuple(spectra.keys[row] for row in rows), spectra.values[rows])


def compare(
    one: Spectra, other: Spectra, removals: Sequence[str] = (), *, draws: int = DRAWS, seed: int = 0
) -> list[dict[str, Any]]:
    """FFD between two sets and the log-volume of the first, whole and with options taken away.

    Both depend on how many models the Gaussian is fitted to: of two sets drawn from one Gaussian the smaller seems
    farther from any other set, and to take less room. So every row has its figures twice: over all of its models, which
    is not for comparing rows of different sizes, and over as many models as the smallest row has.

    Parameters
    ----------
    one : Spectra
    other : Spectra
        The real models, or another store; all of its models, in every row.
    removals : sequence of str
        See `without`.
    draws : int
        Random draws of models, without replacement, for rows that have more than the smallest; 1 or more.
    seed : int
        Of the draws.

    Returns
    -------
    list of dict
        ``without`` (None for the whole set), ``models``, ``other_models``; over all of the row's models ``ffd``,
        ``log_volume`` and ``volume_share``, the volume as a share of the whole set's; under ``equal`` the same over
        ``ffd_models`` and ``volume_models`` models, the same numbers in all rows: means over draws, with their standard
        deviations in ``ffd_spread`` and ``log_volume_spread``, 0 where all models were taken. A number is None where
        too few models are left for it, and ``why`` says so; such a row does not make the others smaller. ``notes``:
        what weakens a number.

    Raises
    ------
    InputError
        ``draws`` below 1.
    ArrayError
        Spectra of other bins, or values that are not finite.
    """
    if draws < 1:
        raise InputError(f"must be 1 or more; got {draws}.", argument="draws")
    parts = {name: one if name is None else without(one, name) for name in (None, *removals)}
    rows: list[dict[str, Any]] = []
    for name, part in parts.items():
        row: dict[str, Any] = {"without": name, "models": len(part.names), "other_models": len(other.names), "why": []}
        row["ffd"] = _told(lambda p=part: ffd(p.values, other.values), row["why"])
        row["log_volume"] = _told(lambda p=part: log_volume(p.values), row["why"])
        rows.append(row)
    distance, room = (_Equal(rows, name, draws, seed) for name in ("ffd", "log_volume"))
    for row, part in zip(rows, parts.values(), strict=True):
        far, far_spread = distance(row, part, lambda values: ffd(values, other.values))
        wide, wide_spread = room(row, part, log_volume)
        row["equal"] = {
            "ffd_models": distance.models, "ffd": far, "ffd_spread": far_spread,
            "volume_models": room.models, "log_volume": wide, "log_volume_spread": wide_spread,
        }  # fmt: skip
        row["volume_share"] = _share(row, rows[0])
        row["equal"]["volume_share"] = _share(row["equal"], rows[0]["equal"])
        row["notes"] = _notes(distance.models, len(other.names), part.values.shape[1])
    return rows


class _Equal:
    """Means of a figure over draws of as many models as the smallest row has that has the figure."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], name: str, draws: int, seed: int) -> None:
        self.models = min((row["models"] for row in rows if row[name] is not None), default=None)
        self._name, self._draws, self._seed = name, draws, seed

    def __call__(
        self, row: Mapping[str, Any], part: Spectra, figure: Callable[[Floats], float]
    ) -> tuple[float | None, float | None]:
        """The figure of a row, and its standard deviation over the draws."""
        whole = row[self._name]
        if self.models is None or whole is None:
            return None, None
        if self.models == row["models"]:
            return whole, 0.0
        streams = (np.random.default_rng([self._seed, number]) for number in range(self._draws))
        found = [figure(part.values[rng.permutation(row["models"])[: self.models]]) for rng in streams]
        return float(np.mean(found)), float(np.std(found))


def _share(row: Mapping[str, Any], whole: Mapping[str, Any]) -> float | None:
    volume, all_ = row["log_volume"], whole["log_volume"]
    return None if volume is None or all_ is None else float(np.exp(volume - all_))


def _notes(models: int | None, others: int, bins: int) -> list[str]:
    """What is to be said of a distance between so many models and so many others."""
    few = [count for count in (models, others) if count is not None and count <= bins]
    return [
        f"a covariance of {count} models has not full rank in {bins} bins: the distance is too large, by how much "
        "depends on the number of models."
        for count in dict.fromkeys(few)
    ]


def _told(ask: Callable[[], float], why: list[str]) -> float | None:
    try:
        return ask()
    except NotEnoughReferencesError as error:  # one row of a table without its number, and the reason beside it
        why.append(error.message)
        return None
