"""Attribution by regeneration on the zoo: python -m benchmarks.zoo.regeneration --out DIR

Tables: similarities with the true prompt; γ from 1 to 10; given, BLIP and PEZ prompts; attacks with and without the
plug-in; likeness within and across models; what an inverted prompt costs; time and memory.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.zoo import regeneration_report
from benchmarks.zoo.bench import Bench
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.cost import measure_alone
from benchmarks.zoo.likeness import Texts, read_background, similarities
from benchmarks.zoo.plan import INVERTERS, TABLES, Plan
from benchmarks.zoo.variants import line_up

from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.errors import InputError, MorelliError
from morelli.generators.zoo.manifest import WEIGHTS
from morelli.generators.zoo.world import prompts as world_prompts
from morelli.inversion.catalogue import load_inverter


def measure(plan: Plan, weights: Path, out: Path, processes: int, tables: Collection[str] = TABLES) -> Bench:
    """Measure what is not measured yet of these tables, in their order.

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
    bench.make(processes, every="main" in tables)
    background = read_background(lineup.generators, background_prompts, plan.background_images, encoder, out)
    bench.prepare(background, encoder, similarities(encoder, clip, background, out))
    if "main" in tables:
        bench.main()
    if "gammas" in tables:
        bench.gammas(range(1, plan.gamma + 1))
    if "inverters" in tables:
        bench.gammas([plan.gamma])  # with the given prompt: what the others are compared with
        specs = {
            kind: INVERTERS[kind].format(weights=weights, iterations=plan.pez_iterations) for kind in plan.inverters
        }
        texts = Texts(weights / "clip")
        for kind, spec in specs.items():
            bench.inversions({kind: partial(load_inverter, spec)}, texts, processes)
            bench.by_inverter([kind], processes)
    if "attacks" in tables:
        bench.attacks()
    if "costs" in tables:
        bench.costs(lambda models, queries, gamma: measure_alone(models, weights, "fused", queries, gamma))
    return bench


def _names(text: str, allowed: Collection[str], option: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if set(names) - set(allowed):
        raise InputError(f"takes {', '.join(allowed)}, with commas between them; got {text!r}.", argument=option)
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for images, embeddings, cells and tables")
    parser.add_argument("--prompts", type=int, default=Plan.prompts, help="held-out prompts of the main table")
    parser.add_argument("--subset", type=int, default=Plan.subset, help="queries of the other tables")
    parser.add_argument("--pez-iterations", type=int, default=Plan.pez_iterations)
    parser.add_argument("--inverters", default=",".join(Plan.inverters), help=f"of {', '.join(INVERTERS)}")
    parser.add_argument("--tables", default=",".join(TABLES), help="what to measure now; the rest can follow later")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the zoo's weights")
    parser.add_argument("--processes", type=int, default=2, help="that make images and invert")
    given = parser.parse_args()
    try:
        inverters = _names(given.inverters, INVERTERS, "--inverters")
        tables = _names(given.tables, TABLES, "--tables")
    except InputError as error:
        parser.error(str(error))
    plan = Plan(
        prompts=given.prompts,
        subset=given.subset,
        pez_iterations=given.pez_iterations,
        inverters=inverters,
        seed=given.seed,
    )
    try:
        bench = measure(plan, given.weights, given.out, given.processes, tables)
    except MorelliError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(regeneration_report.write(bench.cells, plan, bench.lineup, given.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
