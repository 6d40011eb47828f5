"""Fidelity and diversity of synthetic models: table II and figure 12 of paper 002."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from morelli.errors import InputError, NotEnoughReferencesError
from morelli.synthesis.architectures import LETTERS, from_id
from morelli.synthesis.ffd import ffd
from morelli.synthesis.model_spectra import Spectra
from morelli.synthesis.volume import log_volume


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


def compare(one: Spectra, other: Spectra, removals: Sequence[str] = ()) -> list[dict[str, Any]]:
    """FFD between two sets and the log-volume of the first, whole and with options taken away.

    Parameters
    ----------
    one : Spectra
    other : Spectra
        The real models, or another store.
    removals : sequence of str
        See `without`.

    Returns
    -------
    list of dict
        ``without`` (None for the whole set), ``models``, ``ffd``, ``log_volume``, and ``volume_share``: the volume as
        a share of the whole set's. A number is None where too few models are left for it; ``why`` says so.
    """
    rows: list[dict[str, Any]] = []
    for name in (None, *removals):
        part = one if name is None else without(one, name)
        row: dict[str, Any] = {"without": name, "models": len(part.names), "why": []}
        row["ffd"] = _told(lambda p=part: ffd(p.values, other.values), row["why"])
        row["log_volume"] = _told(lambda p=part: log_volume(p.values), row["why"])
        volume, whole = row["log_volume"], (rows[0] if rows else row)["log_volume"]
        row["volume_share"] = None if volume is None or whole is None else float(np.exp(volume - whole))
        rows.append(row)
    return rows


def _told(ask: Callable[[], float], why: list[str]) -> float | None:
    try:
        return ask()
    except NotEnoughReferencesError as error:  # one row of a table without its number, and the reason beside it
        why.append(error.message)
        return None
