"""Degraded copies in a gallery: stored with their references, and only with those."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morelli.errors import InputError
from morelli.gallery.exchange import KEY
from morelli.gallery.store import Gallery
from morelli.types import DegradedEmbeddings, EncoderStamp

from .samples import STAMP, THUMBNAIL, add, assert_holds, gallery_of, reference, references, vectors

CONDITIONS = ("blur:0.7", "jpeg:80")


def copies(rows: list[int], numbers: list[int], conditions: tuple[str, ...] = CONDITIONS) -> DegradedEmbeddings:
    """Copies of the references with these numbers, each 100 more for each condition than the reference itself."""
    parts = [vectors(numbers) for _ in conditions]
    return DegradedEmbeddings(
        np.repeat(conditions, len(rows)),
        np.tile(rows, len(conditions)),
        {n: np.concatenate([p[n] + 100 * (i + 1) for i, p in enumerate(parts)]) for n in STAMP.dims},
    )


def add_with(gallery: Gallery, numbers: list[int], sampled: list[int], **how: tuple[str, ...]) -> None:
    rows = [numbers.index(number) for number in sampled]
    gallery.add(references(numbers), [THUMBNAIL] * len(numbers), vectors(numbers), STAMP, copies(rows, sampled, **how))


def assert_copies(gallery: Gallery, numbers: list[int]) -> None:
    found, embeddings = gallery.embeddings(STAMP.encoder)
    held = embeddings.degraded
    if not numbers:
        assert held is None
        return
    assert held is not None
    of = sorted((found[row].name, name) for row, name in zip(held.rows, held.names, strict=True))
    assert of == sorted((f"folder/{number}.png", name) for number in numbers for name in CONDITIONS)
    for name, values in held.vectors.items():
        step = values - embeddings.vectors[name][held.rows]
        assert (step == np.where(held.names == "blur:0.7", 100, 200)[:, None]).all()


def test_copies_come_back_beside_their_references(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    add_with(gallery, [5, 3, 8, 1], [8, 5])
    assert_holds(gallery, [5, 3, 8, 1])
    assert_copies(gallery, [8, 5])
    assert gallery.with_copies(STAMP.encoder) == {reference(n).content: reference(n).model for n in (8, 5)}
    assert gallery.with_copies("another") == {}
    assert gallery.check().ok
    assert [stamp.encoder for stamp in gallery.stamps()] == [STAMP.encoder]


def test_a_gallery_without_copies_gets_them_later_in_one_commit(tmp_path):
    gallery = gallery_of(tmp_path / "g", [1, 2, 3])
    assert_copies(gallery, [])
    before = gallery.version
    add_with(gallery, [2, 4], [2, 4])
    assert gallery.version == before + 1
    assert_holds(gallery, [1, 2, 3, 4])
    assert_copies(gallery, [2, 4])
    add_with(gallery, [2, 4], [2, 4])
    assert gallery.version == before + 1  # the same again changes nothing
    add(gallery, [9])
    assert_copies(gallery, [2, 4])


def test_a_removed_reference_takes_its_copies_along(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    add_with(gallery, [1, 2, 3], [1, 2])
    gallery.remove(contents=[reference(1).content])
    assert_copies(gallery, [2])


def test_other_conditions_are_not_mixed_in(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    add_with(gallery, [1, 2], [1])
    add_with(gallery, [3], [3], conditions=("webp:80",))
    assert_holds(gallery, [1, 2, 3])
    assert_copies(gallery, [1])


def test_a_vector_s_name_may_hold_the_sign_between(tmp_path):
    stamp = EncoderStamp("odd", "1", "1", {"a|b": 2})
    vectors_ = {"a|b": np.ones((1, 2), np.float32)}
    made = DegradedEmbeddings(np.array(["jpeg:80"]), np.array([0]), {"a|b": np.full((1, 2), 2, np.float32)})
    gallery = Gallery.create(tmp_path / "g")
    gallery.add(references([1]), [THUMBNAIL], vectors_, stamp, made)
    held = gallery.embeddings("odd")[1].degraded
    assert held is not None
    assert (held.names.tolist(), list(held.vectors)) == (["jpeg:80"], ["a|b"])
    assert gallery.conditions("odd") == ("jpeg:80",)
    assert gallery.conditions("another") == ()


def test_copies_of_another_revision_are_not_imported(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    add_with(gallery, [1], [1])
    gallery.export(tmp_path / "e.parquet")
    found = pq.read_table(tmp_path / "e.parquet")
    manifest = json.loads(found.schema.metadata[KEY])
    next(iter(manifest["copies"].values()))["revision"] = "another"
    pq.write_table(found.replace_schema_metadata({KEY: json.dumps(manifest).encode()}), tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="degraded copies are not of"):
        gallery_of(tmp_path / "h", [7]).import_(tmp_path / "bad.parquet")


def test_a_reference_that_lacks_a_condition_is_left_out(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    made = copies([0, 1], [1, 2])
    part = np.arange(3)  # reference 2 lacks the second condition
    short = DegradedEmbeddings(made.names[part], made.rows[part], {n: v[part] for n, v in made.vectors.items()})
    gallery.add(references([1, 2]), [THUMBNAIL] * 2, vectors([1, 2]), STAMP, short)
    assert_copies(gallery, [1])


def test_copies_travel_with_an_export_and_are_checked(tmp_path):
    source = Gallery.create(tmp_path / "g")
    add_with(source, [1, 2, 3], [3])
    source.export(tmp_path / "e.parquet")
    target = gallery_of(tmp_path / "h", [7])
    target.import_(tmp_path / "e.parquet")
    assert_copies(target, [3])
    found = pq.read_table(tmp_path / "e.parquet")
    name = next(name for name in found.column_names if name.startswith("copies_"))
    cut = [None if row is None else row[:-1] for row in found[name].to_pylist()]
    place = found.column_names.index(name)
    damaged = found.set_column(place, name, pa.array(cut, found.schema.field(name).type))
    pq.write_table(damaged, tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="another length"):
        gallery_of(tmp_path / "i", [7]).import_(tmp_path / "bad.parquet")


def test_take_keeps_the_copies_of_what_is_kept(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    add_with(gallery, [1, 2, 3, 4], [2, 4])
    _, embeddings = gallery.embeddings(STAMP.encoder)
    held = embeddings.degraded
    assert held is not None
    part = embeddings.take(np.array([held.rows[0]]))
    assert part.degraded is not None
    assert part.degraded.rows.tolist() == [0, 0]
    assert replace(part, degraded=None).take(np.array([0])).degraded is None
