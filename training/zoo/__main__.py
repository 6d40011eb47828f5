"""Training the mini-zoo from the command line.

::

    python -m training.zoo queue --out DIR                        # turn by turn, for as long as one likes
    python -m training.zoo all --hours-per-model 1.5 --out DIR    # each once, to the end
    python -m training.zoo train latent --minutes 20 --out DIR
    python -m training.zoo score latent --count 256 --out DIR
    python -m training.zoo publish --out DIR --models latent unet --to src/morelli/generators/zoo/weights

Every one of them may be killed at any time and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from training.zoo.context import Context, pick_device, prepare_threads
from training.zoo.data import draw_set
from training.zoo.export import note, publish, read_entries
from training.zoo.loop import Trainer
from training.zoo.plan import COURSES, is_final, may_start
from training.zoo.score import score

from morelli.generators.zoo.load import quiet


def turn(context: Context, name: str, seconds: float, budget: float | None, count: int = 64) -> None:
    """Train a part for some time, export it, score it, and say so in ``scores.jsonl``."""
    trainer = Trainer(COURSES[name].recipe(context))
    trainer.run(seconds, budget)
    made = trainer.export(context.export)
    # Scores come after the export is whole: a killed run finds the new weights with their own record.
    note(context.out, name, **made, training=trainer.record())
    rate(context, name, count)


def rate(context: Context, name: str, count: int) -> dict[str, Any]:
    """Score an exported part and keep the figures with its record."""
    start = time.monotonic()
    figures = score(context, name, count)
    record = read_entries(context.out)[name]["training"]
    note(context.out, name, training={**record, "agreement": figures, "prompts": count})
    line = {"model": name, **record, **figures, "prompts": count, "scoring": round(time.monotonic() - start)}
    with (context.out / "scores.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)
    return figures


def queue(context: Context, only: list[str]) -> None:
    """Give each part that may start and is not final its turn, round after round, until all are final."""
    while True:
        waiting = False
        for name, course in COURSES.items():
            entries = read_entries(context.out)
            if (only and name not in only) or is_final(name, entries.get(name, {})):
                continue
            if not may_start(name, entries):
                continue
            waiting = True
            turn(context, name, 60 * course.turn, None)
        if not waiting:
            return


def train_all(context: Context, hours: float, only: list[str]) -> None:
    """Train each part once for its share of the hours, the learning rate falling towards the end."""
    for name, course in COURSES.items():
        budget = 3600 * hours * course.share
        record = read_entries(context.out).get(name, {}).get("training", {})
        if (only and name not in only) or record.get("seconds", 0) >= budget * 0.99:
            continue
        turn(context, name, budget - record.get("seconds", 0), budget, 128)


def _cores(device: torch.device) -> int:
    """Processes that may draw: a machine with a GPU is taken to be ours alone."""
    return (os.cpu_count() or 1) if device.type == "cuda" else 1


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m training.zoo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["data", "queue", "all", "train", "score", "publish"])
    parser.add_argument("names", nargs="*", help="parts: " + ", ".join(COURSES))
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--data", type=Path, help="folder of the drawn pictures (default: OUT/data)")
    parser.add_argument("--pictures", type=int, default=80_000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--hours-per-model", type=float, default=1.5)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--count", type=int, default=128, help="test prompts to score with")
    parser.add_argument("--to", type=Path, help="weights folder to publish to")
    options = parser.parse_args()
    for name in options.names:
        if name not in COURSES:
            parser.error(f"no part is called {name!r}; there are {', '.join(COURSES)}")
    with quiet():
        run(options, parser)


def run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Do what the command line says."""
    device = pick_device(options.device)
    prepare_threads(device, options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "publish":
        if options.to is None:
            parser.error("publish needs --to")
        print(publish(options.out, options.to, options.names), "bytes")
        return
    pictures = draw_set(
        options.data or options.out / "data", options.pictures, workers=max(options.threads, _cores(device))
    )
    context = Context(options.out, pictures, device)
    if options.what == "queue":
        queue(context, options.names)
    elif options.what == "all":
        train_all(context, options.hours_per_model, options.names)
    elif options.what in ("train", "score"):
        for name in options.names:
            if options.what == "train":
                turn(context, name, 60 * options.minutes, None, options.count)
            else:
                rate(context, name, options.count)


if __name__ == "__main__":
    main()
