"""The bench that table 001 is measured on: images of the zoo, made where its weights are."""

from __future__ import annotations

from pathlib import Path

from benchmarks.papers.attacks import MEASURES, small_plan
from benchmarks.papers.plan import Plan
from benchmarks.zoo.bench import Bench
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.likeness import read_background, similarities
from benchmarks.zoo.variants import line_up

from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.generators.zoo.world import prompts as world_prompts


def open_bench(plan: Plan, weights: Path, out: Path, processes: int) -> Bench:
    """Images of queries, candidates and background; those that are there are not made again.

    Raises
    ------
    WeightsError
        The zoo's weights are not there.
    """
    lineup = line_up(weights, deployments=False)
    sizes = small_plan(plan)
    encoder, clip = load_encoder(DEFAULT_ENCODER), load_encoder(f"{weights / 'clip'}@projected")
    prompts = world_prompts("test", sizes.prompts, sizes.seed)
    background_prompts = world_prompts("train", sizes.background, sizes.seed)
    # Cells of this experiment are kept by `results`; the bench's own stay empty.
    bench = Bench(sizes, lineup, prompts, background_prompts, Cells(out / "bench.jsonl", {}), out)
    bench.make(processes, every=False)
    background = read_background(lineup.generators, background_prompts, sizes.background_images, encoder, out)
    measures = similarities(encoder, clip, background, out)
    bench.prepare(background, encoder, {name: measures[name] for name in MEASURES})
    return bench
