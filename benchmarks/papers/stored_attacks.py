"""Table 001 on stored images: other images of a prompt by each model stand in for what it would be asked for.

Real systems cannot be asked here, but a data set with several images of each prompt by each model has what they would
have answered: one is the query, the others are the candidates, and γ is their number. Where models have one image a
prompt there is nothing to compare with, and methods are attacked without the plug-in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.papers.learnt import Known, attacked, scorer
from benchmarks.papers.methods import versions
from benchmarks.papers.pictures import read_pictures
from benchmarks.papers.plan import ATTACKED, Plan
from benchmarks.papers.schedule import Job
from benchmarks.papers.sources import Source
from benchmarks.zoo.plan import ATTACKS

from morelli.attribution.image import is_image_attributor, load_image_attributor
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.groups import BUDGETS, budgeted
from morelli.images.load import Picture, load_image
from morelli.regeneration.by_attributor import ByAttributor
from morelli.regeneration.candidates import Candidate, Candidates
from morelli.regeneration.pairwise import ClipCosine
from morelli.regeneration.stopwatch import Stopwatch

if TYPE_CHECKING:
    from morelli.regeneration.similarity import Similarity
    from morelli.types import Item

#: The published rule on the default encoder's vectors, as no CLIP of photographs is shipped; and ours.
STORED_MEASURES = ("cosine", "fused")
#: Prompts that are asked, at most, and images of each model for each prompt that are learnt from, at most.
PROMPTS, IMAGES = 24, 3
#: Images of a prompt by each model that candidates take at most.
GAMMA = 5


class StoredAttacks:
    """Queries, candidates and training images of one data set.

    Prompts are dealt by the seed: at most 24, and at most two fifths of all, are asked; of the others two thirds are
    learnt from, and by the last third the plug-in's weight is found.

    Parameters
    ----------
    folder, prompts
        As of a `Source`.
    seed : int
    out : str
        Folder of embeddings and trainings.
    resized : bool
        Whether pictures of several sizes are brought to one by resizing; else the middle of each is cut out.
    """

    def __init__(self, folder: str, prompts: int | None, seed: int, out: str, *, resized: bool = True) -> None:
        self.out = out
        cells: dict[str, dict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
        self.pictures = read_pictures(folder, prompts, out, resized)
        for item in self.pictures.items:
            cells[item.prompt_id][item.model].append(item)
        names = np.array(sorted(name for name in cells if name))
        dealt = names[np.random.default_rng([seed, 5]).permutation(len(names))]
        asked = min(PROMPTS, max(1, 2 * len(dealt) // 5))
        rest = dealt[asked:]
        learns, weighs = rest[: max(1, 2 * len(rest) // 3)], rest[max(1, 2 * len(rest) // 3) :]
        self._cells = cells
        self._asked, self._weighs = sorted(dealt[:asked].tolist()), sorted(weighs.tolist())
        self.training = [
            Known(each.path, each.model, each.family, each.prompt_id)
            for name in sorted(learns.tolist())
            for own in _sorted(cells[name]).values()
            for each in own[:IMAGES]
        ]
        #: Models that can be named: those that have something to learn from.
        self.models = sorted({item.model for item in self.training})
        self.gamma = self._gamma()
        self.notes = self._notes()
        self.measures: tuple[str, ...] = STORED_MEASURES if self.gamma else ()

    def _gamma(self) -> int:
        """Candidates of each model for a prompt: as many as every model has beside its query, for most prompts."""
        counts = [
            min((len(self._cells[name][model]) for model in self.models), default=0) - 1
            for name in (*self._asked, *self._weighs)
        ]
        return max(0, min(GAMMA, int(np.median(counts)))) if counts else 0

    def _notes(self) -> list[str]:
        """What of the data set plays no part."""
        lost = sorted({item.model for item in self.pictures.items} - set(self.models))
        notes = [f"Left out, with no image of a prompt that is learnt from: {', '.join(lost)}."] if lost else []
        rare = sum(name not in self._prompts(self._asked) for name in self._asked)
        if rare:
            notes.append(f"{rare} of {len(self._asked)} prompts were not asked: a model has too few images of them.")
        return notes

    def _prompts(self, names: Sequence[str]) -> list[str]:
        """Of these prompts those that are asked: with a plug-in, those that every model has answered often enough."""
        if not self.gamma:
            return list(names)
        return [name for name in names if all(len(self._cells[name][m]) > self.gamma for m in self.models)]

    def items(self, attack: str | None) -> list[Item]:
        """The queries, by prompt: one image of each model; None: those of the plug-in's weight."""
        names = self._prompts(self._weighs if attack is None else self._asked)
        return [own[0] for name in names for model, own in _sorted(self._cells[name]).items() if model in self.models]

    @property
    def prompts(self) -> list[str]:
        """The prompt of each query."""
        return [item.prompt_id for item in self.items("none")]

    def truth(self, attack: str | None) -> list[str]:
        """The right model of each query."""
        return [item.model for item in self.items(attack)]

    def picture(self, item: Item, attack: str | None) -> Picture:
        """A query's picture, attacked."""
        return attacked(load_image(item.path), ATTACKS[attack] if attack else "", item.name)

    def candidates(self, prompt: str) -> Candidates:
        """γ images of each model for a prompt, none of them a query."""
        chosen = [
            each
            for model, own in _sorted(self._cells[prompt]).items()
            if model in self.models
            for each in own[1 : 1 + self.gamma]
        ]
        return Candidates(prompt, tuple(map(_candidate, chosen)))

    @cached_property
    def _similarities(self) -> dict[str, Similarity]:
        encoder, cache = load_encoder(DEFAULT_ENCODER), EmbeddingCache(Path(self.out) / "cache")
        kept = {"cache": cache, "folder": Path(self.out) / "cache"}
        return {"cosine": ClipCosine(encoder, cache), "fused": ByAttributor("fused", encoder, **kept)}

    def likeness(self, attack: str | None) -> dict[str, Any]:
        """A cell: likeness of each query and each model's candidates, by measure."""
        values: dict[str, list[list[float]]] = {name: [] for name in self.measures}
        for item in self.items(attack):
            shown, candidates = self.picture(item, attack), self.candidates(item.prompt_id)
            assert candidates.models.tolist() == self.models
            for name in self.measures:
                values[name] += self._similarities[name].compare([shown], candidates, Stopwatch()).scores.tolist()
        return {"values": values}

    def method(self, spec: str) -> dict[str, Any]:
        """A cell: a method's scores of all queries, by attack."""
        score, models, under_trained = scorer(spec, self.training, load_encoder(DEFAULT_ENCODER), self.out)
        assert models == self.models
        found = {}
        for attack in (None, *ATTACKS) if self.gamma else ATTACKS:
            pictures = [self.picture(item, attack) for item in self.items(attack)]
            found[str(attack)] = score(pictures).tolist()
        return {"scores": found, "under_trained": under_trained}


