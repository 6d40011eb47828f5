"""Made-up references, vectors and galleries for the gallery's tests; every value follows from an index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morelli.gallery.store import AddReport, Gallery
from morelli.gallery.thumbnail import make_thumbnail
from morelli.types import EncoderStamp, Reference

STAMP = EncoderStamp("toy/encoder.v1", "r1", "p1", {"native/4": 3, "whole": 2})
OTHER = EncoderStamp("toy/other", "r9", "p9", {"last": 4})
THUMBNAIL = make_thumbnail(np.full((4, 6, 3), 128, dtype=np.uint8))


def reference(i: int, model: str | None = None) -> Reference:
    """Reference number i: model i mod 3, prompt i mod 4; every fifth one has no seed and no prompt."""
    known = i % 5 != 0
    return Reference(
        content=hashlib.sha256(f"pixels {i}".encode()).hexdigest(),
        sha256=hashlib.sha256(f"file {i}".encode()).hexdigest(),
        name=f"folder/{i}.png",
        model=model or f"model {i % 3}",
        family="the family",
        prompt_id=f"p{i % 4}" if known else "",
        prompt=f'an "oil" painting, №{i % 4}' if known else "",
        seed=2**64 - 1 - i if known else None,
        source="made up",
        licence="CC0-1.0",
        width=64 + i,
        height=48,
    )


def references(numbers: Iterable[int]) -> list[Reference]:
    return [reference(i) for i in numbers]


def vectors(numbers: Sequence[int], stamp: EncoderStamp = STAMP) -> dict[str, NDArray[np.float32]]:
    """Row j of the vector "name": numbers[j], numbers[j] + 1/2, …, plus the lengths of both names."""
    offset = len(stamp.encoder)
    return {
        name: (np.asarray(numbers, dtype=np.float32)[:, None] + np.arange(size) / 2 + len(name) + offset).astype(
            np.float32
        )
        for name, size in stamp.dims.items()
    }


def add(gallery: Gallery, numbers: Sequence[int], stamp: EncoderStamp = STAMP) -> AddReport:
    return gallery.add(references(numbers), [THUMBNAIL] * len(numbers), vectors(numbers, stamp), stamp)


def gallery_of(path: Path, numbers: Sequence[int], stamp: EncoderStamp = STAMP) -> Gallery:
    gallery = Gallery.create(path)
    add(gallery, numbers, stamp)
    return gallery


def numbers_in(gallery: Gallery) -> list[int]:
    """The numbers of the references that a gallery holds."""
    return sorted(int(r.name.removeprefix("folder/").removesuffix(".png")) for r in gallery.references())


def assert_holds(gallery: Gallery, numbers: Iterable[int], stamp: EncoderStamp = STAMP) -> None:
    """The gallery's rows with embeddings of an encoder are exactly these, and their values are the right ones."""
    expected = sorted(numbers, key=lambda i: reference(i).content)
    found, embeddings = gallery.embeddings(stamp.encoder)
    assert list(found) == [reference(i) for i in expected]
    assert list(embeddings.vectors) == list(stamp.dims)
    for name, values in vectors(expected, stamp).items():
        np.testing.assert_array_equal(embeddings.vectors[name], values)
        assert embeddings.vectors[name].dtype == np.float32
    assert embeddings.models.tolist() == [r.model for r in found]
    assert embeddings.prompts.tolist() == [r.prompt_id for r in found]
    assert embeddings.families.tolist() == [r.family for r in found]
