"""The weights that the package carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morelli.generators.zoo import catalogue
from morelli.generators.zoo.manifest import WEIGHTS, list_files, read_manifest
from morelli.generators.zoo.world import prompts

MOST_BYTES = 22_000_000
AIMS = ("objects", "colours", "counts", "relations")
NAMES = catalogue.names()

pytestmark = pytest.mark.skipif(not NAMES, reason="this checkout carries no weights of the zoo")


def test_the_folder_is_what_the_manifest_lists() -> None:
    found = {name: (each["bytes"], each["sha256"]) for name, each in list_files(WEIGHTS).items()}
    assert found == dict(read_manifest().files)


def test_the_whole_is_small_and_no_weight_is_stored_twice() -> None:
    weights = {path: size for path, (size, _) in read_manifest().files.items() if path.endswith(".safetensors")}
    assert sum(weights.values()) <= MOST_BYTES
    digests = [read_manifest().files[path][1] for path in weights]
    assert len(set(digests)) == len(digests)
    assert not [path for path in Path(WEIGHTS).rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".pkl")]


def test_no_file_tells_of_the_machine_that_wrote_it() -> None:
    told = [path for path in Path(WEIGHTS).rglob("*.json") if "_name_or_path" in path.read_text(encoding="utf-8")]
    assert not told


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_on_record_as_good_enough(name: str) -> None:
    entry = catalogue.entry(name)
    assert entry.base in NAMES
    assert entry.training["prompts"] >= 64
    assert all(entry.training["agreement"][aim] >= 0.8 for aim in AIMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_model_draws_what_it_is_asked_for(name: str) -> None:
    """A smaller sample than the record's: the bound leaves room for chance."""
    pytest.importorskip("diffusers")
    from training.zoo.reader import agreement

    texts = prompts("test", 12, seed=99)
    generator = catalogue.load(name)
    made = np.stack([generator.generate(text, 1, 300 + i)[0].pixels for i, text in enumerate(texts)])
    figures = agreement(made, texts)
    assert np.mean([figures[aim] for aim in AIMS]) >= 0.65
