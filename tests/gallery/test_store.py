from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from morelli.errors import (
    ArrayError,
    EmptyGalleryError,
    GalleryError,
    GalleryMismatchError,
    InputError,
    MissingGalleryError,
    ReservedNameError,
    UnknownNameError,
)
from morelli.gallery import table
from morelli.gallery.rows import COLUMNS
from morelli.gallery.store import Gallery
from morelli.types import EncoderStamp, Reference

from .samples import (
    OTHER,
    STAMP,
    THUMBNAIL,
    add,
    assert_holds,
    gallery_of,
    numbers_in,
    reference,
    references,
    vectors,
)


def test_what_goes_in_comes_out(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    report = add(gallery, range(20))
    assert (report.added, report.updated, report.unchanged, report.duplicates) == (20, 0, 0, 0)
    for seen in (gallery, Gallery.open(tmp_path / "g")):
        assert len(seen) == 20
        assert seen.stamps() == (STAMP,)
        assert_holds(seen, range(20))
        assert seen.thumbnail(reference(3).content) == THUMBNAIL


def test_rows_are_built_in_the_order_of_the_records_fields():
    assert tuple(field.name for field in dataclasses.fields(Reference)) == (*COLUMNS, "base")


@pytest.mark.parametrize("change", [{"model": "None"}, {"model": "unsure"}, {"base": "NONE"}])
def test_a_name_that_verdicts_give_to_no_model_is_refused(tmp_path, change):
    """The decision "none" would not say whether it is a model or a rejection."""
    gallery = gallery_of(tmp_path / "g", range(3))
    given = [reference(4), dataclasses.replace(reference(5), **change)]
    with pytest.raises(ReservedNameError, match=r"folder/5\.png") as caught:
        gallery.add(given, [THUMBNAIL] * 2, vectors([4, 5]), STAMP)
    assert caught.value.fix
    assert_holds(Gallery.open(tmp_path / "g"), range(3))


def test_the_same_again_changes_nothing_and_makes_no_version(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(7))
    before = gallery.version
    report = add(gallery, range(7))
    assert (report.added, report.updated, report.unchanged, report.version) == (0, 0, 7, before)
    assert Gallery.open(tmp_path / "g").version == before
    report = add(gallery, [5, 6, 7])
    assert (report.added, report.unchanged, report.version) == (1, 2, before + 1)
    assert_holds(gallery, range(8))


def test_an_add_is_one_version_whatever_it_does(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(5))
    before = gallery.version
    # A new encoder, gaps to fill and new rows at once.
    report = add(gallery, [3, 4, 5, 6], OTHER)
    assert (report.added, report.updated, report.unchanged) == (2, 2, 0)
    assert gallery.version == before + 1


def test_a_picture_given_twice_in_one_add_is_kept_once(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    report = add(gallery, [1, 2, 1, 1])
    assert (report.added, report.duplicates) == (2, 2)
    assert_holds(gallery, [1, 2])


def test_a_second_encoder_fills_its_own_column(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(6))
    report = add(gallery, [4, 5, 6], OTHER)
    assert (report.added, report.updated) == (1, 2)
    assert_holds(gallery, range(6))
    assert_holds(gallery, [4, 5, 6], OTHER)
    report = add(gallery, range(7))  # 6 lacks the first encoder, and nothing else is new
    assert (report.added, report.updated, report.unchanged) == (0, 1, 6)
    assert_holds(gallery, range(7))
    assert_holds(gallery, [4, 5, 6], OTHER)
    assert gallery.stamps() == (STAMP, OTHER)
    assert gallery.check().ok


def test_rows_without_pixels_get_their_thumbnail_later(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    gallery.add(references([1, 2]), [None, b""], vectors([1, 2]), STAMP)
    assert gallery.thumbnail(reference(1).content) is None
    assert add(gallery, [1]).updated == 1
    assert gallery.thumbnail(reference(1).content) == THUMBNAIL
    assert gallery.thumbnail(reference(2).content) is None


@pytest.mark.parametrize("field", ["model", "family", "prompt_id"])
def test_one_picture_under_two_labels_is_refused_and_nothing_is_written(tmp_path, field):
    gallery = gallery_of(tmp_path / "g", [1, 2])
    before = gallery.version
    wrong = dataclasses.replace(reference(2), name="copy.png", **{field: "another"})
    assert [str(c) for c in gallery.conflicts([reference(1), wrong])] == [str(gallery.conflicts([wrong])[0])]
    with pytest.raises(InputError, match=r"copy\.png .*another.* is folder/2\.png") as caught:
        gallery.add([reference(9), wrong], [b"", b""], vectors([9, 2]), STAMP)
    assert "remove" in str(caught.value)
    assert Gallery.open(tmp_path / "g").version == before
    assert_holds(gallery, [1, 2])


def test_two_labels_within_one_add_are_refused(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    pair = [reference(1, "a"), reference(1, "b")]
    with pytest.raises(InputError, match="two labels"):
        gallery.add(pair, [b"", b""], vectors([1, 1]), STAMP)
    assert len(Gallery.open(tmp_path / "g")) == 0


def test_another_name_for_a_known_picture_is_no_conflict(tmp_path):
    gallery = gallery_of(tmp_path / "g", [1])
    copy = dataclasses.replace(reference(1), name="elsewhere.png", seed=5)
    assert gallery.add([copy], [b""], vectors([1]), STAMP).unchanged == 1
    assert gallery.references() == (reference(1),)


def test_adding_nothing_is_allowed(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    assert add(gallery, []).version == gallery.version == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"revision": "r2"}, "revision r1 there and r2 here"),
        ({"preprocessing": "p2"}, "preprocessing p1 there and p2 here"),
        ({"dims": {"native/4": 3, "whole": 5}}, r"whole \(2 and 5 numbers\)"),
        ({"dims": {"native/4": 3}}, r"whole \(2 and 0 numbers\)"),
        ({"dims": {"whole": 2, "native/4": 3}}, "another order"),
    ],
)
def test_other_embeddings_of_the_same_encoder_are_refused(tmp_path, change, message):
    gallery = gallery_of(tmp_path / "g", [1])
    stamp = dataclasses.replace(STAMP, **change)
    with pytest.raises(GalleryMismatchError, match=message) as caught:
        gallery.require(stamp)
    assert caught.value.fix and "morelli gallery add" in caught.value.fix
    with pytest.raises(GalleryMismatchError, match=message):
        add(gallery, [2], stamp)
    assert numbers_in(Gallery.open(tmp_path / "g")) == [1]
    gallery.require(STAMP)


def test_an_encoder_that_the_gallery_never_saw_is_named(tmp_path):
    gallery = gallery_of(tmp_path / "g", [1])
    for ask in (lambda: gallery.require(OTHER), lambda: gallery.embeddings("toy/other")):
        with pytest.raises(GalleryMismatchError, match=r"toy/encoder\.v1, and none of toy/other"):
            ask()


def test_missing_says_what_still_needs_embedding(tmp_path):
    gallery = gallery_of(tmp_path / "g", [1, 2])
    add(gallery, [3], OTHER)
    asked = [reference(i).content for i in (1, 2, 3, 4)]
    assert gallery.missing(asked, STAMP.encoder) == {reference(3).content, reference(4).content}
    assert gallery.missing(iter(asked), OTHER.encoder) == set(asked) - {reference(3).content}
    assert gallery.missing(asked, "never") == set(asked)


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda r, v: r.__setitem__(0, dataclasses.replace(r[0], content="xyz")), InputError, "64 hexadecimal"),
        (lambda r, v: r.__setitem__(0, dataclasses.replace(r[0], sha256="A" * 64)), InputError, "64 hexadecimal"),
        (lambda r, v: r.__setitem__(1, dataclasses.replace(r[1], model="")), InputError, "name of its model"),
        (lambda r, v: v["whole"].__setitem__((1, 0), np.nan), ArrayError, r"1 of 2 are not \(first: row 1\)"),
        (lambda r, v: v["whole"].__setitem__((0, 0), np.inf), ArrayError, "finite"),
        (lambda r, v: v.pop("whole"), ArrayError, "native/4, whole, and got native/4"),
        (lambda r, v: v.__setitem__("extra", v["whole"]), ArrayError, "got native/4, whole, extra"),
        (lambda r, v: v.__setitem__("whole", v["whole"][:1]), ArrayError, r"\(2, 2\), and has \(1, 2\)"),
    ],
)
def test_bad_rows_are_refused_by_name(tmp_path, edit, error, message):
    gallery = Gallery.create(tmp_path / "g")
    given, arrays = references([1, 2]), vectors([1, 2])
    edit(given, arrays)
    with pytest.raises(error, match=message):
        gallery.add(given, [b"", b""], arrays, STAMP)
    assert Gallery.open(tmp_path / "g").version == 1


