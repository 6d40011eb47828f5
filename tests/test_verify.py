"""Pairs from files to the answer: with a gallery, without one, and pictures of which nothing can be said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.cli import main
from morelli.encoders import catalogue
from morelli.enrol import enrol
from morelli.errors import (
    GalleryMismatchError,
    InputError,
    MissingGalleryError,
    MissingImageError,
    UnreadableImageError,
)
from morelli.gallery.store import Gallery
from morelli.images.dataset import Dataset, read_dataset
from morelli.images.pixels import is_blank
from morelli.testing.datasets import write_dataset
from morelli.verify import Verifier

from .evaluation.samples import TextureEncoder

KEYS = {
    "images", "schema", "version", "decision", "probability", "calibrated", "prior", "score", "similarity", "method",
    "notes",
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Dataset:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("v") / "d", models=10, prompts=4, seeds=2, size=48))


def of(pictures: Dataset, model: int, prompt: int) -> Path:
    name = f"model-{model:02}"
    return next(i.path for i in pictures.items if (i.model, i.prompt_id, i.seed) == (name, f"{prompt:03}", 0))


@pytest.fixture(scope="module")
def gallery(pictures, tmp_path_factory) -> Path:
    """Of eight of the ten models."""
    where = tmp_path_factory.mktemp("g") / "g"
    known = tuple(item for item in pictures.items if item.model < "model-08")
    enrol(Gallery.create(where), Dataset(pictures.root, known), TextureEncoder(), copies=0)
    return where


@pytest.fixture
def verifier(gallery, tmp_path) -> Verifier:
    return Verifier(gallery, encoder=TextureEncoder(), cache=tmp_path)


def test_pairs_of_models_that_the_gallery_lacks(verifier, pictures):
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    same = [verifier.verify(of(pictures, j, p), of(pictures, j, q)) for j in (8, 9) for p, q in pairs]
    different = [verifier.verify(of(pictures, 8, p), of(pictures, 9, q)) for p, q in pairs]
    assert np.mean([v.score for v in same]) > np.mean([v.score for v in different])
    assert all(v.calibrated and 0 < v.probability < 1 for v in same + different)
    assert all(v.method["name"] == "plda" for v in same)
    back = verifier.verify(of(pictures, 8, 1), of(pictures, 8, 0))
    assert back.probability == pytest.approx(same[0].probability)
    assert set(back.to_json()) == KEYS
    assert back.to_json()["schema"] == "morelli.verification/1"


def test_the_prior_moves_the_log_odds(gallery, pictures, tmp_path):
    pair = of(pictures, 8, 0), of(pictures, 9, 1)
    p = {x: Verifier(gallery, encoder=TextureEncoder(), prior=x, cache=tmp_path).verify(*pair) for x in (0.5, 0.1)}
    odds = [v.probability / (1 - v.probability) for v in p.values()]
    assert odds[1] == pytest.approx(odds[0] / 9)


def test_references_are_left_out_and_told(verifier, pictures):
    found = verifier.verify(of(pictures, 1, 0), of(pictures, 8, 0))
    assert sum("is a reference of the gallery (model-01)" in note for note in found.notes) == 1


def test_without_a_gallery_nothing_is_decided(pictures, tmp_path):
    found = Verifier(encoder=TextureEncoder(), cache=tmp_path).verify(of(pictures, 0, 0), of(pictures, 1, 0))
    assert (found.decision, found.probability, found.calibrated, found.score) == ("unsure", None, False, None)
    assert -1 <= found.similarity <= 1
    assert "Not calibrated" in found.notes[0]


def test_the_same_picture_twice(verifier, pictures, tmp_path):
    copy = tmp_path / "copy.png"
    Image.open(of(pictures, 8, 0)).save(copy)
    found = verifier.verify(of(pictures, 8, 0), copy)
    assert (found.decision, found.probability, found.calibrated) == ("same", None, False)
    assert "same pixels" in found.notes[0]


def test_a_flat_picture_cannot_be_told(verifier, pictures, tmp_path):
    flat = tmp_path / "flat.png"
    Image.new("RGB", (48, 48), (200, 10, 10)).save(flat)
    found = verifier.verify(flat, of(pictures, 8, 0))
    assert (found.decision, found.probability, found.similarity) == ("unsure", None, None)
    assert f"cannot tell: {flat}" in found.notes[0]


def test_flatness_is_a_matter_of_each_channel():

    pixels = np.full((32, 32, 3), (10, 100, 200), dtype=np.uint8)
    assert is_blank(pixels)
    pixels[0, 0, 1] += 2
    assert is_blank(pixels)
    pixels[0, 0, 1] += 1
    assert not is_blank(pixels)


def test_bad_input(verifier, gallery, pictures, tmp_path):
    good, broken = of(pictures, 8, 0), tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(UnreadableImageError, match=r"broken\.png"):
        verifier.verify(good, broken)
    with pytest.raises(MissingImageError):
        verifier.verify(tmp_path / "absent.png", good)
    with pytest.raises(InputError, match="prior"):
        Verifier(gallery, prior=1.0).verify(good, good)
    with pytest.raises(MissingGalleryError):
        Verifier(tmp_path / "none").verify(good, of(pictures, 9, 0))
    with pytest.raises(GalleryMismatchError):
        Verifier(gallery, encoder="efficientnet-lite0").verify(good, of(pictures, 9, 0))


@pytest.fixture
def texture(tmp_path, monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_GALLERY", raising=False)
    catalogue.REGISTRY.add("texture", TextureEncoder)
    yield
    del catalogue.REGISTRY._loaded["texture"]


def test_command(texture, gallery, pictures, capsys):
    pair = [str(of(pictures, j, 0)) for j in (8, 9)]
    assert main(["verify", *pair, "--gallery", str(gallery), "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert set(answer) == KEYS
    assert [each["image"] for each in answer["images"]] == pair
    assert "learning" in err
    assert main(["verify", *pair, "--gallery", str(gallery)]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith(f"{pair[0]} and {pair[1]}: ")
    assert "probability" in out
    assert main(["verify", *pair, "--encoder", "texture"]) == 0
    out, _ = capsys.readouterr()
    assert "Not calibrated" in out
    assert main(["verify", pair[0], "absent.png", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == "morelli.error/1"
    assert err.startswith("error: ")
