"""A gallery of mixed sizes is one gallery, and a picture of another size than all its references is told so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.encoders.catalogue import load_encoder
from morelli.enrol import enrol
from morelli.gallery.sizes import NAMED, size_notes
from morelli.gallery.store import Gallery
from morelli.identify import Identifier
from morelli.images.dataset import read_dataset
from morelli.lineage import derived_from
from morelli.types import Reference
from morelli.verify import Verifier

SMALL, LARGE, OTHER = (140, 140), (300, 200), (150, 130)


def reference(width: int, height: int) -> Reference:
    return Reference("c", "s", "n", "m", "", "", "", None, "", "", width, height)


def told(sizes: Sequence[tuple[int, int]]) -> list[str]:
    references = [reference(*SMALL), reference(*LARGE)]
    return size_notes(references, {f"{i}.png": size for i, size in enumerate(sizes)})


def test_any_reference_s_size_will_do_and_turned_it_is_another() -> None:
    assert told([SMALL, LARGE]) == []
    (note,) = told([SMALL, (200, 300)])
    assert note.startswith("No reference has the size of 1.png, 200×300: ")


def test_of_many_some_are_named_and_the_others_counted() -> None:
    notes = told([OTHER] * (NAMED + 3))
    assert [note.split(",")[0][-5:] for note in notes[:NAMED]] == [f"{i}.png" for i in range(NAMED)]
    assert notes[NAMED:] == ["So it is with 3 more images."]
    assert len(told([OTHER] * NAMED)) == NAMED


def write(path: Path, size: tuple[int, int], seed: int, level: float) -> None:
    """Noise whose spectrum is the model's."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(size[1], size[0], 3))
    noise = noise + level * np.roll(noise, 1, axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(128 + 12 * noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fingerprints of six models, half of the pictures of each small and half large."""
    root = tmp_path_factory.mktemp("mixed")
    for model, level in enumerate(np.linspace(-0.9, 0.9, 6)):
        for seed in range(6):
            size = SMALL if seed % 2 else LARGE
            write(root / "d" / f"model-{model}" / f"{seed:03}_0.png", size, 100 * model + seed, float(level))
    enrol(Gallery.create(root / "g"), read_dataset(root / "d"), load_encoder("residual-spectrum"), copies=0)
    return root


def test_pictures_of_either_size_are_attributed_and_another_size_is_said(mixed: Path) -> None:
    levels = np.linspace(-0.9, 0.9, 6)
    for model in (0, 5):
        for size in (SMALL, LARGE, OTHER):
            write(mixed / "q" / f"{model}-{size[0]}.png", size, 999 + model, float(levels[model]))
    identifier = Identifier(mixed / "g", method="cosine")
    for model in (0, 5):
        for size in (SMALL, LARGE, OTHER):
            (verdict,) = identifier.identify([mixed / "q" / f"{model}-{size[0]}.png"])
            assert verdict.ranking[0].model == f"model-{model}"
            assert any("No reference has this picture's size" in note for note in verdict.notes) == (size == OTHER)


def test_verify_and_lineage_say_so_too(mixed: Path) -> None:
    levels = np.linspace(-0.9, 0.9, 6)
    write(mixed / "v" / "a.png", SMALL, 5000, float(levels[0]))
    write(mixed / "v" / "b.png", OTHER, 5001, float(levels[0]))
    both = [mixed / "v" / "a.png", mixed / "v" / "b.png"]
    for notes in (Verifier(mixed / "g").verify(*both).notes, derived_from(both, mixed / "g")["notes"]):
        (note,) = (note for note in notes if "No reference has the size" in note)
        assert "b.png, 150×130" in note
