"""Does one model stay one model under other samplers, steps and guidance? (paper 002, figure 15)

::

    python -m benchmarks.fingerprint.settings DATASET --out DIR [--encoder fingerprint] [--images 10] [--seed 0]

DATASET is the folder ``images`` of what ``python -m benchmarks.zoo.exposure`` writes: models named WEIGHTS@SETTINGS,
their weights at own settings named WEIGHTS, and what these were trained from as ``base``. Pairs of images of different
prompts are compared by how their deployments are related, and apart from them pairs of one prompt, whose content is
alike. Then images at other settings are attributed to weights of which only images at own settings are known. Where
sizes or formats differ, all images are brought to one form first, as in every evaluation.

Prints the tables; writes DIR/settings.json, DIR/settings.md and for each encoder DIR/settings-ENCODER.png and, where
scikit-learn is installed, DIR/settings-ENCODER-map.png, a t-SNE. Embeddings are kept in DIR/embeddings.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.fingerprint.settings_pairs import KINDS, QUESTIONS, Likeness, Resampled, centred, compare, pair_codes
from benchmarks.fingerprint.settings_report import heat_map, markdown, plain, settings_map
from benchmarks.fingerprint.settings_weights import METHODS, Deployments, attribute, find_deployments, weights_of

import morelli
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import encoder_specs, load_encoder
from morelli.encoders.weights import file_sha256, short_hash
from morelli.errors import InputError, MissingExtraError, MorelliError
from morelli.evaluation.data import EvaluationSet, prepare_each
from morelli.generators.files import storage_error, write_whole
from morelli.images.dataset import Dataset, read_dataset

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder

DEFAULT_IMAGES = 10


def first_images(dataset: Dataset, count: int) -> Dataset:
    """The first ``count`` images that each model has of each prompt; all where it is 0."""
    if count < 0:
        raise InputError(f"must be 0 or more, got {count}.", argument="--images")
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for item in dataset.items:
        key = item.model, item.prompt_id
        seen[key] += 1
        if not count or seen[key] <= count:
            kept.append(item)
    return replace(dataset, items=tuple(kept))


def measure(data: EvaluationSet, dataset: Dataset, found: Deployments, seed: int) -> tuple[dict[str, Any], Likeness]:
    """The figures of one encoder, and how alike images are.

    Parameters
    ----------
    data : EvaluationSet
        Its embeddings.
    dataset : Dataset
        Where they come from: it has the seeds.
    found : Deployments
    seed : int
    """
    labels = data.embeddings
    place = {name: number for number, name in enumerate(found.names)}
    numbers = np.array([place[name] for name in labels.models.tolist()], dtype=np.intp)
    prompts = np.unique(labels.prompts, return_inverse=True)[1].astype(np.intp)
    known = {item.path: item.seed for item in dataset.items}
    # An image of unknown seed shares it with none.
    seeds = [known[path] for path in data.paths.tolist()]
    own = np.array([-1 - row if each is None else each for row, each in enumerate(seeds)], dtype=np.intp)
    likeness = compare(centred(labels.vectors), numbers, prompts, own, pair_codes(found.weights, found.bases))
    kinds, areas = [], []
    for name, table in (("different", likeness.different), ("one", likeness.same)):
        drawn = Resampled(table, seed)
        for kind, codes in KINDS.items():
            mean = drawn.mean(codes)
            row = {"prompts": name, "kind": kind, "n": drawn.count(codes), "sd": plain(drawn.spread(codes))}
            kinds.append(row | {"mean": plain(mean.point), "mean_low": plain(mean.low), "mean_high": plain(mean.high)})
        for (kind, against), codes in QUESTIONS.items():
            auc = drawn.area(*codes)
            row = {"prompts": name, "kind": kind, "against": against}
            areas.append(row | {"auc": plain(auc.point), "auc_low": plain(auc.low), "auc_high": plain(auc.high)})
    rows = [row for method in METHODS for row in attribute(labels, found, method, seed)]
    for row in rows:
        row |= {name: plain(row[name]) for name in ("top1", "top1_low", "top1_high")}
    matrix = [[plain(value) for value in line] for line in likeness.matrix.tolist()]
    return {"kinds": kinds, "areas": areas, "weights": rows, "matrix": matrix}, likeness


def run(dataset: Dataset, encoders: Sequence[Encoder], out: Path, seed: int = 0) -> dict[str, Any]:
    """Embed, measure, draw; the result that settings.json holds.

    Raises
    ------
    DatasetError, NotEnoughReferencesError
        See `find_deployments`.
    StorageError
        A figure cannot be written.
    """
    items = dataset.items
    find_deployments(*([getattr(item, name) for item in items] for name in ("model", "prompt_id", "base")))

    def progress(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            print(f"{done} of {total} embedded", file=sys.stderr)

    cache = EmbeddingCache(out / "embeddings")
    sets = [each[0] for each in prepare_each([dataset], encoders, cache=cache, progress=progress, copies=0)]
    data = sets[0]
    models, prompts = data.embeddings.models.tolist(), data.embeddings.prompts.tolist()
    found = find_deployments(models, prompts, [""] * len(models) if data.bases is None else data.bases.tolist())
    rows = []
    for encoder, each in zip(encoders, sets, strict=True):
        begun, stamp = time.monotonic(), encoder.stamp
        print(f"comparing under {stamp.encoder}", file=sys.stderr)
        figures, likeness = measure(each, dataset, found, seed)
        file = out / f"settings-{re.sub(r'[^A-Za-z0-9.+_-]+', '-', stamp.encoder).strip('-')}.png"
        heat_map(likeness.matrix, found, file, stamp.encoder)
        about = {"id": stamp.encoder, "revision": stamp.revision, "preprocessing": stamp.preprocessing}
        drawn = _map(each, file.with_name(f"{file.stem}-map.png"), stamp.encoder, seed)
        rows.append({**about, "figure": file.name, "map": drawn, **figures, "seconds": time.monotonic() - begun})
    columns = zip(found.names, found.weights, found.bases, strict=True)
    metadata = dataset.root / "metadata.csv"
    packages = {name: version(name) for name in ("numpy", "scipy", "torch")}
    return {
        "dataset": str(dataset.root),
        "digests": {
            "metadata.csv": file_sha256(metadata) if metadata.is_file() else None,
            "images": short_hash(sorted(data.contents.tolist())),
        },
        "versions": {"morelli": morelli.__version__, "python": platform.python_version(), **packages},
        "seed": seed,
        "n_images": len(data),
        "n_prompts": len(set(prompts)),
        "chance": 1 / len(set(found.weights)),
        "deployments": [{"name": name, "weights": weights, "base": base} for name, weights, base in columns],
        "leaks": data.leaks,
        "notes": list(data.notes),
        "encoders": rows,
    }


def _map(data: EvaluationSet, file: Path, title: str, seed: int) -> str | None:
    """Draw the map of the images; its file's name, or None where scikit-learn is absent, which is said."""
    names = data.embeddings.models
    weights = np.array([weights_of(name) for name in names.tolist()])
    try:
        return settings_map(data.embeddings, weights, weights == names, file, title, seed).name
    except MissingExtraError as error:
        print(f"no map: {error}", file=sys.stderr)
        return None


def main(given: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fingerprint.settings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for tables, figures and embeddings")
    parser.add_argument("--encoder", default="fingerprint", help="one or several, with commas between them")
    parser.add_argument("--images", type=int, default=DEFAULT_IMAGES, help="of each model and prompt; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="decides the folds of prompts and the resamples")
    asked = parser.parse_args(given)
    try:
        dataset = first_images(read_dataset(asked.dataset), asked.images)
        encoders = [load_encoder(spec) for spec in encoder_specs(asked.encoder)]
        try:
            asked.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(asked.out, error) from error
        result = run(dataset, encoders, asked.out, asked.seed)
        table = markdown(result)
        write_whole(asked.out / "settings.json", (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
        write_whole(asked.out / "settings.md", table.encode())
    except MorelliError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for note in result["notes"]:
        print(note, file=sys.stderr)
    print(table, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
