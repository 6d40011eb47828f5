from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morelli.errors import EmptyGalleryError, GalleryMismatchError, InputError, ReservedNameError, StorageError
from morelli.gallery.exchange import KEY
from morelli.gallery.store import Gallery

from .samples import OTHER, STAMP, THUMBNAIL, add, assert_holds, gallery_of, reference, vectors


@pytest.fixture
def source(tmp_path):
    """Ten references, four of them under a second encoder."""
    gallery = gallery_of(tmp_path / "source", range(10))
    add(gallery, range(3, 7), OTHER)
    return gallery


def test_the_round_trip_is_exact(source, tmp_path):
    assert source.export(tmp_path / "x.parquet") == 10
    copy = Gallery.create(tmp_path / "copy")
    report = copy.import_(tmp_path / "x.parquet")
    assert (report.added, report.version) == (10, 2)
    assert copy.references() == source.references()
    assert copy.stamps() == source.stamps()
    assert_holds(copy, range(10))
    assert_holds(copy, range(3, 7), OTHER)
    assert copy.check().ok


def test_extreme_numbers_survive(tmp_path):
    numbers = np.array([[np.finfo(np.float32).tiny / 8, -0.0, np.finfo(np.float32).max]], dtype=np.float32)
    values = {"native/4": numbers, "whole": numbers[:, :2] / 3}
    gallery = Gallery.create(tmp_path / "a")
    gallery.add([reference(1)], [b""], values, STAMP)
    gallery.export(tmp_path / "x")
    copy = Gallery.create(tmp_path / "b")
    copy.import_(tmp_path / "x")
    for name, array in copy.embeddings(STAMP.encoder)[1].vectors.items():
        assert array.tobytes() == values[name].tobytes()


def test_importing_again_changes_nothing(source, tmp_path):
    source.export(tmp_path / "x")
    copy = Gallery.create(tmp_path / "copy")
    copy.import_(tmp_path / "x")
    again = copy.import_(tmp_path / "x")
    assert (again.added, again.updated, again.unchanged, again.version) == (0, 0, 10, 2)


def test_importing_merges(source, tmp_path):
    source.export(tmp_path / "x")
    other = gallery_of(tmp_path / "other", range(8, 13))
    report = other.import_(tmp_path / "x")
    assert (report.added, report.updated, report.unchanged) == (8, 0, 2)
    assert_holds(other, range(13))
    assert_holds(other, range(3, 7), OTHER)


def test_pixels_leave_only_when_asked(source, tmp_path):
    source.export(tmp_path / "without")
    source.export(tmp_path / "with", thumbnails=True)
    assert THUMBNAIL not in (tmp_path / "without").read_bytes()
    assert "thumbnail" not in pq.read_schema(tmp_path / "without").names
    copy = Gallery.create(tmp_path / "copy")
    copy.import_(tmp_path / "without")
    assert copy.thumbnail(reference(1).content) is None
    assert copy.import_(tmp_path / "with").updated == 10
    assert copy.thumbnail(reference(1).content) == THUMBNAIL


def test_any_parquet_reader_understands_it(source, tmp_path):
    source.export(tmp_path / "x")
    found = pq.read_table(tmp_path / "x")
    manifest = json.loads(found.schema.metadata[KEY])
    assert manifest["schema"] == "morelli.gallery-export/1"
    assert (manifest["references"], manifest["thumbnails"]) == (10, False)
    column = next(name for name, stamp in manifest["encoders"].items() if stamp["encoder"] == STAMP.encoder)
    assert manifest["encoders"][column]["dims"] == [["native/4", 3], ["whole", 2]]
    row = found["name"].to_pylist().index("folder/4.png")
    expected = np.concatenate([v[0] for v in vectors([4]).values()]).tolist()
    assert found[column][row].as_py() == expected


@pytest.mark.parametrize("change", [{"revision": "r2"}, {"preprocessing": "p2"}, {"dims": {"native/4": 3}}])
def test_another_preprocessing_or_revision_is_refused(source, tmp_path, change):
    source.export(tmp_path / "x")
    other = gallery_of(tmp_path / "other", [20], dataclasses.replace(STAMP, **change))
    with pytest.raises(GalleryMismatchError, match="not comparable"):
        other.import_(tmp_path / "x")
    assert len(Gallery.open(tmp_path / "other")) == 1


def test_another_label_is_refused(source, tmp_path):
    source.export(tmp_path / "x")
    other = Gallery.create(tmp_path / "other")
    other.add([reference(4, "somebody else's")], [b""], vectors([4]), STAMP)
    with pytest.raises(InputError, match="two labels"):
        other.import_(tmp_path / "x")
    assert len(Gallery.open(tmp_path / "other")) == 1


