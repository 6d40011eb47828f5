"""What the benchmark scripts share: finding the data sets, and datasets put together from parts of others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from morelli.images.dataset import Dataset, read_dataset
from morelli.types import Item


def data_folder() -> Path:
    """The folder given on the command line; it holds ``visor``, ``sdnext`` and ``photos``."""
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} FOLDER (with visor, sdnext and photos in it)")
    folder = Path(sys.argv[1])
    missing = [name for name in ("visor", "sdnext", "photos") if not (folder / name).is_dir()]
    if missing:
        raise SystemExit(f"{folder} has no {', '.join(missing)}")
    return folder


def part(dataset: Dataset, keep: Callable[[Item], bool]) -> list[Item]:
    """The items of a dataset that a rule keeps."""
    return [item for item in dataset.items if keep(item)]


def combine(folder: Path, items: Iterable[Item]) -> Dataset:
    """A dataset of links to the items' files, so that parts of several sets become one."""
    folder.mkdir(parents=True)
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for number, item in enumerate(items):
            name = f"{number:06d}{item.path.suffix}"
            (folder / name).symlink_to(item.path.resolve())
            row = {
                "file_name": name,
                "model": item.model,
                "family": item.family,
                "prompt_id": item.prompt_id,
                "prompt": item.prompt,
            }
            file.write(json.dumps(row) + "\n")
    return read_dataset(folder)
