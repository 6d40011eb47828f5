"""Regeneration's measures of likeness on real images: python benchmarks/regeneration.py FOLDER

Nothing is regenerated: visor has four images of each prompt by each of its systems, and three of them stand in for what
a system would be asked for. Every image is a query once, against its own system's other three and three of each other
system. So γ is 3 and the prompt is the true one; what inverting it would cost is not in the figures. No CLIP of
photographs is shipped: the published rule, mean cosine, is applied to the default encoder's vectors and to the zoo's
mini-CLIP, which knows drawn scenes only. Intervals are of 95 %, by bootstrap over prompts.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from _common import data_folder
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.embed import embed
from morelli.evaluation.bootstrap import Interval, prompt_bootstrap
from morelli.images.dataset import read_dataset
from morelli.images.load import Picture, load_image
from morelli.inversion.checkpoint import find_zoo_part
from morelli.regeneration.by_attributor import Background, ByAttributor
from morelli.regeneration.candidates import Candidate, Candidates
from morelli.regeneration.pairwise import ClipCosine, Hybrid, Ssim
from morelli.regeneration.similarity import Similarity
from morelli.regeneration.stopwatch import Stopwatch
from morelli.types import Item, LabelledEmbeddings, Reference

GAMMA, FOLDS = 3, 4
Cells = Mapping[str, Mapping[str, Sequence[Item]]]


def cells_of(items: Sequence[Item]) -> Cells:
    """Images by prompt and system, of prompts that every system has answered `GAMMA` + 1 times."""
    found: dict[str, dict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        found[item.prompt_id][item.model].append(item)
    models = {item.model for item in items}
    return {
        prompt: {model: here[model][: GAMMA + 1] for model in sorted(models)}
        for prompt, here in sorted(found.items())
        if all(len(here[model]) > GAMMA for model in models)
    }


def queries(cells: Cells, pictures: Mapping[Path, Picture]) -> Iterator[tuple[str, Item, Candidates]]:
    """Every image with what it is compared with: from each other system the same three, from its own the others."""
    for prompt, here in cells.items():
        for model, own in here.items():
            for number, query in enumerate(own):
                chosen = [
                    each
                    for name, theirs in here.items()
                    for i, each in enumerate(theirs)
                    if i != (number if name == model else GAMMA)
                ]
                yield prompt, query, Candidates(prompt, tuple(_candidate(each, pictures) for each in chosen))


def _candidate(item: Item, pictures: Mapping[Path, Picture]) -> Candidate:
    picture = pictures[item.path]
    height, width = picture.pixels.shape[:2]
    return Candidate(item.model, item.family, item.seed or 0, item.path, picture.content, width, height)


def background(
    cells: Cells, leave_out: set[str], pictures: Mapping[Path, Picture], encoder: Encoder, cache: EmbeddingCache
) -> Background:
    """The images of all other prompts, as a gallery would hold them."""
    items = [
        item for prompt, here in cells.items() if prompt not in leave_out for theirs in here.values() for item in theirs
    ]
    vectors = embed(encoder, [pictures[item.path] for item in items], cache=cache, on_error="raise").vectors
    references = tuple(
        Reference(pictures[item.path].content, "", item.name, item.model, item.family, prompt_id=item.prompt_id)
        for item in items
    )
    models, prompts, families = (
        np.array([getattr(item, name) for item in items]) for name in ("model", "prompt_id", "family")
    )
    return Background("visor", 1, references, LabelledEmbeddings(vectors, models, prompts, families))


def measures(encoder: Encoder, cache: EmbeddingCache) -> dict[str, Similarity]:
    """What learns nothing from other prompts, by the name in the table."""
    cosine = ClipCosine(encoder, cache)
    kept = {"cache": cache, "folder": default_folder()}
    return {
        "mean cosine (the published rule), default encoder": cosine,
        "mean cosine (the published rule), mini-CLIP": ClipCosine(
            load_encoder(f"{find_zoo_part('clip')}@projected"), cache
        ),
        "ssim": Ssim(),
        "hybrid of the first and ssim": Hybrid(cosine),
        "plda": ByAttributor("plda", encoder, **kept),
        "fused": ByAttributor("fused", encoder, **kept),
    }


def is_first(measure: Similarity, picture: Picture, truth: str, candidates: Candidates) -> bool:
    """Whether the right system comes first; equal scores count against it."""
    scores = measure.compare([picture], candidates, Stopwatch()).scores[0]
    own = candidates.models == truth
    return bool(scores[own][0] > scores[~own].max())


def main() -> None:
    start = time.monotonic()
    cells = cells_of(read_dataset(data_folder() / "visor").items)
    encoder, cache = load_encoder(DEFAULT_ENCODER), EmbeddingCache()
    pictures = {item.path: load_image(item.path) for here in cells.values() for own in here.values() for item in own}
    plain = measures(encoder, cache)
    hits: dict[str, list[bool]] = defaultdict(list)
    prompts: list[str] = []
    for fold in range(FOLDS):
        held = set(list(cells)[fold::FOLDS])
        others = background(cells, held, pictures, encoder, cache)
        learnt = ByAttributor("fused", encoder, others, cache=cache, folder=default_folder())
        every = {**plain, "fused, with the other prompts' images as background": learnt}
        for prompt, query, candidates in queries({key: cells[key] for key in cells if key in held}, pictures):
            prompts.append(prompt)
            for name, measure in every.items():
                hits[name].append(is_first(measure, pictures[query.path], query.model, candidates))
        print(f"fold {fold + 1} of {FOLDS}", file=sys.stderr)
    systems = len(next(iter(cells.values())))
    print(f"\n### Stored images in place of regenerated ones (visor, γ = {GAMMA}, {len(prompts)} queries, ", end="")
    print(f"{systems} systems; {time.monotonic() - start:.0f} s)\n\n| measure | top-1 % |\n| --- | ---: |")
    for name, found in hits.items():
        print(f"| {name} | {_percent(prompt_bootstrap(found, np.array(prompts)))} |")


def _percent(found: Interval) -> str:
    return f"{100 * found.point:.1f} ({100 * found.low:.1f}–{100 * found.high:.1f})"


if __name__ == "__main__":
    main()