@pytest.mark.parametrize(("column", "name"), [("model", "none"), ("model", "Unsure"), ("base", "None")])
def test_a_name_that_verdicts_give_to_no_model_is_refused(source, tmp_path, column, name):
    source.export(tmp_path / "x")
    index = pq.read_schema(tmp_path / "x").names.index(column)
    rewritten(tmp_path / "x", lambda t: t.set_column(index, column, pa.array([name] * len(t))))
    other = gallery_of(tmp_path / "other", [20])
    with pytest.raises(ReservedNameError, match=f"a {column} cannot be called {name!r}"):
        other.import_(tmp_path / "x")
    assert len(Gallery.open(tmp_path / "other")) == 1


def rewritten(path, change):
    """An exported file with its table changed by a function."""
    pq.write_table(change(pq.read_table(path)), path)


def manifest_changed(found: pa.Table, **fields: object) -> pa.Table:
    manifest = json.loads(found.schema.metadata[KEY]) | fields
    return found.replace_schema_metadata({KEY: json.dumps(manifest)})


def vectors_changed(found: pa.Table, change) -> pa.Table:
    index = len(found.column_names) - 2
    lists = [change(row) for row in found.column(index).to_pylist()]
    return found.set_column(index, found.column_names[index], pa.array(lists, pa.list_(pa.float32())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace_schema_metadata({}), "no manifest"),
        (lambda t: manifest_changed(t, schema="morelli.gallery-export/2"), "Upgrade"),
        (lambda t: manifest_changed(t, references=11), "10 references where the manifest says 11"),
        (lambda t: manifest_changed(t, encoders={"vectors_x": {}}), "stamp is damaged"),
        (lambda t: manifest_changed(t, encoders=7), "damaged or no exported gallery"),
        (lambda t: t.drop_columns(["model"]), "damaged or no exported gallery"),
        (lambda t: t.set_column(0, "content", pa.array(["x"] * 10)), "64 hexadecimal"),
        (lambda t: vectors_changed(t, lambda row: row[:-1]), "damaged or no exported gallery"),
        (lambda t: vectors_changed(t, lambda row: [float("nan")] * 5), "not finite"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(source, tmp_path, change, message):
    source.export(tmp_path / "x")
    rewritten(tmp_path / "x", change)
    copy = Gallery.create(tmp_path / "copy")
    with pytest.raises(InputError, match=message) as caught:
        copy.import_(tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value) or "64 hex" in message
    assert Gallery.open(tmp_path / "copy").version == 1


def test_damaged_bytes_are_found_by_their_checksum(source, tmp_path):
    """Bytes before the footer, one at a time: refused, or (page statistics) without effect on what is imported."""
    source.export(tmp_path / "x")
    whole = (tmp_path / "x").read_bytes()
    copy = Gallery.create(tmp_path / "copy")
    refused = 0
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for position in range(4, footer, 17):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        (tmp_path / "x").write_bytes(damaged)
        try:
            incoming = copy.import_(tmp_path / "x")
        except InputError:
            refused += 1
        else:
            assert incoming.added == 10
            assert_holds(copy, range(10))
            copy.remove(models=["model 0", "model 1", "model 2"])
    assert refused > 0.5 * len(range(4, footer, 17))


def test_what_is_no_file_is_named(tmp_path, source):
    copy = Gallery.create(tmp_path / "copy")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "nothing").write_bytes(b"")
    for name, message in (
        ("absent", "no such file"),
        (".", "no such file"),
        ("text", "damaged"),
        ("nothing", "damaged"),
    ):
        with pytest.raises(InputError, match=message):
            copy.import_(tmp_path / name)
    with pytest.raises(InputError, match="local file"):
        source.export("s3://bucket/x.parquet")


def test_a_failed_export_leaves_the_old_file_and_no_litter(source, tmp_path, monkeypatch):
    target = tmp_path / "out" / "x.parquet"
    with pytest.raises(StorageError, match="writing the export failed"):
        source.export(target)
    target.parent.mkdir()
    source.export(target)
    before = target.read_bytes()

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(StorageError, match="Free some space"):
        source.export(target)
    assert target.read_bytes() == before
    assert [p.name for p in target.parent.iterdir()] == ["x.parquet"]


def test_an_empty_gallery_is_not_exported(tmp_path):
    with pytest.raises(EmptyGalleryError):
        Gallery.create(tmp_path / "g").export(tmp_path / "x")
    assert not (tmp_path / "x").exists()
