"""The 22 variants as a leaderboard to audit: python -m benchmarks.zoo.exposure --out DIR

Makes every variant's images of held-out prompts and writes them as one dataset, DIR/images, which ``morelli exposure``
reads. Images are kept where the other experiments keep theirs: with ``--images`` of one of those, what it made of the
same prompts is not made again. A run that was interrupted goes on with the same command; with ``--minutes`` it ends by
itself, with exit status 3 where something is left to make.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.zoo.batches import in_batches
from benchmarks.zoo.images import REFERENCES, Order, images, make
from benchmarks.zoo.variants import Lineup, line_up

from morelli.errors import MorelliError
from morelli.generators.files import write_whole
from morelli.generators.zoo.manifest import WEIGHTS
from morelli.generators.zoo.world import parse_caption
from morelli.generators.zoo.world import prompts as world_prompts

COLUMNS = ("file_name", "model", "family", "base", "prompt_id", "prompt", "category", "seed")
UNFINISHED = 3


def orders(lineup: Lineup, prompts: Sequence[str], count: int) -> Iterator[Order]:
    """Images of every prompt by every variant, one prompt after another: any number of whole prompts can be audited."""
    for prompt in prompts:
        for generator in lineup.generators:
            yield Order(generator, prompt, count, REFERENCES)


def make_some(asked: Sequence[Order], folder: Path, end: float, processes: int = 1) -> bool:
    """Make prompt by prompt what is not there, until ``end`` (of `time.monotonic`); whether all is."""
    for prompt in dict.fromkeys(order.prompt for order in asked):
        if time.monotonic() > end:
            return False
        print(prompt, file=sys.stderr)
        failed = make([order for order in asked if order.prompt == prompt], folder, processes)
        if failed:  # held-out prompts are in every variant's words
            raise SystemExit("\n".join(failed))
    return True


def category(prompt: str) -> str:
    """Of a prompt of the zoo's world: how many groups of objects it tells of."""
    return {1: "one group", 2: "two groups"}[len(parse_caption(prompt).groups)]


def write_dataset(asked: Sequence[Order], lineup: Lineup, folder: Path) -> int:
    """``metadata.csv`` of the images that were asked for, beside the folders that hold them; how many there are.

    Parameters
    ----------
    asked : sequence of Order
        All of their images are there.
    lineup : Lineup
    folder : Path
        Of the images.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    count, ids = 0, {prompt: f"{n:03d}" for n, prompt in enumerate(dict.fromkeys(order.prompt for order in asked))}
    for order in asked:
        model = order.generator.model
        base = lineup.bases[model]
        for each in images(order.generator, order.prompt, order.count, order.seed, folder):
            name = each.path.relative_to(folder).as_posix()
            rows.writerow([name, model, base, base, ids[order.prompt], order.prompt, category(order.prompt), each.seed])
            count += 1
    write_whole(folder / "metadata.csv", text.getvalue().encode())
    return count


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for images, and for the audit")
    parser.add_argument("--prompts", type=int, default=48, help="held-out prompts")
    parser.add_argument("--k", type=int, default=30, help="references a variant: one image more is made of each prompt")
    parser.add_argument("--seed", type=int, default=0, help="decides the prompts")
    parser.add_argument("--images", type=Path, help="folder of images, by default OUT/images")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the zoo's weights")
    parser.add_argument("--processes", type=int, default=1, help="that make images")
    parser.add_argument("--batch", type=int, default=1, help="images at once: quicker, and another last bit")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end by then")
    asked = parser.parse_args(given)
    end = time.monotonic() + 60 * asked.minutes
    folder = asked.images or asked.out / "images"
    try:
        lineup = line_up(asked.weights)
        if asked.batch > 1:
            lineup = replace(lineup, generators=[in_batches(each, asked.batch) for each in lineup.generators])
        listed = list(orders(lineup, world_prompts("test", asked.prompts, asked.seed), asked.k + 1))
        if not make_some(listed, folder, end, asked.processes):
            print("Not finished: the same command goes on from here.", file=sys.stderr)
            return UNFINISHED
        count = write_dataset(listed, lineup, folder)
    except MorelliError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if lineup.absent:
        print(f"without weights, and left out: {', '.join(lineup.absent)}", file=sys.stderr)
    print(f"{count} images by {len(lineup.models)} models. Audit them:", file=sys.stderr)
    print(f"morelli exposure {folder} --k {asked.k} --out {asked.out / 'audit'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
