"""An evaluation's images: one form, no duplicates, nothing unreadable, and what the files alone give away."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.encoders.copies import CONDITIONS
from morelli.encoders.embed import embed
from morelli.errors import DatasetError, NotEnoughReferencesError
from morelli.evaluation.data import prepare, require_models
from morelli.images.dataset import read_dataset
from morelli.images.uniform import Uniform
from morelli.testing.datasets import write_dataset

from .samples import TextureEncoder, relabel

ENCODER = TextureEncoder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "d", models=3, prompts=5, seeds=2, size=32, families=["x", "x", "y"])


def add_row(folder: Path, name: str, like: str, **changes: str) -> None:
    """One more row in the metadata, like that of another file."""
    new = {"file_name": name, **changes}
    relabel(folder, lambda rows: [*rows, *(row | new for row in rows if row["file_name"] == like)])


def only(folder: Path):
    (found,) = prepare([read_dataset(folder)], ENCODER)
    return found


def test_images_of_one_form_stay_untouched(folder):
    data = read_dataset(folder)
    found = only(folder)
    direct = embed(ENCODER, [item.path for item in data.items])
    for name, values in direct.vectors.items():
        assert np.array_equal(found.embeddings.vectors[name], values)
    assert found.embeddings.models.tolist() == [item.model for item in data.items]
    assert found.embeddings.prompts.tolist() == [item.prompt_id for item in data.items]
    assert found.embeddings.families.tolist() == [item.family for item in data.items]
    assert found.contents.tolist() == [picture.content for picture in direct.pictures]
    assert (found.leaks["form"], found.notes) == ("untouched", ())


@pytest.mark.parametrize("what", ["size", "format"])
def test_mixed_sizes_or_formats_become_one_form(folder, what):
    data = read_dataset(folder)
    first = data.items[0].path
    pixels = np.random.default_rng(0).integers(0, 255, (40, 24, 3), dtype=np.uint8)
    if what == "size":
        Image.fromarray(pixels).save(first)
        side = 24
    else:
        Image.open(first).save(folder / "model-00" / "same.webp", lossless=True)
        add_row(folder, "model-00/same.webp", data.items[0].name)
        relabel(folder, lambda rows: rows[1:])
        data, side = read_dataset(folder), 32
    found = only(folder)
    shaped = embed(ENCODER, [item.path for item in data.items], transform=Uniform(side).apply)
    for name, values in shaped.vectors.items():
        assert np.array_equal(found.embeddings.vectors[name], values)
    assert f"{side}×{side}" in found.leaks["form"]
    assert any(f"brought to one form: centre square, area-averaged to {side}×{side} pixels" in n for n in found.notes)
    # Pictures that methods are shown are those that were embedded.
    assert all(picture.shape == (side, side, 3) for picture in found.pictures(np.arange(3)))


def test_two_datasets_are_brought_to_one_form_together(folder, tmp_path):
    other = write_dataset(tmp_path / "e", models=2, prompts=2, seeds=2, size=24, seed=1)
    first, second = prepare([read_dataset(folder), read_dataset(other)], ENCODER)
    assert first.leaks["form"] == second.leaks["form"] != "untouched"
    alone = only(folder)
    assert not np.array_equal(first.embeddings.vectors["fine/std"], alone.embeddings.vectors["fine/std"])


def test_a_broken_file_does_not_decide_the_form(folder):
    data = read_dataset(folder)
    Image.new("RGB", (4, 4)).save(data.items[0].path)  # too small to say anything about
    data.items[1].path.write_bytes(b"no picture")
    found = only(folder)
    assert found.leaks["form"] == "untouched"
    assert len(found) == 28
    (note,) = found.notes
    assert note.startswith("2 images could not be read and were left out")
    assert data.items[0].name in note
    assert data.items[1].name in note


def test_many_broken_files_are_counted_and_five_are_named(folder):
    data = read_dataset(folder)
    for item in data.items[:9]:
        item.path.write_bytes(b"")
    (note,) = only(folder).notes
    assert note.startswith("9 images")
    assert sum(item.name in note for item in data.items[:9]) == 5


def test_nothing_readable_is_an_error_that_names_the_folder(folder):
    for item in read_dataset(folder).items:
        item.path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="none of its 30 images could be read") as caught:
        only(folder)
    assert caught.value.argument == str(folder)
    assert "model-00/000_0.png" in str(caught.value)


def test_second_copies_are_left_out_and_all_copies_across_models(folder):
    names = [item.name for item in read_dataset(folder).items]
    within, across = names[0], names[3]
    shutil.copy(folder / within, folder / "model-00" / "again.png")
    add_row(folder, "model-00/again.png", within)
    # The same pixels in another file: duplicates are told by the picture, not by the bytes.
    Image.open(folder / across).save(folder / "model-01" / "stolen.png", compress_level=9)
    add_row(folder, "model-01/stolen.png", across, model="model-01", family="x")
    found = only(folder)
    assert len(found) == 32 - 1 - 2
    assert len(set(found.contents.tolist())) == len(found)
    assert (found.embeddings.models == "model-00").sum() == 9
    assert (found.embeddings.models == "model-01").sum() == 10
    assert any(note.startswith("3 duplicates were left out (1 pictures carry two") for note in found.notes)


def test_a_model_that_comes_as_jpeg_leaks(tmp_path):
    sound = write_dataset(tmp_path / "sound", models=3, prompts=6, seeds=2, size=32)
    assert only(sound).leaks["leaking"] is False
    assert only(sound).leaks["accuracy"] == pytest.approx(1 / 3)
    leaky = write_dataset(tmp_path / "leaky", models=3, prompts=6, seeds=2, size=32)
    for path in sorted((leaky / "model-02").glob("*.png")):
        Image.open(path).save(path.with_suffix(".jpeg"), quality=90)
        path.unlink()

    def rename(rows):
        for row in rows:
            if row["model"] == "model-02":
                row["file_name"] = row["file_name"].replace(".png", ".jpeg")
        return rows

    relabel(leaky, rename)
    found = only(leaky)
    assert found.leaks["leaking"] is True
    assert {"format", "quantisation"} <= set(found.leaks["sources"])
    assert "size" not in found.leaks["sources"]
    # model-02 is always named; of the two others the guess is right half of the time.
    assert found.leaks["accuracy"] == pytest.approx(2 / 3)
    assert found.leaks["form"] != "untouched"


def test_one_model_is_not_enough(tmp_path):
    folder = write_dataset(tmp_path / "one", models=1, prompts=3, seeds=2, size=32)
    found = only(folder)
    assert set(found.leaks) == {"form"}
    with pytest.raises(NotEnoughReferencesError, match="needs 2 models, and the dataset has 1"):
        require_models(found)
    require_models(found, least=1)


def test_take_keeps_rows_together(folder):
    found = only(folder)
    rows = np.array([5, 2, 17])
    taken = found.take(rows)
    assert taken.contents.tolist() == found.contents[rows].tolist()
    assert taken.embeddings.models.tolist() == found.embeddings.models[rows].tolist()
    assert [str(path) for path in taken.paths] == [str(path) for path in found.paths[rows]]


def test_progress_counts_over_all_datasets(folder, tmp_path):
    other = write_dataset(tmp_path / "e", models=2, prompts=2, seeds=1, size=32, seed=1)
    seen: list[tuple[int, int]] = []
    both = [read_dataset(folder), read_dataset(other)]
    prepare(both, ENCODER, progress=lambda done, total: seen.append((done, total)), copies=0)
    assert {total for _, total in seen} == {34}
    assert seen[-1] == (34, 34)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_only_the_last_dataset_gets_degraded_copies(folder, tmp_path):
    other = write_dataset(tmp_path / "e", models=2, prompts=2, seeds=1, size=32, seed=1)
    seen: list[tuple[int, int]] = []
    first, second = prepare(
        [read_dataset(folder), read_dataset(other)],
        ENCODER,
        progress=lambda done, total: seen.append((done, total)),
        copies=3,
    )
    assert first.embeddings.degraded is None
    made = second.embeddings.degraded
    assert made is not None
    assert len(np.unique(made.rows)) == 3
    assert seen[-1] == (3 * len(CONDITIONS), 3 * len(CONDITIONS))


def retext(folder: Path, text: str) -> None:
    relabel(folder, lambda rows: [{**row, "prompt": text.format(int(row["prompt_id"]))} for row in rows])


def test_across_datasets_prompts_are_compared_by_their_text(folder, tmp_path):
    """Two sets may both call their first prompt "000"; two may number the same prompt differently."""
    other = write_dataset(tmp_path / "e", models=2, prompts=5, seeds=1, size=32, seed=1)
    retext(folder, "a cat,  {} hats")
    retext(other, "a dog, {} hats")
    first, second = prepare([read_dataset(folder), read_dataset(other)], ENCODER)
    assert not set(first.embeddings.prompts) & set(second.embeddings.prompts)
    retext(other, "a cat, {} hats")
    relabel(other, lambda rows: [{**row, "prompt_id": f"x{row['prompt_id']}"} for row in rows])
    first, second = prepare([read_dataset(folder), read_dataset(other)], ENCODER)
    assert set(first.embeddings.prompts) == set(second.embeddings.prompts) == {f"a cat, {i} hats" for i in range(5)}


def test_without_texts_the_ids_are_compared(folder, tmp_path):
    other = write_dataset(tmp_path / "e", models=2, prompts=2, seeds=1, size=32, seed=1)
    retext(folder, "a cat, {} hats")
    relabel(other, lambda rows: [{**row, "prompt": ""} for row in rows])
    first, second = prepare([read_dataset(folder), read_dataset(other)], ENCODER)
    assert set(first.embeddings.prompts) >= set(second.embeddings.prompts) == {"000", "001"}