def test_thumbnails_must_match_in_number(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    with pytest.raises(InputError, match="thumbnails: 1 references and 0"):
        gallery.add([reference(1)], [], vectors([1]), STAMP)


def test_show_takes_the_beginning_of_a_hash(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(40))
    wanted = reference(7)
    assert gallery.show(wanted.content[:12].upper()) == wanted
    with pytest.raises(InputError, match="no reference begins so"):
        gallery.show("f" * 64)
    with pytest.raises(InputError, match="no reference begins so"):
        gallery.show("")
    twin = min("0123456789abcdef", key=lambda d: -sum(r.content.startswith(d) for r in gallery.references()))
    with pytest.raises(InputError, match="references begin so"):
        gallery.show(twin)


def test_thumbnails_of_several_are_read_at_once(tmp_path, monkeypatch):
    gallery = gallery_of(tmp_path / "g", range(20))
    gallery.add(references([20]), [None], vectors([20]), STAMP)
    asked = []
    scan = table.scan
    monkeypatch.setattr(table, "scan", lambda *given: asked.append(scan(*given)) or asked[-1])
    wanted = [reference(3).content, reference(20).content, reference(7).content[:12].upper()]
    assert gallery.thumbnails([*wanted, wanted[0]]) == {wanted[0]: THUMBNAIL, wanted[1]: None, wanted[2]: THUMBNAIL}
    assert [len(found) for found in asked] == [3, 3]  # once for whole hashes, once for the pictures
    asked.clear()
    gallery.show(wanted[2])
    assert [len(found) for found in asked] == [1]
    assert gallery.thumbnails([]) == {}


def test_thumbnails_refuse_what_names_no_reference_or_several(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(40))
    known = reference(3).content
    twin = min("0123456789abcdef", key=lambda d: -sum(r.content.startswith(d) for r in gallery.references()))
    for odd, said in {"f" * 64: "no reference", "": "no reference", twin: "references begin", "' OR true": "no ref",
                      f"{known}0": "no reference", "%": "no reference", "_" * 12: "no reference"}.items():  # fmt: skip
        for ask in (gallery.show, gallery.thumbnail, lambda text: gallery.thumbnails([known, text])):
            with pytest.raises(InputError, match=said) as told:
                ask(odd)
            assert str(told.value).count(repr(odd)) == 1


def test_room_is_made_for_the_chosen_embeddings_alone(tmp_path, monkeypatch):
    gallery = gallery_of(tmp_path / "g", range(9))
    made, empty = [], np.empty
    monkeypatch.setattr(np, "empty", lambda shape, *rest, **more: made.append(shape) or empty(shape, *rest, **more))
    chosen = [reference(i).content for i in (2, 5)]
    assert len(gallery.embeddings(STAMP.encoder, [*chosen, chosen[0], "f" * 64])[0]) == 2
    rooms = [shape for shape in made if isinstance(shape, tuple) and shape[1:] == (sum(STAMP.dims.values()),)]
    assert rooms == [(3, sum(STAMP.dims.values()))]  # of a large gallery there may be no room for all


def test_models_and_chosen_embeddings(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(12))
    add(gallery, range(4), OTHER)
    everything = {r.content: r.model for r in gallery.references()}
    assert list(gallery.models().items()) == list(everything.items())
    assert set(gallery.models(OTHER.encoder)) == {reference(i).content for i in range(4)}
    found, embeddings = gallery.embeddings(OTHER.encoder, [reference(i).content for i in (9, 2, 3)])
    assert {r.name for r in found} == {"folder/2.png", "folder/3.png"}
    expected = vectors([int(r.name[7]) for r in found], OTHER)["last"]
    np.testing.assert_array_equal(embeddings.vectors["last"], expected)
    for none in ([], [reference(9).content]):
        found, embeddings = gallery.embeddings(OTHER.encoder, none)
        assert (len(found), len(embeddings), embeddings.vectors["last"].shape) == (0, 0, (0, 4))
    gallery.remove(contents=[reference(i).content for i in range(4)])
    with pytest.raises(EmptyGalleryError, match="no reference has embeddings of toy/other"):
        gallery.models(OTHER.encoder)
    with pytest.raises(GalleryMismatchError):
        gallery.models("another")


def test_remove_meets_every_condition(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(24))
    before = gallery.version
    gone = [i for i in range(24) if reference(i).model == "model 1" and reference(i).prompt_id in ("p1", "p2")]
    assert gallery.remove(models=["model 1"], prompts=["p1", "p2"]) == len(gone) > 1
    assert gallery.version == before + 1
    left = [i for i in range(24) if i not in gone]
    assert_holds(gallery, left)
    assert gallery.remove(contents=[reference(left[0]).content[:16]]) == 1
    assert_holds(Gallery.open(tmp_path / "g"), left[1:])
    assert add(gallery, [left[0]]).added == 1  # what was removed may come back, under another label too
    version = gallery.version
    assert reference(left[1]).model != "model 1"
    assert gallery.remove(models=["model 1"], contents=[reference(left[1]).content]) == 0
    assert gallery.version == version
    assert gallery.check().ok


def test_remove_refuses_what_it_does_not_know(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(4))
    with pytest.raises(InputError, match="nothing says what to remove"):
        gallery.remove()
    with pytest.raises(UnknownNameError, match="Did you mean 'model 1'"):
        gallery.remove(models=["modl 1"])
    with pytest.raises(UnknownNameError, match="prompt"):
        gallery.remove(prompts=["p99"])
    with pytest.raises(InputError, match="no reference begins so"):
        gallery.remove(contents=["ffffffff'; --"])
    assert len(gallery) == 4


def test_an_empty_gallery_says_so(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    with pytest.raises(EmptyGalleryError, match="no reference"):
        gallery.embeddings(STAMP.encoder)
    add(gallery, [1])
    add(gallery, [2], OTHER)
    gallery.remove(contents=[reference(2).content])
    with pytest.raises(EmptyGalleryError, match="toy/other"):
        gallery.embeddings(OTHER.encoder)
    gallery.remove(models=["model 1"])
    with pytest.raises(EmptyGalleryError, match="no reference"):
        gallery.embeddings(STAMP.encoder)
    assert gallery.summary().models == ()


def test_open_refuses_what_is_no_gallery(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "half" / "references.lance" / "data").mkdir(parents=True)
    for name in ("absent", "file", ".", "half"):
        with pytest.raises(MissingGalleryError, match="morelli gallery add"):
            Gallery.open(tmp_path / name)
    assert len(Gallery.open_or_create(tmp_path / "half")) == 0  # what a killed create leaves does not stand in the way
    assert not (tmp_path / "absent").exists()


def test_create_harms_nothing(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"x")
    with pytest.raises(GalleryError, match=r"other files \(a\.png\)"):
        Gallery.create(tmp_path / "photos")
    with pytest.raises(GalleryError, match="is a file"):
        Gallery.create(tmp_path / "photos" / "a.png")
    gallery_of(tmp_path / "g", [1])
    with pytest.raises(GalleryError, match="already"):
        Gallery.create(tmp_path / "g")
    assert_holds(Gallery.open_or_create(tmp_path / "g"), [1])


def test_an_open_gallery_keeps_its_version_while_others_write(tmp_path):
    reader = gallery_of(tmp_path / "g", [1, 2])
    add(Gallery.open(tmp_path / "g"), [3])
    assert_holds(reader, [1, 2])
    add(reader, [4])  # a write starts from the newest version
    assert_holds(reader, [1, 2, 3, 4])


def test_summary_counts(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(12))
    add(gallery, range(4), OTHER)
    summary = gallery.summary()
    assert (summary.references, summary.prompts, summary.version) == (12, 4, gallery.version)
    assert [(m.model, m.family, m.references) for m in summary.models] == [
        (f"model {j}", "the family", 4) for j in range(3)
    ]
    # Model 0 has 0, 3, 6, 9: prompts "", p3, p2, p1.
    assert summary.models[0].prompts == 3
    assert [(e.stamp, e.references) for e in summary.encoders] == [(STAMP, 12), (OTHER, 4)]
    assert summary.size is not None and summary.size > 0


def test_prune_frees_earlier_versions_and_keeps_the_newest(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(30))
    add(gallery, range(30), OTHER)
    gallery.remove(models=["model 0"])
    left = [i for i in range(30) if i % 3]
    before = gallery.summary().size
    assert gallery.prune() > 0
    assert gallery.summary().size < before
    assert_holds(Gallery.open(tmp_path / "g"), left)
    assert_holds(Gallery.open(tmp_path / "g"), left, OTHER)
    assert Gallery.open(tmp_path / "g").check().ok


def test_after_prune_nothing_of_a_removed_picture_is_on_the_disk(tmp_path):
    secret = np.random.default_rng(0).bytes(400)

    def traces() -> int:
        return sum(secret in p.read_bytes() for p in (tmp_path / "g").rglob("*") if p.is_file())

    gallery = Gallery.create(tmp_path / "g")
    gallery.add(references(range(20)), [b""] * 7 + [secret] + [b""] * 12, vectors(range(20)), STAMP)
    gallery.remove(contents=[reference(7).content])
    assert traces() == 1  # the search itself works
    gallery.prune()
    assert traces() == 0
    assert_holds(gallery, [i for i in range(20) if i != 7])


def test_prune_joins_many_small_adds(tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    for i in range(12):
        add(gallery, [i])
    assert len(gallery._dataset.get_fragments()) == 12
    gallery.prune()
    assert len(gallery._dataset.get_fragments()) == 1
    assert_holds(gallery, range(12))
    assert add(gallery, range(13)).added == 1


def test_odd_encoder_ids_and_labels_survive(tmp_path):
    stamps = [EncoderStamp(name, "r", "p", {"a.b/c d`": 1}) for name in ("./local.path/x", "A b", "a_b", "été/`x`'")]
    odd = dataclasses.replace(reference(1), model="it's `odd`\n", prompt_id="ünï'", prompt="x" * 10_000)
    gallery = Gallery.create(tmp_path / "g")
    for j, stamp in enumerate(stamps):
        gallery.add([odd], [b""], {"a.b/c d`": np.full((1, 1), j, dtype=np.float32)}, stamp)
    again = Gallery.open(tmp_path / "g")
    assert again.stamps() == tuple(stamps)
    for j, stamp in enumerate(stamps):
        found, embeddings = again.embeddings(stamp.encoder)
        assert found == (odd,)
        assert embeddings.vectors["a.b/c d`"].tolist() == [[j]]
    assert again.remove(models=["it's `odd`\n"], prompts=["ünï'"]) == 1


def test_a_uri_is_not_mangled(tmp_path):
    where = f"file://{tmp_path}/g"
    gallery = Gallery.open_or_create(where)
    assert gallery.path == where
    add(gallery, [1])
    assert_holds(Gallery.open(where), [1])
    assert gallery.summary().size is None
    with pytest.raises(MissingGalleryError):
        Gallery.open(f"file://{tmp_path}/absent")


def test_importing_the_store_loads_no_heavy_part():
    code = (
        "import sys, morelli.gallery.store, morelli.gallery.thumbnail\n"
        "print([m for m in ('lance', 'pyarrow', 'PIL', 'torch', 'scipy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
