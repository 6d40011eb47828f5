"""A dataset into a gallery: counts, labels, what is embedded, bad pictures, contradictions, interruption."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from morelli.encoders.cache import EmbeddingCache
from morelli.enrol import EnrolReport, enrol
from morelli.errors import DatasetError, GalleryMismatchError, InputError, ReservedNameError, StorageError
from morelli.gallery.store import Gallery
from morelli.images.dataset import Dataset, read_dataset
from morelli.testing.datasets import write_dataset
from morelli.testing.hostile import BROKEN, write_hostile
from morelli.types import Item

from .encoders.toys import STAMP, PickyEncoder, ToyEncoder, flat

OTHER = replace(STAMP, encoder="other")


def dataset_of(root: Path, rows: Sequence[tuple[str, str, int | None]], prompt: str = "") -> Dataset:
    """Rows of (file name, model, grey); a grey of None is a file that is no picture."""
    items = []
    for name, model, grey in rows:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if grey is None:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(flat(grey)).save(path)
        items.append(Item(path, name, model=model, family=model, prompt_id=prompt))
    return Dataset(root, tuple(items))


def counts(report: EnrolReport) -> tuple[int, ...]:
    """added, updated, unchanged, duplicates, skipped, failed."""
    return (
        report.added,
        report.updated,
        report.unchanged,
        report.duplicates,
        report.skipped,
        len(report.errors),
    )


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery.create(tmp_path / "g")


def test_pictures_become_references_with_what_is_known_of_them(tmp_path: Path, gallery: Gallery) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "d", models=2, prompts=2, seeds=2, size=40, families=["f", "f"]))
    report = enrol(gallery, dataset, ToyEncoder())
    assert counts(report) == (8, 0, 0, 0, 0, 0)
    assert report.version == gallery.version == 2  # the empty gallery is 1: one commit
    references, embeddings = gallery.embeddings("toy")
    items = {item.name: item for item in dataset.items}
    assert {r.name for r in references} == set(items)
    for row, reference in enumerate(references):
        item = items[reference.name]
        pixels = np.asarray(Image.open(item.path).convert("RGB"))
        assert reference.content == hashlib.sha256(b"40x40x3:" + pixels.tobytes()).hexdigest()
        assert reference.sha256 == hashlib.sha256(item.path.read_bytes()).hexdigest()
        for field in ("model", "family", "prompt_id", "prompt", "seed", "source", "licence"):
            assert getattr(reference, field) == getattr(item, field)
        assert (reference.width, reference.height) == (40, 40)
        np.testing.assert_allclose(embeddings.vectors["mean"][row], pixels.mean(axis=(0, 1)), rtol=1e-6)
        assert (gallery.thumbnail(reference.content) or b"")[8:12] == b"WEBP"
    assert gallery.check().ok


def test_what_is_there_is_not_embedded_again(tmp_path: Path, gallery: Gallery) -> None:
    rows = [(f"{i}.png", "m", i) for i in range(5)]
    enrol(gallery, dataset_of(tmp_path / "d", rows[:3]), ToyEncoder(), copies=0)
    encoder = ToyEncoder()
    report = enrol(gallery, dataset_of(tmp_path / "d", rows[:3]), encoder, copies=0)
    assert counts(report) == (0, 0, 3, 0, 0, 0)
    assert report.version == 2
    assert encoder.prepared == 0
    report = enrol(gallery, dataset_of(tmp_path / "d", rows), encoder, copies=0)
    assert counts(report) == (2, 0, 3, 0, 0, 0)
    assert encoder.prepared == 2


def test_a_second_encoder_is_filled_in_and_gaps_are_noted(tmp_path: Path, gallery: Gallery) -> None:
    rows = [(f"{i}.png", "m", i) for i in range(4)]
    enrol(gallery, dataset_of(tmp_path / "d", rows[:3]), ToyEncoder())
    report = enrol(gallery, dataset_of(tmp_path / "d", rows[1:]), ToyEncoder(OTHER))
    assert counts(report) == (1, 2, 0, 0, 0, 0)
    assert report.notes == ("1 of 4 references in the gallery have no embeddings of other.",)
    assert [len(gallery.embeddings(name)[0]) for name in ("toy", "other")] == [3, 3]
    assert enrol(gallery, dataset_of(tmp_path / "d", rows), ToyEncoder(OTHER)).notes == ()


@pytest.mark.parametrize("change", [{"revision": "2"}, {"preprocessing": "shrunk"}, {"dims": {"mean": 3, "shape": 1}}])
def test_another_revision_or_preprocessing_is_refused_before_any_work(
    change: dict[str, object], tmp_path: Path, gallery: Gallery
) -> None:
    dataset = dataset_of(tmp_path / "d", [("a.png", "m", 1)])
    enrol(gallery, dataset, ToyEncoder())
    encoder, steps = ToyEncoder(replace(STAMP, **change)), []
    with pytest.raises(GalleryMismatchError, match="not comparable"):
        enrol(gallery, dataset, encoder, progress=lambda *step: steps.append(step))
    assert steps == []
    assert gallery.version == 2


@pytest.mark.parametrize("name", ["none", "Unsure"])
def test_a_name_that_verdicts_give_to_no_model_is_refused_before_any_work(
    tmp_path: Path, gallery: Gallery, name: str
) -> None:
    dataset, steps = dataset_of(tmp_path / "d", [("a/0.png", "a", 9), ("b/0.png", name, 8)]), []
    of_base = replace(dataset, items=(dataset.items[0], replace(dataset.items[1], model="b", base=name)))
    for each in (dataset, of_base):
        with pytest.raises(ReservedNameError, match=r"b/0\.png"):
            enrol(gallery, each, ToyEncoder(), progress=lambda *step: steps.append(step))
    assert (steps, len(gallery)) == ([], 0)


def test_progress_counts_both_stages(tmp_path: Path, gallery: Gallery) -> None:
    steps: list[tuple[str, int, int]] = []
    rows = [("a.png", "m", 1), ("b.png", "m", 2), ("again.png", "m", 1), ("bad.png", "m", None)]
    enrol(gallery, dataset_of(tmp_path / "d", rows), ToyEncoder(), progress=lambda *step: steps.append(step))
    assert [step for step in steps if step[0] == "reading"] == [("reading", i, 4) for i in (1, 2, 3, 4)]
    assert [step for step in steps if step[0] == "embedding"] == [("embedding", i, 2) for i in (1, 2)]


def test_the_same_pixels_under_one_label_count_once(tmp_path: Path, gallery: Gallery) -> None:
    encoder = ToyEncoder()
    dataset = dataset_of(tmp_path / "d", [("a.png", "m", 1), ("b.png", "m", 1), ("c.webp", "m", 2), ("d.png", "m", 1)])
    assert counts(enrol(gallery, dataset, encoder, copies=0)) == (2, 0, 0, 2, 0, 0)
    assert encoder.prepared == 2
    assert {r.name for r in gallery.references()} == {"a.png", "c.webp"}
    assert counts(enrol(gallery, dataset, encoder, copies=0)) == (0, 0, 2, 2, 0, 0)


BLACK = [("a/0.png", "a", 0), ("a/1.png", "a", 9), ("b/0.png", "b", 0), ("b/1.png", "b", 8), ("c/0.png", "c", 0)]


def test_one_picture_under_two_models_is_refused_before_embedding(tmp_path: Path, gallery: Gallery) -> None:
    encoder = ToyEncoder()
    with pytest.raises(InputError, match=r"b/0\.png \(model b\) is a/0\.png \(model a\).*--skip-conflicts"):
        enrol(gallery, dataset_of(tmp_path / "d", BLACK), encoder)
    assert encoder.prepared == 0
    assert gallery.version == 1


def test_with_skip_conflicts_no_picture_with_two_labels_comes_in(tmp_path: Path, gallery: Gallery) -> None:
    report = enrol(gallery, dataset_of(tmp_path / "d", BLACK), ToyEncoder(), skip_conflicts=True)
    assert counts(report) == (2, 0, 0, 0, 3, 0)
    assert [(c.given.name, c.known.name) for c in report.conflicts] == [("b/0.png", "a/0.png"), ("c/0.png", "a/0.png")]
    assert {r.name for r in gallery.references()} == {"a/1.png", "b/1.png"}


def test_a_picture_that_the_gallery_knows_otherwise(tmp_path: Path, gallery: Gallery) -> None:
    enrol(gallery, dataset_of(tmp_path / "d", BLACK[:2]), ToyEncoder())
    other = dataset_of(tmp_path / "d", BLACK[2:4])
    with pytest.raises(InputError, match="two labels"):
        enrol(gallery, other, ToyEncoder())
    assert gallery.version == 2
    assert counts(enrol(gallery, other, ToyEncoder(), skip_conflicts=True)) == (1, 0, 0, 0, 1, 0)
    assert {(r.name, r.model) for r in gallery.references()} == {("a/0.png", "a"), ("a/1.png", "a"), ("b/1.png", "b")}


def test_another_prompt_is_another_label(tmp_path: Path, gallery: Gallery) -> None:
    enrol(gallery, dataset_of(tmp_path / "d", BLACK[:1], prompt="p"), ToyEncoder())
    with pytest.raises(InputError, match="prompt q"):
        enrol(gallery, dataset_of(tmp_path / "d", BLACK[:1], prompt="q"), ToyEncoder())


def test_what_one_model_gives_for_several_prompts_is_left_out_with_a_note(tmp_path: Path, gallery: Gallery) -> None:
    rows = [("p.png", "a", 0), ("q.png", "a", 0), ("own.png", "a", 1), ("again.png", "a", 0)]
    items = dataset_of(tmp_path / "d", rows).items
    prompts = ("p", "q", "p", "q")
    dataset = Dataset(tmp_path / "d", tuple(replace(i, prompt_id=p) for i, p in zip(items, prompts, strict=True)))
    for added, unchanged in ((1, 0), (0, 1)):
        report = enrol(gallery, dataset, ToyEncoder())
        assert counts(report) == (added, 0, unchanged, 0, 3, 0)
        assert report.conflicts == ()
        assert report.notes == (
            "3 pictures were left out, as one model gave the same pixels for several prompts: p.png, q.png, again.png.",
        )
    assert [r.name for r in gallery.references()] == ["own.png"]


def test_several_prompts_do_not_hide_a_second_model(tmp_path: Path, gallery: Gallery) -> None:
    items = dataset_of(tmp_path / "d", [("p.png", "a", 0), ("q.png", "a", 0), ("b.png", "b", 0)]).items
    dataset = Dataset(tmp_path / "d", tuple(replace(i, prompt_id=p) for i, p in zip(items, "pqp", strict=True)))
    with pytest.raises(InputError, match="two labels"):
        enrol(gallery, dataset, ToyEncoder())


def test_bad_files_do_not_stop_the_good_ones(tmp_path: Path, gallery: Gallery) -> None:
    paths = write_hostile(tmp_path / "m" / "x")
    dataset = read_dataset(tmp_path / "m")
    assert len(dataset.items) == len(paths)
    report = enrol(gallery, dataset, ToyEncoder(), batch=3)
    bad = {f"x/{paths[name].name}" for name in BROKEN}
    assert {name for name, _ in report.errors} == bad
    order = [item.name for item in dataset.items]
    assert [name for name, _ in report.errors] == [name for name in order if name in bad]
    assert sum(counts(report)) == len(paths)
    assert report.added == len(gallery) > 5
    assert gallery.check().ok


def test_a_picture_that_the_encoder_refuses_is_reported(tmp_path: Path, gallery: Gallery) -> None:
    rows = [
        ("black.png", "m", 0),
        ("a.png", "m", 1),
        ("bad.png", "m", None),
        ("white.png", "m", 255),
        ("b.png", "m", 2),
    ]
    report = enrol(gallery, dataset_of(tmp_path / "d", rows), PickyEncoder())
    assert counts(report) == (2, 0, 0, 0, 0, 3)
    assert [name for name, _ in report.errors] == ["black.png", "bad.png", "white.png"]
    assert "not finite" in str(report.errors[2][1])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(f"{i}.png", "m", None) for i in range(7)], r"none of its 7 pictures.*0\.png: .*; and 2 more"),
        ([("black.png", "m", 0), ("bad.png", "m", None)], r"none of its 2.*black\.png: black pictures.*; bad\.png"),
        ([], "no pictures"),
    ],
)
def test_nothing_that_can_be_used(rows: list, said: str, tmp_path: Path, gallery: Gallery) -> None:
    with pytest.raises(DatasetError, match=said):
        enrol(gallery, dataset_of(tmp_path / "d", rows), PickyEncoder())
    assert gallery.version == 1


class Stops(ToyEncoder):
    """Interrupted in its third batch, as by Ctrl-C."""

    def encode(self, prepared: Sequence[NDArray[np.float64]]) -> Mapping[str, NDArray[np.float32]]:
        if len(self.batches) == 2:
            raise KeyboardInterrupt
        return super().encode(prepared)


def test_an_interrupted_call_is_taken_up_from_the_cache(tmp_path: Path, gallery: Gallery) -> None:
    dataset = dataset_of(tmp_path / "d", [(f"{i}.png", "m", i) for i in range(20)])
    with pytest.raises(KeyboardInterrupt):
        enrol(gallery, dataset, Stops(), cache=EmbeddingCache(tmp_path / "cache"), batch=4, copies=0)
    assert Gallery.open(gallery.path).version == 1
    encoder = ToyEncoder()
    report = enrol(gallery, dataset, encoder, cache=EmbeddingCache(tmp_path / "cache"), batch=4, copies=0)
    assert sum(encoder.batches) == 20 - 8
    assert counts(report) == (20, 0, 0, 0, 0, 0)
    means = sorted(gallery.embeddings("toy")[1].vectors["mean"][:, 0].tolist())
    assert means == list(range(20))


def test_a_disk_that_fills_leaves_the_gallery_as_it_was(
    tmp_path: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lance

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    dataset = dataset_of(tmp_path / "d", [("a.png", "m", 1), ("b.png", "m", 2)])
    cache = EmbeddingCache(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(lance.LanceDataset, "commit", full)
        with pytest.raises(StorageError, match="Free some space"):
            enrol(gallery, dataset, ToyEncoder(), cache=cache)
    assert Gallery.open(gallery.path).version == 1
    encoder = ToyEncoder()
    assert enrol(gallery, dataset, encoder, cache=cache).added == 2
    assert encoder.prepared == 0


def test_a_file_that_changes_between_the_readings_keeps_hash_and_vector_together(
    tmp_path: Path, gallery: Gallery
) -> None:
    dataset = dataset_of(tmp_path / "d", [("a.png", "m", 1)])

    def swap(stage: str, done: int, total: int) -> None:
        if stage == "reading":
            Image.fromarray(flat(200)).save(dataset.items[0].path)

    enrol(gallery, dataset, ToyEncoder(), progress=swap)
    references, embeddings = gallery.embeddings("toy")
    assert references[0].content == hashlib.sha256(b"32x40x3:" + flat(200).tobytes()).hexdigest()
    assert embeddings.vectors["mean"][0].tolist() == [200, 200, 200]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_name_that_is_no_unicode_is_kept_legibly(tmp_path: Path, gallery: Gallery) -> None:
    folder = os.fsencode(tmp_path / "d") + b"/caf\xe9"
    os.makedirs(folder)  # noqa: PTH103 - a name in bytes
    shutil.copy(dataset_of(tmp_path / "x", [("a.png", "m", 1)]).items[0].path, folder + b"/\xff.png")
    enrol(gallery, read_dataset(tmp_path / "d"), ToyEncoder())
    (reference,) = gallery.references()
    assert (reference.model, reference.name) == ("caf\\udce9", "caf\\udce9/\\udcff.png")


ROW = st.tuples(st.integers(0, 4), st.sampled_from("ab"), st.booleans())


@settings(max_examples=25, deadline=None)
@given(first=st.lists(ROW, max_size=6), second=st.lists(ROW, min_size=1, max_size=6))
def test_every_picture_is_counted_once(tmp_path_factory, first: list, second: list) -> None:
    """Against a slow reference: label by pixels, in plain dictionaries."""
    root = tmp_path_factory.mktemp("p")
    gallery = Gallery.create(root / "g")
    held: dict[int, str] = {}
    for part, rows in enumerate(filter(None, (first, second))):
        dataset = dataset_of(
            root / str(part),
            [(f"{i}.png", model, None if broken else grey) for i, (grey, model, broken) in enumerate(rows)],
        )
        good = [(grey, model) for grey, model, broken in rows if not broken]
        if not good:
            with pytest.raises(DatasetError):
                enrol(gallery, dataset, ToyEncoder(), skip_conflicts=True)
            continue
        labels: dict[int, set[str]] = {grey: {model} for grey, model in held.items()}
        for grey, model in good:
            labels.setdefault(grey, set()).add(model)
        fit = {grey for grey, _ in good if len(labels[grey]) == 1}
        expected = (
            len(fit - set(held)),
            0,
            len(fit & set(held)),
            sum(grey in fit for grey, _ in good) - len(fit),
            sum(grey not in fit for grey, _ in good),
            len(rows) - len(good),
        )
        report = enrol(gallery, dataset, ToyEncoder(), skip_conflicts=True)
        assert counts(report) == expected
        held |= {grey: model for grey, model in good if grey in fit}
    content = {hashlib.sha256(b"32x40x3:" + flat(grey).tobytes()).hexdigest(): model for grey, model in held.items()}
    assert {r.content: r.model for r in gallery.references()} == content
