"""Pictures beside verdicts, as the text of links: the image that was asked about, and the nearest references."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.errors import InputError, MorelliError
from morelli.gallery.thumbnail import MEDIA_TYPE, make_thumbnail
from morelli.images.header import Limits
from morelli.report.page import data_uri
from morelli.report.verdict import Pictures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from morelli.gallery.view import GalleryView

#: Longest side of a query's picture, pixels.
SIDE = 384
_CONTENT = re.compile(r"\(([0-9a-f]{12})\)$")


@dataclass(frozen=True)
class Album:
    """Pictures for many verdicts.

    Attributes
    ----------
    queries : mapping of str to str
        A link by the SHA-256 of the image's file.
    near : mapping of str to str
        A link by a verdict's own name of a reference.
    notes : tuple of str
        What was not found, in sentences.
    """

    queries: Mapping[str, str] = field(default_factory=dict)
    near: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, verdict: Mapping[str, Any]) -> Pictures:
        """Those of one verdict."""
        kept = {name: self.near[name] for name in _references(verdict) if name in self.near}
        return Pictures(self.queries.get(str(verdict.get("sha256")), ""), near=kept)


def collect(
    verdicts: Sequence[Mapping[str, Any]], images: Path | None = None, gallery: GalleryView | None = None
) -> Album:
    """Look for the pictures of verdicts.

    Parameters
    ----------
    verdicts : sequence of mapping
        Schema ``morelli.verdict/1``.
    images : Path, optional
        A folder; an image is known by the SHA-256 of its file, whatever it is called and however deep it lies.
    gallery : GalleryView, optional
        Has the thumbnails of references.

    Raises
    ------
    InputError
        ``images`` is no folder.
    """
    queries, notes = ({}, []) if images is None else _queries(images, verdicts)
    shown: dict[str, str] = {}
    if gallery is not None:
        named = dict.fromkeys(name for verdict in verdicts for name in _references(verdict))
        shown = near(gallery, named)
        missing = len(named.keys() - shown.keys())
        if missing:
            notes.append(f"{missing} of the nearest references have no thumbnail in {gallery.path}.")
    return Album(queries, shown, tuple(notes))


def preview(pixels: NDArray[np.uint8], side: int = SIDE) -> str:
    """A small copy of a decoded picture, shape (height, width, 3), uint8."""
    return data_uri(make_thumbnail(pixels, side), MEDIA_TYPE)


def near(view: GalleryView, references: Iterable[str]) -> dict[str, str]:
    """Thumbnails of references by the names that verdicts give them, where the gallery has and keeps their pictures."""
    found = {name: _CONTENT.search(name) for name in references}
    digits = {name: match[1] for name, match in found.items() if match}
    kept = _thumbnails(view, list(digits.values()))
    return {name: data_uri(picture, MEDIA_TYPE) for name, of in digits.items() if (picture := kept.get(of))}


def _thumbnails(view: GalleryView, digits: Sequence[str]) -> dict[str, bytes | None]:
    try:
        return view.thumbnails(digits)
    except InputError:  # a reference was removed since: the others are read one by one
        kept: dict[str, bytes | None] = {}
        for each in digits:
            try:
                kept |= view.thumbnails([each])
            except InputError:
                continue
        return kept


def _references(verdict: Mapping[str, Any]) -> list[str]:
    """What a verdict calls its nearest references; what is no such name is told by who prints the verdict."""
    evidence = verdict["evidence"] if isinstance(verdict["evidence"], list) else []
    names = [each.get("reference") for each in evidence if isinstance(each, dict)]
    return [name for name in names if isinstance(name, str)]


def _queries(folder: Path, verdicts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], list[str]]:
    """Links by SHA-256, and what was not found."""
    from morelli.images.load import load_image

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.", argument="--images", fix="Name the folder of the images.")
    wanted = {str(each["sha256"]): str(each["image"]) for each in verdicts if each.get("sha256")}
    links: dict[str, str] = {}
    notes: list[str] = []
    seen: set[str] = set()
    for path in _files(folder, {_last(name) for name in wanted.values()}):
        if seen == wanted.keys():
            break
        digest = _digest(path)
        if digest not in wanted or digest in seen:
            continue
        try:
            picture = load_image(path)
            if picture.sha256 != digest:  # it has changed just now
                continue
            links[digest] = preview(picture.pixels)
        except MorelliError as error:
            notes.append(f"The picture {path} cannot be shown: {error.message}")
        seen.add(digest)
    missing = len(wanted.keys() - seen)
    if missing:
        notes.append(f"{missing} of {len(wanted)} images are not in {folder}: no file there has their SHA-256.")
    return links, notes


def _files(folder: Path, names: set[str]) -> Iterator[Path]:
    """All files that could be images; those that are called as one of the verdicts' images first."""
    rest: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(place) / name
            if name in names:
                yield path
            else:
                rest.append(path)
    yield from rest


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None of what is no file, cannot be read, or is larger than an image may be."""
    try:
        if not path.is_file() or path.stat().st_size > Limits().max_bytes:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _last(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]
