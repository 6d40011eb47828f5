"""Prompts for training and for testing, over disjoint scenes."""

from __future__ import annotations

import numpy as np

from morelli.errors import InputError
from morelli.generators.zoo.world.grammar import caption
from morelli.generators.zoo.world.scene import Split, sample_scene

_MOST = 1_000_000  # the world has about 28 million scenes, a tenth of them for testing


def prompts(split: Split, count: int, seed: int) -> list[str]:
    """Distinct canonical captions of one side of the split.

    Parameters
    ----------
    split : {"train", "test"}
        About one scene in ten is for testing; no scene is on both sides, in whichever order its groups are told.
    count : int
        How many, 0 to 1,000,000. A longer list begins with the shorter one of the same seed.
    seed : int
        At least 0.

    Raises
    ------
    UnknownNameError
        Another split.
    InputError
        A count or a seed out of range.
    """
    if not 0 <= count <= _MOST:
        raise InputError(f"must be 0 to {_MOST:,}, came {count}.", argument="count")
    if seed < 0:
        raise InputError(f"must be at least 0, came {seed}.", argument="seed")
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[caption(sample_scene(rng, split))] = None
    return list(found)
