"""The pictures of a data set as table 001 takes them: in one form, none twice, and with its leak test.

Tables 000 and 002 have the same from `morelli.evaluation.data.prepare`. Table 001 asks a data set for candidates, which
are files, so that pictures of another form are written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.one_form import one_form
from benchmarks.papers.sources import read_source

from morelli.errors import DatasetError, MorelliError
from morelli.evaluation.leaks import find_duplicates, leak_test
from morelli.images.load import load_image
from morelli.images.probe import FileInfo, probe
from morelli.images.uniform import plan_uniform

if TYPE_CHECKING:
    from morelli.images.uniform import Uniform
    from morelli.types import Item


@dataclass(frozen=True, eq=False)
class Pictures:
    """What is left of a data set.

    Attributes
    ----------
    items : tuple of Item
        Their paths lead to files of one form.
    leaks : mapping
        Of the files as they came; empty for a single model.
    notes : tuple of str
    form : Uniform or None
        The form, where files had several.
    """

    items: tuple[Item, ...]
    leaks: dict[str, Any]
    notes: tuple[str, ...]
    form: Uniform | None = None


@lru_cache(maxsize=4)
def read_pictures(folder: str, prompts: int | None, out: str, resized: bool = True) -> Pictures:
    """Read a data set; what has to change its form is kept as PNG below ``out``, resized or the middle of it.

    Raises
    ------
    DatasetError
        No picture can be read.
    """
    dataset = read_source(folder, prompts)
    read: list[tuple[Item, FileInfo, str]] = []
    unreadable = []
    for item in dataset.items:
        try:
            read.append((item, probe(item.path), load_image(item.path).content))
        except MorelliError as error:
            unreadable.append(f"{item.name}: {error}")
    if not read:
        raise DatasetError("none of its pictures can be read.", argument=folder)
    twice = find_duplicates([content for *_, content in read], [item.model for item, *_ in read])
    kept = [each for each, keep in zip(read, twice.keep, strict=True) if keep]
    notes = list(dataset.notes)
    if unreadable:
        notes.append(f"{len(unreadable)} images could not be read and were left out: {'; '.join(unreadable[:3])}")
    if len(kept) < len(read):
        notes.append(f"{len(read) - len(kept)} duplicates were left out.")
    leaks: dict[str, Any] = {}
    if len({item.model for item, *_ in kept}) > 1:
        models, texts = [item.model for item, *_ in kept], [item.prompt_id for item, *_ in kept]
        leaks = leak_test([info for _, info, _ in kept], models, texts).to_json()
    whole = replace(dataset, items=tuple(item for item, *_ in kept), notes=tuple(notes))
    formed = one_form(whole, Path(out) / "form", resized=resized)
    return Pictures(formed.items, leaks, tuple(formed.notes), plan_uniform([info for _, info, _ in kept]))
