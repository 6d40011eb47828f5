"""Is the model behind these images derived from one of the gallery's? From files to the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from morelli.cli import main
from morelli.enrol import enrol
from morelli.errors import InputError, MissingImageError, NotEnoughReferencesError, UnknownNameError
from morelli.gallery.store import Gallery
from morelli.images.dataset import Dataset, read_dataset
from morelli.images.load import from_array, load_image
from morelli.lineage import derived_from
from morelli.testing.datasets import write_dataset

from .evaluation.samples import TextureEncoder, add_bases

KEYS = {"images", "errors", "schema", "version", "tests", "method", "notes"}
TEST = {"base", "likeness", "p_value", "smallest_p_value", "others", "lineage", "nearest_other"}
#: Two fine-tunes of the first model; the twelve others derive from nothing.
BASES = {"model-01": "model-00", "model-02": "model-00"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The fine-tunes' pictures are their base's, with a little grain."""
    folder = write_dataset(tmp_path_factory.mktemp("l") / "d", models=14, prompts=6, seeds=1, size=48)
    rng = np.random.default_rng(0)
    for item in read_dataset(folder).items:
        if item.model in BASES:
            base = next(folder.glob(f"{BASES[item.model]}/{item.path.name}"))
            pixels = load_image(base).pixels.astype(int) + rng.integers(-2, 3, (48, 48, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(item.path)
    add_bases(folder, BASES)
    return read_dataset(folder)


def of(pictures: Dataset, model: int) -> list[Path]:
    return [item.path for item in pictures.items if item.model == f"model-{model:02}"]


def gallery_of(pictures: Dataset, where: Path, models: list[int]) -> Path:
    names = [f"model-{model:02}" for model in models]
    known = tuple(item for item in pictures.items if item.model in names)
    enrol(Gallery.create(where), Dataset(pictures.root, known), TextureEncoder(), copies=0)
    return where


@pytest.fixture(scope="module")
def gallery(pictures: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all models but the second fine-tune and the last."""
    return gallery_of(pictures, tmp_path_factory.mktemp("g") / "g", [0, 1, *range(3, 13)])


def ask(images: list[Any], gallery: Path, cache: Path, **options: Any) -> dict[str, Any]:
    return derived_from(images, gallery, encoder=TextureEncoder(), cache=cache, **options)


def test_an_unknown_fine_tune_is_of_its_base_s_lineage(pictures: Dataset, gallery: Path, tmp_path: Path) -> None:
    found = ask(of(pictures, 2), gallery, tmp_path)
    assert set(found) == KEYS
    assert all(set(test) == TEST for test in found["tests"])
    assert len(found["tests"]) == 11  # a fine-tune is no base
    first = found["tests"][0]
    assert (first["base"], first["lineage"]) == ("model-00", ("model-00", "model-01"))
    assert first["p_value"] == first["smallest_p_value"] == pytest.approx(1 / 11)
    assert first["others"] == 10
    assert found["tests"][1]["likeness"] < first["likeness"]
    assert any("11 bases were tested" in note for note in found["notes"])
    assert len(found["images"]) == 6
    assert not found["errors"]


def test_a_stranger_is_not(pictures: Dataset, gallery: Path, tmp_path: Path) -> None:
    (test,) = ask(of(pictures, 13), gallery, tmp_path, base="model-00")["tests"]
    assert test["p_value"] > test["smallest_p_value"]


def test_references_among_the_images_leave_the_gallery(pictures: Dataset, gallery: Path, tmp_path: Path) -> None:
    """The first fine-tune itself: without its own references only its base stands for the lineage."""
    found = ask([*of(pictures, 1), of(pictures, 1)[0]], gallery, tmp_path, base="model-00")
    assert found["tests"][0]["lineage"] == ("model-00",)
    assert len(found["images"]) == 6
    assert any("6 of the images are references" in note for note in found["notes"])
    assert any("1 images show the very pixels" in note for note in found["notes"])


def test_what_cannot_be_asked(pictures: Dataset, gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        ask([], gallery, tmp_path)
    with pytest.raises(MissingImageError):
        ask([tmp_path / "absent.png"], gallery, tmp_path)
    with pytest.raises(UnknownNameError, match="no base is called"):
        ask(of(pictures, 13), gallery, tmp_path, base="model-0")
    found = ask([of(pictures, 13)[0], tmp_path / "absent.png"], gallery, tmp_path)
    assert len(found["errors"]) == 1
    assert "absent.png" in found["errors"][0]["image"]
    assert any("1 image says little" in note for note in found["notes"])
    few = gallery_of(pictures, tmp_path / "few", [0, 1, 3, 4])
    with pytest.raises(NotEnoughReferencesError, match="four models"):
        ask(of(pictures, 13), few, tmp_path)


def test_a_gallery_without_bases_says_so(pictures: Dataset, tmp_path: Path) -> None:
    plain = gallery_of(pictures, tmp_path / "plain", list(range(3, 10)))
    asked = [from_array(load_image(path).pixels, path.name) for path in of(pictures, 13)]
    found = ask(asked, plain, tmp_path, keep=False)
    assert any("each stands for itself" in note for note in found["notes"])
    assert {test["base"] for test in found["tests"]} == {f"model-{n:02}" for n in range(3, 10)}


def test_from_the_command_line(
    pictures: Dataset,
    gallery: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("morelli.lineage.load_encoder", lambda *_, **__: TextureEncoder())
    folder = of(pictures, 2)[0].parent
    assert main(["lineage", str(folder), "--gallery", str(gallery), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "morelli.lineage/1"
    assert found["tests"][0]["base"] == "model-00"
    assert main(["lineage", str(folder), "--gallery", str(gallery)]) == 0
    said = capsys.readouterr().out
    assert "model-00  p = 0.091, the least possible 0.091" in said
    assert "with model-01" in said
    assert "… and 3 others" in said
    assert main(["lineage", str(folder), str(tmp_path / "absent.png"), "--gallery", str(gallery)]) == 1
    assert "absent.png" in capsys.readouterr().err
    assert main(["lineage", str(folder)]) == 1
    assert "no gallery was named" in capsys.readouterr().err
