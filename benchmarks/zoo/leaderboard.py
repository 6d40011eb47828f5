"""A leaderboard of models that answer one prompt each: python -m benchmarks.zoo.leaderboard --out DIR

The attacker knows a picture's prompt, asks every candidate for k images of it, and compares. Accuracy among all
variants and by base, for k from 1 to 30 and for pools of candidates; statistics come from other prompts' images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.zoo import report
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.images import QUERIES, REFERENCES, Order, images, make
from benchmarks.zoo.measure import base_ranks, ranks, spread_queries
from benchmarks.zoo.variants import Lineup, line_up

from morelli.attribution.base import Attributor
from morelli.attribution.catalogue import load_attributor
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.embed import embed
from morelli.errors import MorelliError
from morelli.generators.zoo.manifest import WEIGHTS
from morelli.generators.zoo.world import prompts as world_prompts
from morelli.types import LabelledEmbeddings

METHODS = ("euclid", "cosine", "plda", "lda", "fused")


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes
    ----------
    queries, prompts : int
        Queries in all, spread over that many held-out prompts and over the variants.
    ks : tuple of int
        References a candidate.
    pools : tuple of int
        Candidates; all of them are always tried.
    draws : int
        Random pools of each size but the largest.
    folds : int
        Of the prompts: a query's statistics come from the prompts of the other folds.
    background : int
        Images of a variant and prompt that statistics are learnt from.
    seed : int
    methods : tuple of str
    """

    queries: int = 128
    prompts: int = 16
    ks: tuple[int, ...] = (1, 2, 3, 5, 10, 20, 30)
    pools: tuple[int, ...] = (5, 10, 15, 22)
    draws: int = 5
    folds: int = 4
    background: int = 5
    seed: int = 0
    methods: tuple[str, ...] = METHODS


class Board:
    """The images of a plan, embedded, and the statistics of its folds."""

    def __init__(self, plan: Plan, lineup: Lineup, prompts: Sequence[str], encoder: Encoder, out: Path) -> None:
        self.plan, self.lineup, self.prompts, self.encoder, self.out = plan, lineup, prompts, encoder, out
        rng = np.random.default_rng(plan.seed)
        self.queries = spread_queries(lineup.models, len(prompts), plan.queries, rng)
        self._pools = {pool: self._draw(rng, pool) for pool in plan.pools if pool < len(lineup.models)}
        self._fitted: dict[tuple[int, str], Attributor] = {}

    def _draw(self, rng: np.random.Generator, size: int) -> list[list[str]]:
        models = self.lineup.models
        return [[models[i] for i in sorted(rng.permutation(len(models))[:size])] for _ in range(self.plan.draws)]

    def orders(self) -> Iterator[Order]:
        """Every image that the plan needs."""
        made = {each.model: each for each in self.lineup.generators}
        for prompt in self.prompts:
            for generator in self.lineup.generators:
                yield Order(generator, prompt, max(*self.plan.ks, self.plan.background), REFERENCES)
        for prompt, model, number in self.queries:
            yield Order(made[model], self.prompts[prompt], 1, QUERIES + number)

    def embed(self) -> None:
        """Embed every image; those that were embedded before are not again."""
        made = {each.model: each for each in self.lineup.generators}
        folder, paths, labels = self.out / "images", [], []
        for order in self.orders():
            for image in images(order.generator, order.prompt, order.count, order.seed, folder):
                paths.append(image.path)
                labels.append((image.model, self.prompts.index(order.prompt), image.seed))

        def progress(done: int, total: int) -> None:
            if done % 500 == 0 or done == total:
                print(f"{done} of {total} images embedded", file=sys.stderr)

        cache = EmbeddingCache(self.out / "cache")
        vectors = embed(self.encoder, paths, cache=cache, on_error="raise", progress=progress).vectors
        models = np.array([label[0] for label in labels])
        self.prompt_of = np.array([label[1] for label in labels])
        self.seed_of = np.array([label[2] for label in labels])
        families = np.array([made[model].family for model in models])
        self.data = LabelledEmbeddings(vectors, models, self.prompt_of.astype(str), families)
        self.row = {label: row for row, label in enumerate(labels)}

    def cells(self) -> Iterator[tuple[str, int, int, int, list[str]]]:
        """Key, prompt, k, pool's number and candidates."""
        for prompt in sorted({query[0] for query in self.queries}):
            for k in self.plan.ks:
                yield f"pool/{len(self.lineup.models)}.0/k{k}/p{prompt}", prompt, k, 0, self.lineup.models
                for size, pools in self._pools.items():
                    for number, pool in enumerate(pools):
                        yield f"pool/{size}.{number}/k{k}/p{prompt}", prompt, k, number, pool

    def measure(self, prompt: int, k: int, number: int, pool: list[str]) -> dict[str, Any]:
        """Ranks of a prompt's queries that some candidate made."""
        asked = [query for query in self.queries if query[0] == prompt and query[1] in pool]
        cell: dict[str, Any] = {"prompt": prompt, "k": k, "pool": len(pool), "draw": number}
        cell |= {"bases": len({self.lineup.bases[model] for model in pool}), "truth": [query[1] for query in asked]}
        cell |= {"rank": {}, "base_rank": {}}
        if not asked:
            return cell
        vectors = self.data.take(np.array([self.row[m, p, QUERIES + i] for p, m, i in asked])).vectors
        here = (self.prompt_of == prompt) & (self.seed_of < REFERENCES + k) & np.isin(self.data.models, pool)
        references = self.data.take(here)
        for method in self.plan.methods:
            attributor = self._attributor(prompt, method)
            scores = attributor.scores(vectors, references, str(prompt))
            models = attributor.candidates(references).tolist()
            cell["rank"][method] = ranks(scores, models, cell["truth"])
            cell["base_rank"][method] = base_ranks(scores, models, cell["truth"], self.lineup.bases)
        return cell

    def _attributor(self, prompt: int, method: str) -> Attributor:
        fold = prompt % self.plan.folds
        if (fold, method) not in self._fitted:
            others = (self.prompt_of % self.plan.folds != fold) & (self.seed_of < REFERENCES + self.plan.background)
            attributor = load_attributor(method)
            self._fitted[fold, method] = attributor.fit(self.data.take(others) if attributor.uses_background else None)
        return self._fitted[fold, method]


