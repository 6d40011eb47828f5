"""The main job with nothing at hand: who of the built-in models made this picture?

    python tools/demo_zoo.py [--out out/demo] [--k 10] [--seed 7]

A built-in model, drawn by lot, makes a mystery picture of a prompt that none was trained on. Every model is then asked
for k images of that prompt, and with these as references the picture is identified. Every step is a command of
``morelli`` and is printed before it runs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo import run_morelli
from morelli.errors import MorelliError, NotEnoughReferencesError, WeightsError
from morelli.generators.base import Generator
from morelli.generators.catalogue import ZOO, load_generators
from morelli.generators.zoo.catalogue import names
from morelli.generators.zoo.manifest import WEIGHTS
from morelli.generators.zoo.world import prompts as world_prompts


def candidates(spec: str) -> list[Generator]:
    """The models that may have made the picture.

    Raises
    ------
    WeightsError
        The built-in ones are asked for, and this installation has none.
    MorelliError
        The spec names no generators, or only one.
    """
    if spec == ZOO and not names():
        raise WeightsError(
            f"this installation carries no weights of the built-in models ({WEIGHTS} has no manifest.json).",
            argument=ZOO,
            fix="Train them (training/zoo/README.md says how), or run the demonstration on images that you have: "
            "make demo DATA=folder.",
        )
    found = load_generators(spec)
    if len(found) < 2:
        raise NotEnoughReferencesError(f"is {len(found)} model; two are the least.", argument=spec)
    return found


def make_mystery(generator: Generator, prompt: str, seed: int, place: Path) -> Path | None:
    """The mystery picture, under a name that tells nothing; None where it could not be made."""
    folder = place / "mystery"
    asked = ["generate", prompt, "--generator", generator.id, "--seed", str(seed), "--out", str(folder), "--json"]
    shown = [part if part != generator.id else "(drawn by lot)" for part in asked]
    status, _ = run_morelli(asked, capture=True, shown=shown)
    made = list(folder.rglob("*.png"))
    if status or len(made) != 1:
        return None
    return Path(shutil.copy(made[0], place / "mystery.png"))


def run(spec: str, out: Path, k: int, seed: int) -> int:
    """The whole demonstration; its exit status.

    Raises
    ------
    MorelliError
        There are no models to ask.
    """
    models = candidates(spec)
    drawn = random.Random(seed).choice(models)  # noqa: S311 - a game of chance
    (prompt,) = world_prompts("test", 1, seed)
    place = out / f"zoo-{seed}-{k}"
    place.mkdir(parents=True, exist_ok=True)
    print(f"{len(models)} candidates: {', '.join(each.model for each in models)}\nPrompt: {prompt}")
    # The references have the seeds 0 to k - 1.
    picture = make_mystery(drawn, prompt, k, place)
    if picture is None:
        return 1
    identify = ["identify", str(picture), "--method", "regeneration", "--generators", spec]
    identify += ["--prompt", prompt, "--gamma", str(k)]
    status, _ = run_morelli(identify)
    if status:
        return status
    # Once more for this program to read; the references are there by now.
    status, text = run_morelli([*identify, "--json"], capture=True)
    if not status:
        print(f"\n{answer(json.loads(text), drawn.model)}\nThe picture: {picture}")
    return status


def answer(verdict: Mapping[str, Any], truth: str) -> str:
    """Who it was, and whether the verdict says so."""
    decision, first = verdict["decision"], verdict["ranking"][0]
    if decision == truth:
        return f"It was {truth}: the verdict is right."
    if decision in ("unsure", "none"):
        guess = f"and {'it' if first['model'] == truth else first['model']} is in first place"
        return f"It was {truth}; the verdict says {decision}, {guess} ({first['probability']:.2f})."
    return f"It was {truth}, and the verdict says {decision}: wrong this time."


def main() -> int:
    parser = argparse.ArgumentParser(description="Identify a picture that a built-in model has made.")
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    parser.add_argument("--k", type=int, default=10, help="references by each model, at least 2")
    parser.add_argument("--seed", type=int, default=None, help="of the lot; by default another one every time")
    parser.add_argument("--generators", default=ZOO, help="the candidates; by default the built-in models")
    given = parser.parse_args()
    if given.k < 2:
        parser.error("--k must be at least 2")
    seed = random.SystemRandom().randrange(10_000) if given.seed is None else given.seed
    try:
        return run(given.generators, given.out, given.k, seed)
    except MorelliError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
