"""Each thing that `check` looks for is put into a gallery, past the checks of `add`, and must be found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from morelli.errors import GalleryError, StorageError
from morelli.gallery import rows, table
from morelli.gallery import schema as layout
from morelli.gallery.store import Gallery

from .samples import STAMP, THUMBNAIL, assert_holds, gallery_of, numbers_in, reference, vectors


def smuggle(gallery: Gallery, given, thumbnail=THUMBNAIL, block=None) -> Gallery:
    """Append rows as they are."""
    block = rows.pack(vectors(range(len(given))), STAMP, len(given)) if block is None else block
    path = gallery.path
    incoming = rows.to_table(given, [thumbnail] * len(given), block, STAMP)
    table.append(table.open_table(path), incoming.replace_schema_metadata(gallery._dataset.schema.metadata), path)
    return Gallery.open(path)


def test_a_sound_gallery_has_no_problem(tmp_path):
    report = gallery_of(tmp_path / "g", range(9)).check()
    assert report.ok and report.problems == () and report.references == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": "no hash"}, "folder/7.png: content must be 64"),
        ({"sha256": "F" * 64}, "folder/7.png: sha256 must be 64"),
        ({"model": "", "family": "f"}, "name of its model"),
        ({"model": "Unsure", "family": "f"}, "folder/7.png: a model cannot be called 'Unsure'"),
        ({"content": reference(1).content}, f"one picture in several rows: {reference(1).content[:16]}… in 2"),
        ({"family": "another"}, "model 1: another, the family"),
    ],
)
def test_bad_fields_are_found(tmp_path, change, message):
    gallery = smuggle(gallery_of(tmp_path / "g", range(5)), [dataclasses.replace(reference(7), **change)])
    report = gallery.check()
    assert not report.ok and len(report.problems) == 1
    assert message in report.problems[0]


def test_bad_vectors_and_thumbnails_are_found(tmp_path):
    block = rows.pack(vectors([7]), STAMP, 1)
    block[0, 2] = np.nan
    gallery = smuggle(gallery_of(tmp_path / "g", range(5)), [reference(7)], b"not a picture", block)
    problems = "\n".join(gallery.check().problems)
    assert "not finite: folder/7.png" in problems
    assert "no picture: folder/7.png" in problems


def test_rows_without_embeddings_are_counted(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(2))
    given = [reference(i) for i in range(10, 15)]
    incoming = rows.to_table(given, [None] * 5, rows.pack(vectors(range(5)), STAMP, 5), STAMP)
    bare = incoming.drop_columns(layout.vector_columns(incoming.schema))
    table.append(gallery._dataset, table_in(bare, gallery), gallery.path)
    (problem,) = Gallery.open(gallery.path).check().problems
    assert problem == "a reference without embeddings: folder/10.png; folder/11.png; folder/12.png and 2 more"


def table_in(bare: pa.Table, gallery: Gallery) -> pa.Table:
    from morelli.gallery.merge import aligned

    return aligned(bare, gallery._dataset.schema)


@pytest.mark.parametrize("raw", [None, b"{}", b"junk", layout.dump_stamp(dataclasses.replace(STAMP, dims={"a": 1}))])
def test_a_column_without_a_fitting_stamp_is_found(tmp_path, raw):
    gallery = gallery_of(tmp_path / "g", range(3))
    old = gallery._dataset.schema
    index = len(old) - 1
    schema = old.set(index, old.field(index).with_metadata({layout.STAMP_KEY: raw} if raw else {}))
    table.rewrite(gallery._dataset, schema, gallery._dataset.to_table().cast(schema).to_batches(), gallery.path)
    damaged = Gallery.open(gallery.path)
    (problem,) = damaged.check().problems
    assert "unknown encoder" in problem
    with pytest.raises(GalleryError):
        damaged.stamps()


def test_a_truncated_file_is_found_and_named(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(4))
    gallery.add([reference(9)], [THUMBNAIL], vectors([9]), STAMP)
    parts = sorted((tmp_path / "g").rglob("*.lance"), key=lambda p: p.stat().st_mtime_ns)
    data = [part for part in parts if part.is_file()][-1]
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    damaged = Gallery.open(tmp_path / "g")
    report = damaged.check()
    assert not report.ok and "unreadable" in report.problems[0] and report.references == 4
    with pytest.raises(StorageError, match="reading the gallery failed"):
        damaged.embeddings(STAMP.encoder)
    data.write_bytes(whole)
    assert numbers_in(Gallery.open(tmp_path / "g")) == [0, 1, 2, 3, 9]
    assert_holds(Gallery.open(tmp_path / "g"), [0, 1, 2, 3, 9])
