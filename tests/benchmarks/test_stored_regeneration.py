"""Stored images in place of regenerated ones: no image is its own candidate, and all systems have as many."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from morelli.images.load import load_image
from morelli.types import Item


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script, which stands beside its `_common`."""
    folder = Path(__file__).parents[2] / "benchmarks"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("stored_regeneration", folder / "regeneration.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Four images of two prompts by three systems, and a third prompt that one system has not answered."""
    folder, made = tmp_path_factory.mktemp("images"), []
    for prompt, model in [(p, m) for p in "pqr" for m in "abc" if (p, m) != ("r", "c")]:
        for number in range(4):
            path = folder / f"{prompt}{model}{number}.png"
            noise = np.random.default_rng(len(made)).integers(0, 40, (32, 32, 3))
            pixels = 60 * "abc".index(model) + noise
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            made.append(Item(path, path.name, model, model, prompt_id=prompt))
    return made


def test_every_image_is_asked_about_once_and_never_compared_with_itself(bench: ModuleType, items: list[Item]) -> None:
    cells = bench.cells_of(items)
    assert set(cells) == {"p", "q"}
    pictures = {item.path: load_image(item.path) for item in items}
    asked = list(bench.queries(cells, pictures))
    assert sorted(query.name for _, query, _ in asked) == sorted(item.name for item in items if item.prompt_id != "r")
    for prompt, query, candidates in asked:
        assert query.path not in {each.path for each in candidates.images}
        assert {each.path.name[0] for each in candidates.images} == {prompt}
        assert np.unique(candidates.labels, return_counts=True)[1].tolist() == [3, 3, 3]


def test_a_tie_is_a_miss(bench: ModuleType, items: list[Item]) -> None:
    from morelli.regeneration.pairwise import Ssim

    cells = bench.cells_of(items)
    pictures = {item.path: load_image(item.path) for item in items}
    _, query, candidates = next(iter(bench.queries(cells, pictures)))
    assert bench.is_first(Ssim(), pictures[query.path], query.model, candidates)

    class Alike(Ssim):
        def pairs(self, queries, candidates, watch):
            return np.ones((len(queries), len(candidates.images)))

    assert not bench.is_first(Alike(), pictures[query.path], query.model, candidates)