def _sorted(cell: Mapping[str, list[Item]]) -> dict[str, list[Item]]:
    return {model: sorted(cell[model], key=lambda item: item.name) for model in sorted(cell)}


def _candidate(item: Item) -> Candidate:
    picture = load_image(item.path)
    height, width = picture.pixels.shape[:2]
    return Candidate(item.model, item.family, item.seed or 0, item.path, picture.content, width, height)


def perform(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """Measure a cell, in whatever process."""
    source, spec = words["source"], words.get("spec", "")
    resized = not is_image_attributor(spec) or load_image_attributor(spec).resizes
    attacks = StoredAttacks(source["folder"], source["prompts"], words["seed"], out, resized=resized)
    if len(attacks.models) < 2 or not attacks.items("none"):
        raise NotEnoughReferencesError(
            "attacks take two models with images of several prompts.",
            argument="dataset",
            fix="Add images of other prompts.",
        )
    return attacks.likeness(words["attack"]) if words["kind"] == "stored likeness" else attacks.method(spec)


def stored_jobs(plan: Plan, source: Source, attacks: StoredAttacks) -> list[Job]:
    """Likenesses, then methods."""
    queries = len(attacks.items("none"))
    shared = {"source": asdict(source), "seed": plan.seed, "encoder": DEFAULT_ENCODER}
    jobs = []
    for attack in (None, *ATTACKS) if attacks.gamma else ():
        words = {"kind": "stored likeness", "attack": attack, **shared}
        words["versions"] = versions("stored", "", DEFAULT_ENCODER)
        jobs.append(Job(f"001/{source.name}/likeness/{attack or 'plug-in'}", words, 3.0 + 0.3 * queries))
    for method in filter(plan.wants, ATTACKED):
        spec = budgeted(method, len(attacks.models), plan.training("001"))
        words = {"kind": "stored method", "method": method, "spec": spec, **shared}
        words["versions"] = versions("stored", spec, DEFAULT_ENCODER)
        trained = plan.training("001") if method in BUDGETS else 0.0
        jobs.append(Job(f"001/{source.name}/{method}", words, 10 + 0.5 * queries + trained))
    return jobs
