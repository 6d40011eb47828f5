"""What the regeneration experiment measures, and its queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.zoo.measure import pick

#: Name in tables → text form of `morelli.images.degrade`.
ATTACKS = {
    "none": "",
    "jpeg": "jpeg:75",
    "blur": "blur:0.8",
    "crop-resize": "crop:0.9",
    "noise": "noise:6",
    "combination": "crop:0.9+blur:0.8+noise:6+jpeg:75",
}

#: Name in tables → spec of `morelli.inversion.catalogue` with the zoo's networks. ``blip`` shares γ among the three
#: captions of its beams, ``blip-1`` is the published best one alone.
INVERTERS = {
    "blip": "blip:{weights}/captioner",
    "blip-1": "blip:{weights}/captioner@captions=1",
    "pez": "pez:{weights}/clip@iterations={iterations}",
}
#: What can be measured by itself, in the order of the tables.
TABLES = ("main", "gammas", "inverters", "attacks", "costs")


@dataclass(frozen=True)
class Plan:
    """Sizes of the experiment.

    Attributes
    ----------
    prompts, queries : int
        Held-out prompts, and queries of each by each model, for the main table.
    subset : int
        Of those queries, drawn with the seed, for everything else.
    gamma : int
        Most candidates a model.
    background, background_images : int
        Training prompts for the plug-in and for similarities that learn, and images of each by each model.
    cost_gammas, cost_models : tuple of int
        For which time and memory are measured.
    cost_queries : int
    inverters : tuple of str
        Keys of `INVERTERS`, beside the given prompt.
    pez_iterations : int
    seed : int
    """

    prompts: int = 48
    queries: int = 5
    subset: int = 128
    gamma: int = 10
    background: int = 24
    background_images: int = 3
    cost_gammas: tuple[int, ...] = (2, 5, 10)
    cost_models: tuple[int, ...] = (2, 4, 8)
    cost_queries: int = 2
    inverters: tuple[str, ...] = ("blip", "blip-1", "pez")
    pez_iterations: int = 3000
    seed: int = 0


@dataclass(frozen=True)
class Query:
    """One picture in question: the number of its prompt, its model, and which of that model's it is."""

    prompt: int
    model: str
    number: int

    @property
    def key(self) -> str:
        """Short text for cells."""
        return f"p{self.prompt}.{self.model}.{self.number}"


def all_queries(plan: Plan, models: Sequence[str]) -> list[Query]:
    """Every query of the main table, by prompt."""
    return [Query(p, model, i) for p in range(plan.prompts) for model in models for i in range(plan.queries)]


def subset(plan: Plan, models: Sequence[str]) -> list[Query]:
    """The queries of the other tables: chosen by the seed alone."""
    every = all_queries(plan, models)
    return [every[i] for i in pick(np.random.default_rng(plan.seed), len(every), plan.subset)]
