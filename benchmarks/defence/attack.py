"""Attackers with references: what each says of protected images, under one encoder and several attributors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.defence.clock import Clock
from benchmarks.defence.networks import Networks
from benchmarks.defence.shields import Protection, Shield
from benchmarks.defence.split import labelled, pixels_of

from morelli.attribution.base import Attributor
from morelli.attribution.catalogue import load_attributor
from morelli.defence.attackers import Attacker, embed_as, embed_copies_as, load_attacker
from morelli.encoders.base import Encoder
from morelli.encoders.copies import CONDITIONS as USUAL
from morelli.encoders.copies import SAMPLE
from morelli.types import Item, LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Attributors: the published rules, the default one, and that one where it has never seen noise, which random signs of
#: the control are: what a perturbation takes beyond them is then not owed to what its attacker was taught.
WITHOUT_NOISE = "fused, no noise"
METHODS = ("euclid", "cosine", WITHOUT_NOISE, "fused")
#: What attributors know of degraded queries where the background is seen as it is: what any gallery's copies teach,
#: random noise of two levels among it, and what the attackers' purifiers do.
CONDITIONS = (*USUAL, "jpeg:75", "jpeg:60", "blur:1", "resize:0.5+resize:2", "resize:0.6+resize:1.667")


@dataclass(frozen=True, eq=False)
class Said:
    """What is said of n queries: the first model, the right one's place, and by how much that leads.

    Equal scores count against the right model.
    """

    first: NDArray[np.str_]
    ranks: NDArray[np.intp]
    margins: NDArray[np.float64]


@dataclass
class Attacks:
    """Attackers' attributors, each fitted once.

    Parameters
    ----------
    protection : Protection
        Of the leaderboard; who retrains has his own images protected by it.
    networks : Networks
    retrain : int
        Prompts of the background that who retrains learns from, whatever the defence: what he learns of random signs,
        and of images as they are, is of as many images and copies as what he learns of a perturbation.
    clock : Clock
    """

    protection: Protection
    networks: Networks
    retrain: int = 6
    clock: Clock = field(default_factory=Clock)
    _fitted: dict[tuple[str, str, str], Attributor] = field(default_factory=dict)

    def __call__(self, shield: Shield, attacker: Attacker, encoder: str) -> Iterator[tuple[str, Said]]:
        """What is said under each attributor."""
        parts, network = self.protection.parts, self.networks[encoder]
        shown = self.protection.queries(shield)
        queries = labelled(parts.queries, self._embed(attacker, network, shown))
        pixels = self._own(parts.references, shield if attacker.retrains else Shield("none"))
        references = labelled(parts.references, self._embed(attacker, network, pixels))
        for method in METHODS:
            self.clock.check()
            yield method, attack(self._attributor(encoder, method, attacker, shield), queries, references)

    def _own(self, items: Sequence[Item], shield: Shield) -> list[NDArray[np.uint8]]:
        """The attacker's images, protected as the leaderboard does."""
        return self.protection.images(shield, items, pixels_of(items))

    def _attributor(self, encoder: str, method: str, attacker: Attacker, shield: Shield) -> Attributor:
        learns = shield.name if attacker.retrains else attacker.name if attacker.throughout else ""
        key = (encoder, method, learns)
        if key in self._fitted:
            return self._fitted[key]
        made = load_attributor(method.partition(",")[0])
        quiet = method == WITHOUT_NOISE
        background = self._background(encoder, attacker, shield, quiet) if made.uses_background else None
        fitted = made.fit(background)
        if not attacker.retrains:  # that is of one defence, and is not asked again
            self._fitted[key] = fitted
        return fitted

    def _background(self, encoder: str, attacker: Attacker, shield: Shield, quiet: bool) -> LabelledEmbeddings:
        items, network = self.protection.parts.background, self.networks[encoder]
        if attacker.retrains:
            kept = sorted({item.prompt_id for item in items})[: self.retrain]
            items = [item for item in items if item.prompt_id in kept]
        eye = attacker if attacker.throughout or attacker.retrains else load_attacker("plain")
        pixels = self._own(items, shield) if attacker.retrains else pixels_of(items)
        rows = np.linspace(0, len(items) - 1, min(SAMPLE, len(items))).astype(np.intp)
        conditions = USUAL if attacker.throughout or attacker.retrains else CONDITIONS
        conditions = [text for text in conditions if not (quiet and text.startswith("noise"))]
        some = [pixels[row] for row in rows]
        seen = {"cache": self.networks.cache, "progress": self.clock.check}
        copies = embed_copies_as(eye, network, some, rows, conditions, **seen)
        return labelled(items, self._embed(eye, network, pixels), copies)

    def _embed(
        self, eye: Attacker, network: Encoder, pixels: Sequence[NDArray[np.uint8]]
    ) -> dict[str, NDArray[np.float32]]:
        return embed_as(eye, network, pixels, cache=self.networks.cache, progress=self.clock.check)


def attack(judge: Attributor, queries: LabelledEmbeddings, references: LabelledEmbeddings) -> Said:
    """What is said of each query among the references of its prompt."""
    first = np.empty(len(queries), references.models.dtype)  # whose names may be longer than those of the queries
    ranks, margins = np.zeros(len(queries), np.intp), np.zeros(len(queries))
    for prompt in np.unique(queries.prompts):
        rows = np.flatnonzero(queries.prompts == prompt)
        inside = references.take(references.prompts == prompt)
        scores = judge.scores(queries.take(rows).vectors, inside, str(prompt))
        first[rows], ranks[rows], margins[rows] = places(scores, judge.candidates(inside), queries.models[rows])
    return Said(first, ranks, margins)


def places(
    scores: NDArray[np.float64], models: NDArray[np.str_], truth: NDArray[np.str_]
) -> tuple[NDArray[np.str_], NDArray[np.intp], NDArray[np.float64]]:
    """The first model, the right one's place and lead: scores (n, m), models sorted (m,), truth (n,) to shapes (n,)."""
    own = scores[np.arange(len(scores)), np.searchsorted(models, truth)]
    others = np.where(models[None] == truth[:, None], -np.inf, scores)
    return models[scores.argmax(axis=1)], (others >= own[:, None]).sum(axis=1) + 1, own - others.max(axis=1)
