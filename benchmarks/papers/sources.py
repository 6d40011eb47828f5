"""Data sets of a run: folders, and ``zoo``, whose pictures the built-in models make."""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks._common import combine
from benchmarks.zoo.images import QUERIES, Order, images, make
from benchmarks.zoo.variants import line_up

from morelli.encoders.weights import short_hash
from morelli.errors import MorelliError, StorageError
from morelli.generators.zoo.world import prompts as world_prompts
from morelli.images.dataset import Dataset, read_dataset
from morelli.images.probe import probe
from morelli.types import Item

ZOO = "zoo"
#: Prompts of the zoo's data set, and images of each by each model.
ZOO_PROMPTS, ZOO_IMAGES = 24, 4


@dataclass(frozen=True)
class Source:
    """One data set of a run.

    Attributes
    ----------
    name : str
        In keys and tables.
    folder : str
    prompts : int or None
        How many of its prompts are used, in the order of their names; None: all.
    state : str
        A short hash of its pictures' names, labels and contents: another state is another data set.
    models, images : int
    megapixels : float
        Of one picture; the first one stands for all.
    """

    name: str
    folder: str
    prompts: int | None
    state: str
    models: int
    images: int
    megapixels: float = 128**2 / 1e6


def open_source(folder: Path, prompts: int | None, name: str = "") -> Source:
    """Look at a data set; its files are read, and no picture is decoded.

    Raises
    ------
    DatasetError
        It is none.
    """
    dataset = read_source(str(folder), prompts)
    try:
        seen = [
            [item.name, item.model, item.family, item.prompt_id, item.prompt, content(item.path)]
            for item in dataset.items
        ]
    except OSError as error:
        raise StorageError(f"holds a picture that cannot be read: {error}.", argument=str(folder)) from error
    models = {item.model for item in dataset.items}
    state = short_hash({"items": seen})
    place = folder.resolve()
    pixels = _megapixels(dataset.items[0].path)
    return Source(name or place.name, str(place), prompts, state, len(models), len(dataset.items), pixels)


def content(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _megapixels(path: Path) -> float:
    try:
        info = probe(path)
    except MorelliError:  # said when it is read; here it only shapes an estimate
        return Source.megapixels
    return info.width * info.height / 1e6


def read_source(folder: str, prompts: int | None) -> Dataset:
    """The data set, or the part of it with the first prompts."""
    dataset = read_dataset(folder)
    if prompts is None:
        return dataset
    chosen = set(sorted({item.prompt_id for item in dataset.items})[:prompts])
    return replace(dataset, items=tuple(item for item in dataset.items if item.prompt_id in chosen))


def make_zoo(weights: Path, out: Path, seed: int, processes: int, prompts: int | None = None) -> Path:
    """Pictures of held-out prompts by the zoo's models as a data set; what is there is not made again.

    Raises
    ------
    WeightsError
        Fewer than two models have their weights.
    """
    lineup = line_up(weights, deployments=False)
    texts = world_prompts("test", prompts or ZOO_PROMPTS, seed)
    # Seeds of no other image of the benchmarks.
    orders = [Order(each, text, ZOO_IMAGES, 2 * QUERIES + 5000) for text in texts for each in lineup.generators]
    for line in make(orders, out / "images", processes):
        print(f"not made: {line}", file=sys.stderr)
    items = [
        Item(found.path, found.path.name, found.model, lineup.bases[found.model], f"p{number:03}", text, found.seed)
        for number, text in enumerate(texts)
        for each in lineup.generators
        for found in images(each, text, ZOO_IMAGES, 2 * QUERIES + 5000, out / "images")
    ]
    words = {"models": lineup.revisions, "prompts": texts, "images": [item.name for item in items]}
    folder = out / "datasets" / f"zoo-{short_hash(words)}"
    if not folder.exists():
        # Under another name until it is whole: an interrupted run leaves no half of a data set.
        fresh = folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        combine(fresh, items).root.replace(folder)
    return folder
