"""Training the mini-zoo from the command line.

::

    python -m training.zoo queue --out DIR                        # turn by turn, for as long as one likes
    python -m training.zoo all --hours-per-model 1.5 --out DIR    # each once, to the end
    python -m training.zoo train latent --minutes 20 --out DIR
    python -m training.zoo score latent --count 256 --out DIR
    python -m training.zoo publish latent unet --out DIR --to src/morelli/generators/zoo/weights
    python -m training.zoo cards --out DIR                        # docs/zoo.md from the published weights

Every one of them may be killed at any time and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from training.zoo.cards import write_cards
from training.zoo.context import Context, pick_device, prepare_threads
from training.zoo.data import draw_set
from training.zoo.export import note, publish, read_entries
from training.zoo.loop import STOP, Trainer
from training.zoo.parallel import train_parallel
from training.zoo.plan import COURSES, is_final, may_start
from training.zoo.score import score

from morelli.generators.zoo.load import quiet
from morelli.generators.zoo.manifest import WEIGHTS, read_manifest


def turn(context: Context, name: str, seconds: float | None, budget: float | None, count: int = 64) -> None:
    """Train a part for some time, or what is left of its budget, export it, score it, and say so in ``scores.jsonl``.

    A turn that was killed has left a checkpoint and no record: the time in the checkpoint counts.
    """
    trainer = Trainer(COURSES[name].recipe(context))
    trainer.run((budget or 0.0) - trainer.seconds if seconds is None else seconds, budget)
    if STOP.is_set():
        raise SystemExit(f"{name} is saved at step {trainer.step}")
    folder = context.out / "made" / name
    made = trainer.export(folder)
    # Scores come after the export is whole: a killed run finds the new weights with their own record.
    note(context.out, name, folder, **made, training=trainer.record())
    rate(context, name, count)


def rate(context: Context, name: str, count: int) -> dict[str, Any]:
    """Score an exported part and keep the figures with its record."""
    if count == 0:
        return {}
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


def train_all(context: Context, hours: float, only: list[str], count: int) -> None:
    """Train each part once for its share of the hours, the learning rate falling towards the end."""
    for name, course in COURSES.items():
        budget = 3600 * hours * course.share
        record = read_entries(context.out).get(name, {}).get("training", {})
        if (only and name not in only) or record.get("seconds", 0) >= budget * 0.99:
            continue
        turn(context, name, None, budget, count)


def _passed_on(options: argparse.Namespace) -> list[str]:
    """The options of a part's own process."""
    names = ("out", "data", "pictures", "device", "hours_per_model", "count")
    given = [(name, getattr(options, name)) for name in names]
    return [text for name, value in given if value is not None for text in (f"--{name.replace('_', '-')}", str(value))]


def _cores(device: torch.device) -> int:
    """Processes that may draw: a machine with a GPU is taken to be ours alone."""
    return (os.cpu_count() or 1) if device.type == "cuda" else 1


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m training.zoo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["data", "queue", "all", "train", "score", "publish", "cards"])
    parser.add_argument("names", nargs="*", help="parts: " + ", ".join(COURSES))
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--data", type=Path, help="folder of the drawn pictures (default: OUT/data)")
    parser.add_argument("--pictures", type=int, default=80_000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--hours-per-model", type=float, default=1.5)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--count", type=int, default=128, help="test prompts to score with; 0: none")
    parser.add_argument("--parallel", action="store_true", help="all: every part in a process of its own, for a GPU")
    parser.add_argument("--to", type=Path, help="weights folder to publish to")
    options = parser.parse_args()
    for name in options.names:
        if name not in COURSES:
            parser.error(f"no part is called {name!r}; there are {', '.join(COURSES)}")
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: STOP.set())
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
    if options.what == "cards":
        manifest = read_manifest()
        parts = json.loads((WEIGHTS / "manifest.json").read_text(encoding="utf-8"))["parts"]
        write_cards(manifest, parts, Path("docs/zoo.md"), Path("docs/images/zoo.png"))
        return
    pictures = draw_set(
        options.data or options.out / "data", options.pictures, workers=max(options.threads, _cores(device))
    )
    context = Context(options.out, pictures, device)
    if options.what == "queue":
        queue(context, options.names)
    elif options.what == "all":
        if options.parallel:
            ended = train_parallel(context, options.names or list(COURSES), _passed_on(options))
            raise SystemExit(max(ended.values(), default=0) != 0)
        train_all(context, options.hours_per_model, options.names, options.count)
    elif options.what in ("train", "score"):
        for name in options.names:
            if options.what == "train":
                turn(context, name, 60 * options.minutes, None, options.count)
            else:
                rate(context, name, options.count)


if __name__ == "__main__":
    main()
