"""The attacker without references (paper 001): asks every model for fresh images of a query's prompt, and compares.

Where the dataset's models can be asked (``--generators``), they are: γ images each, of the prompt as it is known or as
an inverter finds it in the protected image. On images of models that are not at hand, stored images of the same prompt
stand in for fresh ones: the other seeds, which the leaderboard does not show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from benchmarks.defence.attack import Said, places
from benchmarks.defence.clock import Clock
from benchmarks.defence.networks import Networks

from morelli.errors import BadGenerationError, InputError
from morelli.generators.base import Generator
from morelli.images.load import Picture, from_array, load_image
from morelli.inversion.base import Inverter
from morelli.regeneration.by_attributor import ByAttributor
from morelli.regeneration.candidates import Candidate, Candidates, regenerate
from morelli.regeneration.pairwise import ClipCosine, Hybrid, Ssim
from morelli.regeneration.similarity import Similarity
from morelli.regeneration.stopwatch import Stopwatch
from morelli.types import Item

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

NAME = "regeneration"
#: The published rule (with the encoder in place of a CLIP), the paper's alternatives, and the product's default; that
#: one also without having fresh images go through what a query seems to have gone through, which noise may be.
MEASURES = ("mean cosine", "ssim", "hybrid", "fused, no matching", "fused")
#: First seed of fresh images: far from those of any dataset.
FRESH = 50_000
#: Said of an image whose inverted prompt some model cannot read: a miss, with the place 0.
NOBODY = "none"


class Source(Protocol):
    """Where a query's candidates come from."""

    def candidates(self, query: Item, shown: Picture) -> Candidates | None:
        """What a protected image is compared with; None where the models make nothing of its prompt."""
        ...


class Stored:
    """Stored images stand in: the attacker's own of the query's prompt.

    Parameters
    ----------
    references : sequence of Item
        No query among them.
    """

    def __init__(self, references: Sequence[Item]) -> None:
        self._by_prompt: dict[str, list[Item]] = {}
        for item in references:
            self._by_prompt.setdefault(item.prompt_id, []).append(item)
        self._made: dict[str, Candidates] = {}

    def candidates(self, query: Item, shown: Picture) -> Candidates:
        """The same for every query of a prompt."""
        prompt = query.prompt_id
        if prompt not in self._made:
            self._made[prompt] = Candidates(prompt, tuple(map(_candidate, self._by_prompt[prompt])))
        return self._made[prompt]


def _candidate(item: Item) -> Candidate:
    picture = load_image(item.path)
    height, width = picture.pixels.shape[:2]
    return Candidate(item.model, item.family, item.seed or 0, item.path, picture.content, width, height)


@dataclass
class Fresh:
    """Images that the models make when they are asked.

    Parameters
    ----------
    generators : sequence of Generator
        One for each of the dataset's models, called as they are.
    gamma : int
        Images a model.
    folder : Path
        Where they are kept.
    inverter : Inverter, optional
        Finds the prompt in the protected image; by default the attacker knows it, as on a leaderboard he does.
    """

    generators: Sequence[Generator]
    gamma: int
    folder: Path
    inverter: Inverter | None = None

    def candidates(self, query: Item, shown: Picture) -> Candidates | None:
        """Fresh images of the prompt; None where it was inverted, and a model cannot read it."""
        if self.inverter is None:
            return self._made(query.prompt or query.prompt_id, shown)
        try:
            return self._made(self.inverter.invert(shown.pixels).prompt, shown)
        except (InputError, BadGenerationError) as error:
            if error.argument not in {each.id for each in self.generators}:
                raise  # of the folder, not of the prompt
            return None

    def _made(self, prompt: str, shown: Picture) -> Candidates:
        return regenerate(self.generators, prompt, self.gamma, self.folder, seed=FRESH, without=shown.content)


def check_models(generators: Sequence[Generator], models: set[str]) -> None:
    """Refuse generators that are not the dataset's models."""
    named = {each.model for each in generators}
    if named != models:
        apart = ", ".join(sorted(named ^ models))
        raise SystemExit(f"generators and dataset must have the same models; not in both: {apart}")


@dataclass
class Regenerations:
    """The measures of likeness under each encoder.

    Parameters
    ----------
    source : Source
    networks : Networks
    clock : Clock
    """

    source: Source
    networks: Networks
    clock: Clock = field(default_factory=Clock)
    _measures: dict[str, dict[str, Similarity]] = field(default_factory=dict)

    def __call__(self, queries: Sequence[Item], shown: Sequence[Pixels], encoder: str) -> Iterator[tuple[str, Said]]:
        """What is said of the images by each measure."""
        measures = self._of(encoder)
        found: dict[str, list[tuple[str, int, float]]] = {name: [(NOBODY, 0, 0.0)] * len(queries) for name in measures}
        # Queries of one prompt share what is learnt of their candidates.
        for at in sorted(range(len(queries)), key=lambda at: queries[at].prompt_id):
            self.clock.check()
            picture = from_array(shown[at], queries[at].name)
            candidates = self.source.candidates(queries[at], picture)
            if candidates is None:
                continue
            truth = np.array([queries[at].model])
            for name, measure in measures.items():
                scores = measure.compare([picture], candidates, Stopwatch()).scores
                first, rank, margin = places(scores, candidates.models, truth)
                found[name][at] = str(first[0]), int(rank[0]), float(margin[0])
        for name, said in found.items():
            firsts, ranks, margins = zip(*said, strict=True)
            yield name, Said(np.array(firsts), np.array(ranks), np.array(margins))

    def _of(self, encoder: str) -> dict[str, Similarity]:
        if encoder not in self._measures:
            network, cache = self.networks[encoder], self.networks.cache
            cosine = ClipCosine(network, cache)
            fused = [ByAttributor("fused", network, cache=cache, match=match) for match in (False, True)]
            made = (cosine, Ssim(), Hybrid(cosine), *fused)
            self._measures[encoder] = dict(zip(MEASURES, made, strict=True))
        return self._measures[encoder]