def run(plan: Plan, lineup: Lineup, prompts: Sequence[str], encoder: Encoder, out: Path, processes: int = 1) -> Cells:
    """Measure what is not measured yet.

    Raises
    ------
    InputError
        ``out`` holds cells of another plan, or a prompt cannot be read.
    GeneratorError, WeightsError, StorageError
        What was made is kept.
    """
    stamp = encoder.stamp
    settings: Mapping[str, Any] = {
        "plan": asdict(plan),
        "models": lineup.revisions,
        "bases": dict(lineup.bases),
        "absent": lineup.absent,
        "prompts": list(prompts),
        "encoder": f"{stamp.encoder} {stamp.revision} {stamp.preprocessing}",
    }
    cells = Cells(out / "leaderboard.jsonl", settings)
    board = Board(plan, lineup, prompts, encoder, out)
    missing = [cell for cell in board.cells() if cell[0] not in cells]
    if missing:
        make(board.orders(), out / "images", processes)
        board.embed()
    said: set[int] = set()
    for key, prompt, k, number, pool in missing:
        if prompt not in said:
            print(f"prompt {prompt + 1} of {len(prompts)}", file=sys.stderr)
            said.add(prompt)
        cells.add(key, board.measure(prompt, k, number, pool))
    return cells


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for images, embeddings, cells and tables")
    parser.add_argument("--queries", type=int, default=128)
    parser.add_argument("--prompts", type=int, default=16, help="held-out prompts that the queries are spread over")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the zoo's weights")
    parser.add_argument("--processes", type=int, default=2, help="that make images")
    given = parser.parse_args()
    plan = Plan(queries=given.queries, prompts=given.prompts, seed=given.seed)
    try:
        lineup = line_up(given.weights)
        prompts = world_prompts("test", plan.prompts, plan.seed)
        cells = run(plan, lineup, prompts, load_encoder(DEFAULT_ENCODER), given.out, given.processes)
    except MorelliError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report.write_leaderboard(cells, asdict(plan), lineup, given.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
