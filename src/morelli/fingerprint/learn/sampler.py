"""What a step looks at: models and photographs, decided by the seed and the step's number alone. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morelli.errors import NotEnoughReferencesError
from morelli.fingerprint.learn.settings import LearnSettings

Integers = NDArray[np.int64]
#: Slots there are where nothing is kept: as many as anyone could draw.
ENDLESS = 1 << 31
# First words of the streams of chance, so that no two uses share numbers.
_BATCH, _SHUFFLE = 101, 102


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's images: the class whose picture is shown, its slot, and the label that it gets; each shape (n,)."""

    classes: Integers
    slots: Integers
    labels: Integers


class Batches:
    """Draws the batches of a training.

    Parameters
    ----------
    groups : sequence of str, length n
        Of each class: its architecture. Classes of one group are siblings.
    slots : int
        Pictures of each class; a slot is the same photograph in every class that has photographs.
    settings : LearnSettings

    Raises
    ------
    NotEnoughReferencesError
        Fewer than two classes, or fewer slots than a batch needs.
    """

    def __init__(self, groups: Sequence[str], slots: int, settings: LearnSettings) -> None:
        if len(groups) < 2:
            raise NotEnoughReferencesError(f"two models or more are needed; there are {len(groups)}.", argument="store")
        if settings.sampler == "pk" and slots < settings.k:
            raise NotEnoughReferencesError(
                f"a batch takes {settings.k} pictures of a model, and there are {slots}.", argument="slots"
            )
        self.settings, self.classes, self.slots = settings, len(groups), slots
        names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
        numbers = np.array([names[name] for name in groups])
        self._groups = [np.flatnonzero(numbers == number) for number in range(len(names))]

    def draw(self, step: int) -> Batch:
        """The batch of a step."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, _BATCH, step])
        if settings.sampler == "random":
            labels = rng.integers(self.classes, size=settings.batch)
            slots = rng.integers(self.slots, size=settings.batch)
        else:
            models = self._models(rng)
            labels = np.repeat(models, settings.k)
            rows = 1 if settings.same_photos else len(models)
            slots = np.concatenate([self._slots(rng) for _ in range(rows)])
            slots = np.tile(slots, len(models) // rows)
        return Batch(self._shown(labels, slots), slots, labels)

    def _models(self, rng: np.random.Generator) -> Integers:
        """``p`` classes, each once, or all there are; siblings first, strangers to fill up."""
        wanted, siblings = min(self.settings.p, self.classes), self.settings.siblings
        if siblings == 1:
            return rng.permutation(self.classes)[:wanted]
        chosen: list[int] = []
        for number in rng.permutation(len(self._groups))[: -(-wanted // siblings)]:
            chosen += rng.permutation(self._groups[number])[:siblings].tolist()
        rest = np.setdiff1d(np.arange(self.classes), chosen)
        return np.array([*chosen, *rng.permutation(rest)][:wanted])

    def _slots(self, rng: np.random.Generator) -> Integers:
        if self.slots == ENDLESS:
            return rng.integers(self.slots, size=self.settings.k)
        return rng.permutation(self.slots)[: self.settings.k]

    def _shown(self, labels: Integers, slots: Integers) -> Integers:
        """The classes behind labels: themselves, or with shuffled labels others, a permutation in every slot."""
        if not self.settings.shuffle_labels:
            return labels
        orders = {
            slot: np.random.default_rng([self.settings.seed, _SHUFFLE, slot]).permutation(self.classes)
            for slot in np.unique(slots).tolist()
        }
        return np.array([orders[slot][label] for slot, label in zip(slots.tolist(), labels.tolist(), strict=True)])
