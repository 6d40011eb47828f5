"""A folder as a dataset: one sub-folder a model, or a metadata file that names the pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from morelli.errors import DatasetError, MissingImageError
from morelli.images.header import SUFFIXES
from morelli.images.metadata import METADATA_NAMES, Row, read_rows
from morelli.names import refuse_reserved
from morelli.types import Item


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pictures whose models are known.

    Attributes
    ----------
    root : Path
        The folder.
    items : tuple of Item
        In the metadata's order, or sorted by path.
    notes : tuple of str
        What was left out or guessed; for the user to read.
    """

    root: Path
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


def read_dataset(folder: str | Path) -> Dataset:
    """Read a dataset folder; no picture is opened.

    With a ``metadata.csv``, ``.jsonl`` or ``.parquet``, its rows are the dataset (columns file_name and model, and
    where known family, prompt_id, prompt, seed, source, licence, base, decoder, category). Without one, every
    first-level sub-folder is named after the model that made the pictures in it and below it.

    Raises
    ------
    DatasetError
        Not a folder, nothing in it, or metadata that do not fit it.
    ReservedNameError
        A model or a base has a name that verdicts give to no model.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "there is no such folder"
        raise DatasetError(f"{what}.", argument=str(folder), fix="Name a folder of pictures.")
    found = [name for name in METADATA_NAMES if (root / name).is_file()]
    if len(found) > 1:
        raise DatasetError(f"there is {' and '.join(found)}.", argument=str(folder), fix="Keep one metadata file.")
    images = sorted(_walk(root), key=lambda path: path.relative_to(root).parts)
    if found:
        return _from_metadata(root, found[0], images)
    if not images:
        raise DatasetError("there is no image in this folder.", argument=str(folder), fix=_CONVENTION)
    return _from_folders(root, images)


def list_images(paths: Iterable[str | Path]) -> list[Path]:
    """Files and folders become files: folders are searched through and through, in sorted order; no file comes twice.

    Parameters
    ----------
    paths : iterable of str or Path
        A file is taken whatever its suffix; in a folder only image suffixes count.

    Raises
    ------
    MissingImageError
        Nothing at one of the paths.
    DatasetError
        A folder without an image.
    """
    images: dict[Path, None] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = sorted(_walk(path), key=lambda file: file.relative_to(path).parts)
            if not inside:
                raise DatasetError("there is no image in this folder.", argument=str(given), fix="Name another folder.")
            images.update(dict.fromkeys(inside))
        elif path.exists():
            images[path] = None
        else:
            raise MissingImageError("no file at that path.", argument=str(given), fix="Check the spelling.")
    return list(images)


_CONVENTION = (
    "Put each model's pictures in a sub-folder named after it, or write a metadata.csv with the columns file_name and "
    "model."
)


def _walk(root: Path) -> Iterator[Path]:
    """Image files below a folder; hidden ones are passed over, linked folders are followed once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in files:
            path = Path(place, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield path


def _from_folders(root: Path, images: list[Path]) -> Dataset:
    items: list[Item] = []
    loose = deep = 0
    for path in images:
        parts = path.relative_to(root).parts
        if len(parts) == 1:
            loose += 1
            continue
        deep += len(parts) > 2
        items.append(Item(path, "/".join(parts), model=parts[0], family=parts[0]))
    if not items:
        raise DatasetError(
            f"{loose} images lie in the folder itself, so nothing says which model made them.",
            argument=str(root),
            fix=_CONVENTION,
        )
    for model in dict.fromkeys(item.model for item in items):
        refuse_reserved(model, str(root / model))
    notes: list[str] = []
    if loose:
        notes.append(f"{loose} images outside the models' sub-folders were left out.")
    if deep:
        notes.append(f"{deep} images lie deeper than one sub-folder; the first sub-folder was taken as the model.")
    notes.append("No prompts are known: there is no metadata file.")
    return Dataset(root, tuple(items), tuple(notes))


def _from_metadata(root: Path, metadata: str, images: list[Path]) -> Dataset:
    rows = read_rows(root / metadata)
    if not rows:
        raise DatasetError("the metadata file has no rows.", argument=metadata)
    counts = Counter(row.item_name for row in rows)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DatasetError(f"{_some(twice)} listed more than once.", argument=metadata, fix="Keep one row a picture.")
    items = tuple(_item(root, row) for row in rows)
    missing = [item.name for item in items if not item.path.is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(items)} files that it names do not exist: {_some(missing)}.",
            argument=metadata,
            fix="Restore the files or remove their rows.",
        )
    notes: list[str] = []
    extra = len({path.relative_to(root).as_posix() for path in images} - set(counts))
    if extra:
        notes.append(f"{extra} images in the folder are not in {metadata} and were left out.")
    for column in ("family", "base", "decoder"):
        given: dict[str, set[str]] = {}
        for item in items:
            given.setdefault(item.model, set()).add(getattr(item, column))
        torn = [model for model, names in given.items() if len(names) > 1]
        if torn:
            notes.append(f"More than one {column} is given for {_some(torn)}.")
    return Dataset(root, items, tuple(notes))


def _item(root: Path, row: Row) -> Item:
    return Item(
        path=root.joinpath(*PurePosixPath(row.item_name).parts),
        name=row.item_name,
        model=row.text["model"],
        family=row.text["family"] or row.text["model"],
        prompt_id=row.text["prompt_id"] or row.text["prompt"],
        prompt=row.text["prompt"],
        seed=row.seed,
        source=row.text["source"],
        licence=row.text["licence"],
        base=row.text["base"],
        decoder=row.text["decoder"],
        category=row.text["category"],
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
