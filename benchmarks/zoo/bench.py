"""The regeneration experiment's measurements, each a loop over cells that are not measured yet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.images import BACKGROUND, OF_THE_PROMPT, QUERIES, REFERENCES, Order, images, make
from benchmarks.zoo.invert import invert
from benchmarks.zoo.likeness import same_and_cross, shared_words
from benchmarks.zoo.measure import ranks
from benchmarks.zoo.plan import ATTACKS, Plan, Query, all_queries, subset
from benchmarks.zoo.variants import Lineup

from morelli.attribution.catalogue import load_attributor
from morelli.attribution.learned import free_references
from morelli.attribution.likelihood import LikelihoodAttributor
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import embed
from morelli.generators.base import Generator
from morelli.images.degrade import degrade
from morelli.images.load import Picture, from_array, load_image
from morelli.inversion.base import Inverter
from morelli.regeneration.by_attributor import Background
from morelli.regeneration.candidates import Candidates, regenerate, share_out
from morelli.regeneration.fusion import Fusion, fit_fusion
from morelli.regeneration.pairwise import Pairwise
from morelli.regeneration.similarity import Similarity
from morelli.regeneration.stopwatch import Stopwatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: From models, files with their prompts, and γ.
Cost = Callable[[Sequence[Generator], Sequence[tuple[Path, str]], int], Mapping[str, Any]]
#: The attributor that the plug-in is added to; it does not know the query's prompt.
ATTRIBUTOR = "fused"


class Bench:
    """One plan's images and measurements. `make`, then `prepare`, then the rest in any order."""

    def __init__(
        self, plan: Plan, lineup: Lineup, prompts: Sequence[str], background: Sequence[str], cells: Cells, out: Path
    ) -> None:
        self.plan, self.lineup, self.prompts, self.background_prompts = plan, lineup, prompts, background
        self.cells, self.out, self.folder = cells, out, out / "images"
        self.queries, self.subset = all_queries(plan, lineup.models), subset(plan, lineup.models)
        self._generator = {each.model: each for each in lineup.generators}

    def make(self, processes: int = 1, *, every: bool = True) -> None:
        """All images but those of inverted prompts; without ``every``, of queries the subset's alone."""
        orders = []
        for query in () if every else self.subset:
            made = Order(self._generator[query.model], self.prompts[query.prompt], 1, QUERIES + query.number)
            orders.append(made)
        for generator in self.lineup.generators:
            for prompt in self.prompts:
                orders.append(Order(generator, prompt, self.plan.gamma, REFERENCES))
                if every:
                    orders.append(Order(generator, prompt, self.plan.queries, QUERIES))
            for prompt in self.background_prompts:
                orders.append(Order(generator, prompt, self.plan.background_images, BACKGROUND))
                orders.append(Order(generator, prompt, self.plan.gamma, REFERENCES))
        for line in make(orders, self.folder, processes):
            print(f"not made: {line}", file=sys.stderr)

    def prepare(self, background: Background, encoder: Encoder, measures: Mapping[str, Similarity]) -> None:
        """What queries are compared with."""
        self.background, self.encoder, self.measures = background, encoder, dict(measures)

    def picture(self, query: Query) -> Picture:
        """A query's image."""
        return load_image(self.path(query))

    def path(self, query: Query) -> Path:
        """The file of a query's image."""
        prompt = self.prompts[query.prompt]
        return images(self._generator[query.model], prompt, 1, QUERIES + query.number, self.folder)[0].path

    def candidates(self, prompt: str | Sequence[str], gamma: int) -> Candidates:
        """γ images of a prompt, or of several in all, by each model."""
        return regenerate(self.lineup.generators, prompt, gamma, self.folder, seed=REFERENCES)

    def likeness(self, name: str, pictures: Sequence[Picture], candidates: Candidates) -> NDArray[np.float64]:
        """Scores of pictures of one prompt, each alone: shape (n, m)."""
        measure = self.measures[name]
        if isinstance(measure, Pairwise):  # each picture by itself anyway
            return measure.compare(pictures, candidates, Stopwatch()).scores
        # What others compare together they take for forms of one query.
        return np.concatenate([measure.compare([each], candidates, Stopwatch()).scores for each in pictures])

    def ranked(self, pictures: Sequence[Picture], truth: Sequence[str], candidates: Candidates) -> dict[str, list[int]]:
        """Ranks by every measure that so many candidates allow."""
        gamma = len(candidates.images) // len(candidates.models)
        models = candidates.models.tolist()
        allowed = [name for name, measure in self.measures.items() if measure.least <= gamma]
        return {name: ranks(self.likeness(name, pictures, candidates), models, truth) for name in allowed}

    def _by_prompt(self, table: str, queries: Sequence[Query]) -> Iterator[tuple[str, int, list[Query]]]:
        """Cells of a table that are to be measured: key, prompt and its queries."""
        for prompt in range(len(self.prompts)):
            mine = [query for query in queries if query.prompt == prompt]
            key = f"{table}/p{prompt}"
            if mine and key not in self.cells:
                print(key, file=sys.stderr)
                yield key, prompt, mine

    def main(self) -> None:
        """All queries with the true prompt and γ candidates; likeness within and across models (§4.2)."""
        for key, prompt, mine in self._by_prompt("main", self.queries):
            pictures, truth = [self.picture(query) for query in mine], [query.model for query in mine]
            candidates = self.candidates(self.prompts[prompt], self.plan.gamma)
            pairs = {
                name: dict(same_and_cross(measure.pairs(pictures, candidates, Stopwatch()), candidates.labels, truth))
                for name, measure in self.measures.items()
                if isinstance(measure, Pairwise)
            }
            cell = {"prompt": prompt, "truth": truth, "rank": self.ranked(pictures, truth, candidates), "pairs": pairs}
            self.cells.add(key, cell)

    def gammas(self, gammas: Iterable[int]) -> None:
        """The subset with so many candidates."""
        for gamma in gammas:
            for key, prompt, mine in self._by_prompt(f"gamma/g{gamma}", self.subset):
                truth, candidates = [query.model for query in mine], self.candidates(self.prompts[prompt], gamma)
                found = self.ranked([self.picture(query) for query in mine], truth, candidates)
                self.cells.add(key, {"prompt": prompt, "gamma": gamma, "truth": truth, "rank": found})

    def attacks(self) -> None:
        """The subset after attacks: regeneration alone, an attributor alone, and both."""
        self._fit_plugin()
        fusions = {name: Fusion(**each) for name, each in self.cells.cells["plugin/fit"]["fusion"].items()}
        for attack, text in ATTACKS.items():
            for key, prompt, mine in self._by_prompt(f"attack/{attack}", self.subset):
                truth, pictures = [query.model for query in mine], [self._attacked(query, text) for query in mine]
                candidates = self.candidates(self.prompts[prompt], self.plan.gamma)
                models = candidates.models.tolist()
                own = self._attributor_scores(pictures)
                found = {ATTRIBUTOR: ranks(own, models, truth)}
                for name, fusion in fusions.items():
                    values = self.likeness(name, pictures, candidates)
                    found[f"regeneration {name}"] = ranks(values, models, truth)
                    found[f"{ATTRIBUTOR} and {name}"] = ranks(fusion(own, values), models, truth)
                self.cells.add(key, {"prompt": prompt, "attack": attack, "truth": truth, "rank": found})

    def _attacked(self, query: Query, text: str) -> Picture:
        picture = self.picture(query)
        if not text:
            return picture
        # Every picture gets noise of its own, the same in every run.
        seed = int(picture.content[:8], 16)
        return from_array(degrade(picture.pixels, text, seed=seed), query.key)

    @cached_property
    def _attributor(self) -> LikelihoodAttributor:
        attributor = load_attributor(ATTRIBUTOR)
        assert isinstance(attributor, LikelihoodAttributor)
        return attributor.fit(self.background.data)

    def _attributor_scores(self, pictures: Sequence[Picture]) -> NDArray[np.float64]:
        """Of pictures whose prompt is unknown, by the background's images: shape (n, m), models sorted."""
        cache = EmbeddingCache(self.out / "cache")
        vectors = embed(self.encoder, pictures, cache=cache, on_error="raise").vectors
        return self._attributor.scores(vectors, free_references(self._attributor, self.background.data))

    def _fit_plugin(self) -> None:
        """The weight of each measure, learnt from one image of each background prompt and model."""
        if "plugin/fit" in self.cells:
            return
        crossed = self._attributor.cross_scores(0)
        first = np.array([self.background.references[row].seed == BACKGROUND for row in crossed.rows])
        rows, scores, truth = crossed.rows[first], crossed.scores[first], crossed.truth[first]
        likeness = {name: np.zeros_like(scores) for name in self.measures}
        for prompt in self.background_prompts:
            mine = np.flatnonzero([self.background.references[row].prompt == prompt for row in rows])
            if not len(mine):
                continue
            print(f"plug-in: {prompt}", file=sys.stderr)
            pictures = [self._background_picture(rows[i]) for i in mine]
            candidates = self.candidates(prompt, self.plan.gamma)
            for name, values in likeness.items():
                values[mine] = self.likeness(name, pictures, candidates)
        fusion = {name: asdict(fit_fusion(scores, values, truth)) for name, values in likeness.items()}
        self.cells.add("plugin/fit", {"fusion": fusion, "queries": len(rows)})

    def _background_picture(self, row: int) -> Picture:
        known = self.background.references[row]
        assert known.seed is not None
        made = images(self._generator[known.model], known.prompt, 1, known.seed, self.folder)
        return load_image(made[0].path)

    def inversions(
        self,
        inverters: Mapping[str, Callable[[], Inverter]],
        texts: Callable[[NDArray[np.uint8], str, str], Mapping[str, float]],
        processes: int = 1,
    ) -> None:
        """A prompt for each query of the subset by each inverter, how near it is to the true one, and its time."""
        for kind, load in inverters.items():
            missing = [query for query in self.subset if f"inverted/{kind}/{query.key}" not in self.cells]
            inverted = invert(load, [self.path(query) for query in missing], processes)
            for query, found in zip(missing, inverted, strict=True):
                cell = {"kind": kind, "prompt": query.prompt, "found": list(found.prompts), "seconds": found.seconds}
                if found.prompts:
                    true = self.prompts[query.prompt]
                    seen = texts(self.picture(query).pixels, found.prompts[0], true)
                    cell["texts"] = {**seen, "words": max(shared_words(each, true) for each in found.prompts)}
                self.cells.add(f"inverted/{kind}/{query.key}", cell)

    def by_inverter(self, kinds: Sequence[str], processes: int = 1) -> None:
        """The subset with prompts of these inverters. One that no model reads counts as a miss."""
        missing = []
        for kind in kinds:
            for query in self.subset:
                if f"by-inverter/{kind}/{query.key}" not in self.cells:
                    missing.append((kind, query, self.cells.cells[f"inverted/{kind}/{query.key}"]["found"]))
        wanted: dict[str, int] = {}
        for *_, prompts in missing:
            for prompt, count in (share_out(prompts, self.plan.gamma) if prompts else {}).items():
                wanted[prompt] = max(count, wanted.get(prompt, 0))
        models = self.lineup.generators
        make((Order(each, text, count, REFERENCES) for each in models for text, count in wanted.items()), self.folder,
             processes)  # fmt: skip
        for kind, query, prompts in missing:
            print(f"by-inverter/{kind}/{query.key}", file=sys.stderr)
            cell: dict[str, Any] = {"kind": kind, "prompt": query.prompt, "truth": [query.model]}
            candidates = self._readable(prompts, f"{kind}, {query.key}")
            found = None if candidates is None else self.ranked([self.picture(query)], cell["truth"], candidates)
            cell["rank"] = found or {name: [None] for name in self.measures}
            self.cells.add(f"by-inverter/{kind}/{query.key}", cell)

    def _readable(self, prompts: Sequence[str], what: str) -> Candidates | None:
        """Candidates of inverted prompts; None where a model cannot make anything of the first."""
        if not prompts:
            return None
        try:
            return self.candidates(prompts, self.plan.gamma)
        except OF_THE_PROMPT as error:
            if error.argument not in {each.id for each in self.lineup.generators}:
                raise  # of the folder, not of the prompt
            print(f"{what}: {error}", file=sys.stderr)
            return None

    def costs(self, measure: Cost) -> None:
        """Time and memory for some γ and numbers of models."""
        # One query a prompt: another would find its candidates made.
        first = {query.prompt: query for query in reversed(self.subset)}
        chosen = sorted(first.values(), key=lambda query: query.prompt)[: self.plan.cost_queries]
        for gamma in self.plan.cost_gammas:
            for count in self.plan.cost_models:
                key = f"cost/g{gamma}/m{count}"
                if key in self.cells or count > len(self.lineup.generators):
                    continue
                print(key, file=sys.stderr)
                listed = [(self.path(query), self.prompts[query.prompt]) for query in chosen]
                self.cells.add(key, measure(self.lineup.generators[:count], listed, gamma))
