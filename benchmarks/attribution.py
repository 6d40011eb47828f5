"""The README's accuracy figures, on real images of real models: python benchmarks/attribution.py FOLDER

Prints one Markdown table a protocol, and writes the JSON of each to ``out/attribution.jsonl``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from _common import combine, data_folder, part
from morelli.cli.output import plain
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.usual import LATTICE, encoder_of_comparison
from morelli.evaluation.against import Against
from morelli.evaluation.runner import Evaluation, Settings, evaluate
from morelli.images.dataset import Dataset, read_dataset
from morelli.report.evaluation import evaluation_title, render_evaluation

ALL = ("euclid", "cosine", "plda", "lda", "fused")
PROMPT_FREE = ("euclid", "cosine", "lda", "fused")


def runs(folder: Path, scratch: Path) -> Iterator[tuple[str, Dataset, Settings, Dataset | None]]:
    """Name, queries, settings and second dataset of every table."""
    visor, sdnext, photos = (read_dataset(folder / name) for name in ("visor", "sdnext", "photos"))
    yield "same prompt, k = 3", visor, Settings("same-prompt", ALL, k=3), None
    yield "any prompt, 41 models", sdnext, Settings("any-prompt", PROMPT_FREE), None
    yield "degraded queries, prompt known", visor, Settings("robustness", ("euclid", "fused"), k=3), None
    yield "same prompt, k = 1", visor, Settings("same-prompt", ALL, k=1, ablate=False), None
    yield "one-vs-many", visor, Settings("one-vs-many", ("euclid", "fused"), k=3), None
    yield "unseen models, prompt known", visor, Settings("open-set", ("euclid", "lda", "fused"), k=3), None
    # Photographs as the unknown: references from twelve prompts, queries from the last two and the photographs.
    prompts = sorted({item.prompt_id for item in sdnext.items})
    held = set(prompts[-2:])
    references = combine(scratch / "references", part(sdnext, lambda item: item.prompt_id not in held))
    queries = combine(scratch / "queries", [*part(sdnext, lambda item: item.prompt_id in held), *photos.items])
    yield "photographs", queries, Settings("any-prompt", ("euclid", "lda", "fused")), references
    yield "unseen models, prompt unknown", sdnext, Settings("open-set", ("euclid", "lda", "fused")), None


def main() -> None:
    folder = data_folder()
    cache = EmbeddingCache()
    loaded = {name: load_encoder(name) for name in (DEFAULT_ENCODER, f"{DEFAULT_ENCODER}+{LATTICE}")}
    out = Path("out", "attribution.jsonl")
    out.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, out.open("w", encoding="utf-8") as file:
        for name, dataset, settings, references in runs(folder, Path(scratch)):
            # Large pictures also as galleries take them, with the lattice, in the table that is about them.
            usual = encoder_of_comparison([dataset]) if settings.protocol == "any-prompt" and not references else ""
            encoders = [loaded[name] for name in dict.fromkeys((DEFAULT_ENCODER, usual or DEFAULT_ENCODER))]
            if len(encoders) > 1:
                settings = replace(settings, against=Against(DEFAULT_ENCODER, "euclid"))
            found: Evaluation = evaluate(dataset, encoders, settings, references=references, cache=cache)
            result = found.result | {"dataset": dataset.root.name, "references": references and references.root.name}
            file.write(json.dumps(plain(result)) + "\n")
            file.flush()
            print(f"\n### {name}\n\n{evaluation_title(result)} ({result['seconds']:.0f} s)\n")
            print(render_evaluation(result), flush=True)
            for note in result["notes"]:
                print(f"- {note}", file=sys.stderr)


if __name__ == "__main__":
    main()
