"""A data set whose files have one form, for whatever takes files and not pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from morelli.defence.files import png_bytes
from morelli.encoders.weights import file_sha256, short_hash
from morelli.generators.files import write_whole
from morelli.images.dataset import Dataset
from morelli.images.load import load_image
from morelli.images.probe import probe
from morelli.images.uniform import plan_uniform


def one_form(dataset: Dataset, folder: Path, *, resized: bool = True) -> Dataset:
    """The dataset; where formats or sizes differ, with files of one form in ``folder``, for training and test alike.

    Not ``resized``: the middle of each picture at its own scale, for what resizing would destroy.
    """
    readable = {}
    for item in dataset.items:
        try:
            readable[item.name] = probe(item.path)
        except ValueError:  # an evaluation leaves it out by name
            continue
    form = plan_uniform(list(readable.values())) if readable else None
    if form is None:
        return dataset
    items = []
    for item in dataset.items:
        if item.name in readable:
            words = [item.name, file_sha256(item.path), form.side, *(() if resized else ("cut",))]
            path = folder / f"{short_hash(words)}.png"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = load_image(item.path).pixels
                write_whole(path, png_bytes(form.apply(pixels) if resized else form.cut(pixels)))
            items.append(replace(item, path=path))
    short = len(dataset.items) - len(items)
    notes = [f"Formats or sizes differ; all images were brought to one form: {form}."]
    notes += [f"{short} images could not be read and were left out."] if short else []
    return replace(dataset, items=tuple(items), notes=(*dataset.notes, *notes))
