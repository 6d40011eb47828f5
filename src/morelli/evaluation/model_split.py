"""Models cut in two by the seed: those that trained methods learn from, and those that they never see (paper 002)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import InputError, NotEnoughReferencesError
from morelli.evaluation.plan import prompt_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

    Rows = NDArray[np.intp]
    Names = NDArray[np.str_]

SEEN, UNSEEN = "seen", "unseen"
#: Share of the models that are never seen, where nothing else is asked.
DEFAULT_UNSEEN = 0.5


@dataclass(frozen=True, eq=False)
class ModelSplit:
    """Who is learnt from and who is tested, as rows.

    Attributes
    ----------
    training : ndarray of int
        Images of the seen models, of one half of the prompts.
    tested : mapping of str to ndarray of int
        "seen" and "unseen": images of those models, of the other half of the prompts.
    notes : tuple of str
    """

    training: Rows
    tested: Mapping[str, Rows]
    notes: tuple[str, ...]


def split_models(data: LabelledEmbeddings, share: float, seed: int) -> ModelSplit:
    """Deal models to seen and unseen, and prompts to training and test.

    Families stay whole where that leaves two models on either side. Half of the prompts (of the images, where prompts
    are not known) train; all models are tested on the others, so that the two groups differ in nothing but whether
    they were seen.

    Parameters
    ----------
    data : LabelledEmbeddings
    share : float
        Of the models that are unseen, in (0, 1).
    seed : int

    Raises
    ------
    InputError
        The share is out of its range.
    NotEnoughReferencesError
        Fewer than four models have the images that it takes: two to test and one to learn from.
    """
    if not 0 < share < 1:
        raise InputError(f"must lie between 0 and 1; got {share:g}.", argument="--unseen")
    learns = _training_half(data.prompts, seed)
    kept, short = _enough(data.models, learns)
    if len(kept) < 4:
        raise NotEnoughReferencesError(
            "a split takes two models that are seen and two that are not, each with one image to learn from and two to "
            f"test; {len(kept)} models have them.",
            argument="dataset",
            fix="Add images of other models or prompts.",
        )
    held = np.isin(data.models, kept)
    unseen, whole = _unseen_models(data.take(held), share, seed)
    is_unseen = np.isin(data.models, unseen)
    training = np.flatnonzero(held & ~is_unseen & learns)
    tested = {
        SEEN: np.flatnonzero(held & ~is_unseen & ~learns),
        UNSEEN: np.flatnonzero(held & is_unseen & ~learns),
    }
    counts = {name: len(np.unique(data.models[rows])) for name, rows in tested.items()}
    notes = [
        f"{counts[SEEN]} models are seen in training and {counts[UNSEEN]} are not; training and test have no prompt in "
        "common."
    ]
    if short:
        notes.append(f"{len(short)} models have too few images for the split and were left out: {', '.join(short)}.")
    if not whole:
        notes.append("Too few families to keep them whole: models of one family are on both sides of the split.")
    return ModelSplit(training, tested, tuple(notes))


def _training_half(prompts: Names, seed: int) -> NDArray[np.bool_]:
    units = prompt_units(prompts)
    count = int(units.max()) + 1
    if count < 2:
        raise NotEnoughReferencesError(
            "all images are of one prompt, and none is left to test on.",
            argument="dataset",
            fix="Add images of other prompts.",
        )
    first = np.random.default_rng([seed, 1]).permutation(count)[: count // 2]
    return np.isin(units, first)


def _unseen_models(data: LabelledEmbeddings, share: float, seed: int) -> tuple[Names, bool]:
    """Names of the unseen models, and whether families are whole."""
    models, first = np.unique(data.models, return_index=True)
    target = min(max(2, round(share * len(models))), len(models) - 2)
    order = np.random.default_rng([seed, 2])
    for kin in (data.families[first], models):
        chosen = _deal(models, kin, target, order.permutation(np.unique(kin)))
        if len(chosen) >= 2:
            break
    families, inside = data.families[first], np.isin(models, chosen)
    return chosen, not set(families[inside].tolist()) & set(families[~inside].tolist())


def _deal(models: Names, kin: Names, target: int, order: Names) -> Names:
    """Models of families taken one after another, as long as they fit."""
    taken: list[str] = []
    for name in order:
        members = models[kin == name].tolist()
        if len(taken) + len(members) <= target:
            taken += members
    return np.array(sorted(taken), dtype=models.dtype)


def _enough(models: Names, learns: NDArray[np.bool_]) -> tuple[Names, list[str]]:
    """Models with the images that the split takes, and the others."""
    kept, short = [], []
    for name in np.unique(models).tolist():
        mine = models == name
        (kept if (mine & ~learns).sum() >= 2 and (mine & learns).any() else short).append(name)
    return np.array(kept, dtype=models.dtype), short
