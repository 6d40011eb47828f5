"""Attribution by regeneration on the zoo: python -m benchmarks.zoo.regeneration --out DIR

Tables: similarities with the true prompt; γ from 1 to 10; given, BLIP and PEZ prompts; attacks with and without the
plug-in; likeness within and across models; what an inverted prompt costs; time and memory.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.zoo import regeneration_report
from benchmarks.zoo.bench import Bench
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.cost import measure_alone
from benchmarks.zoo.likeness import Texts, read_background, similarities
from benchmarks.zoo.plan import Plan
from benchmarks.zoo.variants import line_up

from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.errors import MorelliError
from morelli.generators.zoo.manifest import WEIGHTS
from morelli.generators.zoo.world import prompts as world_prompts
from morelli.inversion.catalogue import load_inverter


def measure(plan: Plan, weights: Path, out: Path, processes: int) -> Bench:
    """Measure what is not measured yet, in the order of the tables.

    Raises
    ------
    MorelliError
        Weights are absent, ``out`` holds another plan's cells, or an image cannot be made. What was made is kept.
    """
    lineup = line_up(weights, deployments=False)
    encoder, clip = load_encoder(DEFAULT_ENCODER), load_encoder(f"{weights / 'clip'}@projected")
    prompts = world_prompts("test", plan.prompts, plan.seed)
    background_prompts = world_prompts("train", plan.background, plan.seed)
    settings = {
        "plan": asdict(plan),
        "models": lineup.revisions,
        "absent": lineup.absent,
        "prompts": prompts,
        "background": background_prompts,
        "encoders": [f"{each.stamp.encoder} {each.stamp.revision}" for each in (encoder, clip)],
    }
    cells = Cells(out / "regeneration.jsonl", settings)
    bench = Bench(plan, lineup, prompts, background_prompts, cells, out)
    bench.make(processes)
    background = read_background(lineup.generators, background_prompts, plan.background_images, encoder, out)
    bench.prepare(background, encoder, similarities(encoder, clip, background, out))
    bench.main()
    bench.gammas()
    bench.attacks()

    parts = {"blip": "captioner", "pez": f"clip@iterations={plan.pez_iterations}"}
    inverters = {kind: partial(load_inverter, f"{kind}:{weights / parts[kind]}") for kind in plan.inverters}
    bench.inversions(inverters, Texts(weights / "clip"), processes)
    bench.by_inverter(processes)
    bench.costs(lambda models, queries, gamma: measure_alone(models, weights, "fused", queries, gamma))
    return bench


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for images, embeddings, cells and tables")
    parser.add_argument("--prompts", type=int, default=Plan.prompts, help="held-out prompts of the main table")
    parser.add_argument("--subset", type=int, default=Plan.subset, help="queries of the other tables")
    parser.add_argument("--pez-iterations", type=int, default=Plan.pez_iterations)
    parser.add_argument("--inverters", default=",".join(Plan.inverters), help="of blip and pez")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the zoo's weights")
    parser.add_argument("--processes", type=int, default=2, help="that make images and invert")
    given = parser.parse_args()
    inverters = tuple(name for name in given.inverters.split(",") if name)
    if set(inverters) - {"blip", "pez"}:
        parser.error("--inverters takes blip, pez, or both with a comma between them")
    plan = Plan(
        prompts=given.prompts,
        subset=given.subset,
        pez_iterations=given.pez_iterations,
        inverters=inverters,
        seed=given.seed,
    )
    try:
        bench = measure(plan, given.weights, given.out, given.processes)
    except MorelliError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(regeneration_report.write(bench.cells, plan, bench.lineup, given.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
