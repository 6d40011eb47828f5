"""The base of a reference: kept, filled in later, exported; and galleries of before there was one are read."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from morelli.gallery import schema as layout
from morelli.gallery import table
from morelli.gallery.store import Gallery

from .samples import OTHER, STAMP, add, assert_holds, gallery_of, references, vectors


def add_based(gallery: Gallery, numbers: list[int]):
    based = [replace(reference, base=f"base {i}") for i, reference in zip(numbers, references(numbers), strict=True)]
    return gallery.add(based, [None] * len(numbers), vectors(numbers), STAMP)


def bases(gallery: Gallery) -> dict[str, str]:
    return {r.name: r.base for r in gallery.references()}


@pytest.fixture
def old(tmp_path) -> Gallery:
    """As an earlier version left it: without the column."""
    gallery = gallery_of(tmp_path / "old", [0, 1, 2])
    whole = gallery._dataset.to_table().drop_columns([layout.BASE])
    schema = pa.schema([f for f in gallery._dataset.schema if f.name != layout.BASE], gallery._dataset.schema.metadata)
    table.rewrite(gallery._dataset, schema, whole.cast(schema).to_batches(), gallery.path)
    return Gallery.open(tmp_path / "old")


def test_a_base_is_kept(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    add_based(gallery, [1, 2])
    assert bases(Gallery.open(tmp_path / "g")) == {"folder/1.png": "base 1", "folder/2.png": "base 2"}
    found, embeddings = gallery.embeddings(STAMP.encoder)
    assert {r.base for r in found} == {"base 1", "base 2"}
    assert len(embeddings) == 2


def test_an_old_gallery_is_read_and_written(old, tmp_path):
    assert layout.BASE not in old._dataset.schema.names
    assert_holds(old, [0, 1, 2])
    assert old.check().problems == ()
    old.export(tmp_path / "e.parquet")
    imported = Gallery.create(tmp_path / "new")
    imported.import_(tmp_path / "e.parquet")
    assert_holds(imported, [0, 1, 2])
    add(old, [3])
    assert_holds(old, [0, 1, 2, 3])
    add(old, [0, 1], OTHER)
    assert set(bases(old).values()) == {""}


def test_bases_are_filled_in_and_the_first_one_stays(old):
    report = add_based(old, [0, 1])
    assert (report.added, report.updated) == (0, 2)
    assert bases(old) == {"folder/0.png": "base 0", "folder/1.png": "base 1", "folder/2.png": ""}
    other = [replace(reference, base="another") for reference in references([1])]
    old.add(other, [None], vectors([1]), STAMP)
    assert bases(old)["folder/1.png"] == "base 1"


def test_a_base_survives_an_export(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    add_based(gallery, [1, 2])
    gallery.export(tmp_path / "e.parquet")
    copy = Gallery.create(tmp_path / "copy")
    copy.import_(tmp_path / "e.parquet")
    assert bases(copy) == bases(gallery)
