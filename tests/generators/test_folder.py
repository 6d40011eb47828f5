"""Images made elsewhere, asked for as if they were made now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morelli.errors import DatasetError, InputError, NotEnoughReferencesError, UnknownNameError
from morelli.generators.base import Generator
from morelli.generators.catalogue import load_generators
from morelli.generators.folder import FolderGenerator
from morelli.generators.produce import produce
from morelli.images.load import load_image
from morelli.testing.datasets import write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "d", models=2, prompts=2, seeds=3, size=32, families=["x", "y"])


def test_a_generator_for_each_model(folder: Path) -> None:
    one, two = load_generators(f"folder:{folder}")
    assert isinstance(one, Generator)
    assert (one.id, one.model, one.family) == (f"folder:{folder}#model-00", "model-00", "x")
    assert (two.model, two.hosted, two.host) == ("model-01", False, None)
    assert one.revision != two.revision
    (alone,) = load_generators(f"folder:{folder}#model-01")
    assert (alone.model, alone.id, alone.revision) == (two.model, two.id, two.revision)
    assert load_generators(f"folder:{folder}", options={"model": "model-01"})[0].id == two.id


def test_another_picture_of_the_same_size_is_another_revision(folder: Path) -> None:
    (one, _), file = load_generators(f"folder:{folder}"), folder / "model-00" / "001_1.png"
    before = one.revision
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(bytes(data))
    other, _ = load_generators(f"folder:{folder}")
    assert other.revision != before
    file.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        _ = FolderGenerator(folder, "model-00", other._items, "x").revision


def test_images_of_a_prompt_by_wording_or_id(folder: Path) -> None:
    (one, _) = load_generators(f"folder:{folder}")
    images = one.generate("made-up scene 1", 2, 1)
    for image, seed in zip(images, (1, 2), strict=True):
        np.testing.assert_array_equal(image.pixels, load_image(folder / f"model-00/001_{seed}.png").pixels)
        assert (image.seed, image.settings["seed"]) == (seed, seed)
    assert [each.image.settings["file"] for each in produce(one, "001", 2, 1)] == [
        "model-00/001_1.png",
        "model-00/001_2.png",
    ]


def test_too_few_images(folder: Path) -> None:
    (one, _) = load_generators(f"folder:{folder}")
    with pytest.raises(NotEnoughReferencesError, match="has 3 images of the prompt '001' by model-00; number 1 to 4"):
        one.generate("001", 4, 0)
    with pytest.raises(NotEnoughReferencesError, match=r"has 0 images.*Use a prompt that the dataset has"):
        one.generate("something else", 1, 0)
    with pytest.raises(NotEnoughReferencesError):
        one.generate("001", 1, -1)


def test_folders_that_do_not_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'model-0[01]'"):
        load_generators(f"folder:{folder}#model-0")
    with pytest.raises(DatasetError, match="no such folder"):
        load_generators(f"folder:{tmp_path / 'no'}")
    (folder / "metadata.csv").unlink()
    with pytest.raises(DatasetError, match="records no prompts"):
        load_generators(f"folder:{folder}")
    with pytest.raises(InputError):
        load_generators("folder:")
