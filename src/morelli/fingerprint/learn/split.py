"""Which synthetic models are kept for validation: whole architectures, so that it is about models never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from morelli.errors import InputError

Key = TypeVar("Key", bound=tuple)
_SPLIT = 106
#: Models that a validation wants at least: two of them make a different pair.
LEAST = 2


def split_keys(keys: Sequence[Key], share: float, seed: int) -> tuple[list[Key], list[Key]]:
    """Models to learn from and models to validate on; every model is in one of the lists.

    Whole architectures are kept, until their models are a part of ``share``. A store of one architecture gives seeds
    away instead, and a share of 0 nothing.

    Parameters
    ----------
    keys : sequence of (architecture, seed)
    share : float
        0 to below 1.
    seed : int

    Raises
    ------
    InputError
        ``share`` out of range, or fewer than two models are left to learn from.
    """
    if not 0 <= share < 1:
        raise InputError(f"must be 0 or more and below 1; got {share}.", argument="held-out")
    if not share:
        return list(keys), []
    names = sorted({key[0] for key in keys})
    units = [[key for key in keys if key[0] == name] for name in names] if len(names) > 1 else [[key] for key in keys]
    wanted, held = max(share * len(keys), LEAST), set()
    for number in np.random.default_rng([seed, _SPLIT]).permutation(len(units)):
        if len(held) >= wanted:
            break
        held.update(units[number])
    learn = [key for key in keys if key not in held]
    if len(learn) < 2:
        raise InputError(
            f"{len(keys)} models leave {len(learn)} to learn from beside {len(held)} for validation.",
            argument="held-out",
            fix="Synthesize more models, or hold out none (0).",
        )
    return learn, [key for key in keys if key in held]
