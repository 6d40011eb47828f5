"""Who learns and who is tested: halves of the models, and halves of the prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.splits import candidate_partition, prompt_folds
from morelli.types import Item

Design = Literal["models", "prompts"]
#: What is trained for each design, in the table's words.
DESIGNS: dict[Design, str] = {
    "models": "fine-tuned on other models, one epoch",
    "prompts": "fine-tuned on these models",
}
#: Images that a model needs on either side: to be a class, and to be a reference and a query.
LEAST = 2


@dataclass(frozen=True)
class Fold:
    """One training and what it is tested on.

    Attributes
    ----------
    design : {"models", "prompts"}
        What the two sides do not share.
    number : int
        0 or 1.
    learn, test : tuple of Item
        No image is in both.
    """

    design: Design
    number: int
    learn: tuple[Item, ...]
    test: tuple[Item, ...]


def all_folds(items: Sequence[Item], seed: int) -> list[Fold]:
    """Both folds of both designs; in each design every image is tested once.

    Parameters
    ----------
    items : sequence of Item
    seed : int
        Decides the halves.

    Raises
    ------
    NotEnoughReferencesError
        Models that cannot be cut in halves of two with their families whole, one prompt alone, or a model with fewer
        than two images in a half of the prompts.
    """
    return [*model_folds(items, seed), *halves_of_prompts(items, seed)]


def model_folds(items: Sequence[Item], seed: int) -> list[Fold]:
    """Half of the models learns, the other half is tested, and the other way round; families stay whole."""
    models, families = [item.model for item in items], [item.family for item in items]
    halves = candidate_partition(models, families, seed, repeats=1)
    return [_fold("models", number, items, np.isin(models, tested)) for number, (tested, _) in enumerate(halves)]


def halves_of_prompts(items: Sequence[Item], seed: int) -> list[Fold]:
    """All models learn from half of the prompts and are tested on the others, and the other way round.

    An image whose prompt is not known counts as a prompt of its own.
    """
    models, prompts = [item.model for item in items], [item.prompt_id for item in items]
    half = prompt_folds(prompts, 2, seed, models)
    if not half.any():
        raise NotEnoughReferencesError(
            "all images are of one prompt, and none is left to test on.",
            argument="dataset",
            fix="Add images of other prompts.",
        )
    counts = Counter(zip(models, half.tolist(), strict=True))
    for model in dict.fromkeys(models):
        if min(counts[model, 0], counts[model, 1]) < LEAST:
            raise NotEnoughReferencesError(
                f"{model} has {counts[model, 0]} and {counts[model, 1]} images in the halves of the prompts, and needs "
                f"{LEAST} in each.",
                argument="dataset",
                fix="Leave it out, or add images of it.",
            )
    return [_fold("prompts", number, items, half == number) for number in range(2)]


def _fold(design: Design, number: int, items: Sequence[Item], tested: np.ndarray) -> Fold:
    sides = (tuple(item for item, mine in zip(items, mask, strict=True) if mine) for mask in (~tested, tested))
    return Fold(design, number, *sides)
