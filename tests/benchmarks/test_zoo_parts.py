"""Variants, cells, images and ranks of the zoo's experiments."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.images import QUERIES, Order, images, make
from benchmarks.zoo.measure import accuracy, base_ranks, pick, ranks, spread_queries
from benchmarks.zoo.variants import VARIANTS, line_up
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.errors import InputError, PromptError, WeightsError
from morelli.generators.zoo.manifest import SCHEMA

from ..regeneration.painters import Painter, paint, painters

SETTINGS: dict[str, dict[str, Any]] = {
    "unet": {"steps": 20, "guidance": 1.5, "scheduler": "ddpm"},
    "unet-b": {"steps": 20, "guidance": 1.5, "scheduler": "ddpm"},
    "dit": {"steps": 20, "guidance": 3.0, "scheduler": "euler-flow"},
    "latent": {"steps": 20, "guidance": 3.0, "scheduler": "ddim"},
    "latent-tuned": {"steps": 20, "guidance": 3.0, "scheduler": "ddim"},
    "latent-lora": {"steps": 20, "guidance": 3.0, "scheduler": "ddim"},
    "vq-ar": {"temperature": 0.7, "guidance": 3.0},
    "gan": {},
}


def write_manifest(folder: Path, names: list[str]) -> Path:
    """A folder that says it holds these models; no image is asked of them here."""
    models = {
        name: {
            "kind": "pixel",
            "family": name.removesuffix("-tuned").removesuffix("-lora"),
            "base": name.removesuffix("-tuned").removesuffix("-lora"),
            "architecture": "",
            "parameters": 1,
            "components": {"unet": name},
            "settings": {**SETTINGS[name], "width": 64, "height": 64},
        }
        for name in names
    }
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"schema": SCHEMA, "models": models, "files": {}}))
    return folder


def test_a_variant_that_is_another_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "latent", {**SETTINGS["latent"], "guidance": 5.0})
    with pytest.raises(InputError, match="latent and latent@guidance=5 are one and the same"):
        line_up(write_manifest(tmp_path / "weights", list(SETTINGS)))


def test_there_are_twenty_two_variants_that_differ() -> None:
    assert len(VARIANTS) == 22
    assert len({each.name for each in VARIANTS}) == 22
    assert len({(each.model, json.dumps(dict(each.settings), sort_keys=True)) for each in VARIANTS}) == 22
    assert {each.model for each in VARIANTS} == set(SETTINGS)


def test_the_lineup_of_a_whole_zoo(tmp_path: Path) -> None:
    """Each variant's settings are those that its model has, and its base is the weights' own."""
    found = line_up(write_manifest(tmp_path / "w", list(SETTINGS)))
    assert found.models == [each.name for each in VARIANTS]
    assert found.absent == ()
    assert found.bases == {each.model: each.family for each in found.generators}
    assert len(set(found.revisions.values())) >= 14  # tiny manifests list no files, so revisions alone are equal
    dpm = next(each for each in found.generators if each.model == "latent@dpm")
    assert (dpm.settings["scheduler"], dpm.settings["steps"], dpm.id) == ("dpm", 12, "zoo/latent")
    assert line_up(tmp_path / "w", deployments=False).models == [v.name for v in VARIANTS if not v.settings]


def test_an_unfinished_zoo_is_said(tmp_path: Path) -> None:
    found = line_up(write_manifest(tmp_path / "w", ["gan", "vq-ar"]))
    assert found.models == ["vq-ar", "gan", "vq-ar@temperature=1", "vq-ar@guidance=1.5"]
    assert len(found.absent) == 18
    assert "unet@dpm" in found.absent
    with pytest.raises(WeightsError, match="0 of the 22 variants"):
        line_up(tmp_path / "nothing")


def test_cells_survive_and_belong_to_their_settings(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    cells = Cells(path, {"seed": 1, "ks": (1, 2)})
    cells.add("a/1", {"x": [1, None]})
    cells.add("ab/1", {"x": 2})
    with path.open("a") as file:
        file.write('{"cell": "a/2", "x"')
    again = Cells(path, {"seed": 1, "ks": (1, 2)})
    assert "a/1" in again
    assert "a/2" not in again
    assert again.of("a") == [{"x": [1, None]}]
    again.add("a/2", {"x": 3})
    assert len(Cells(path, {"seed": 1, "ks": (1, 2)}).cells) == 3
    with pytest.raises(InputError, match="other settings \\(seed\\)"):
        Cells(path, {"seed": 2, "ks": (1, 2)})
    path.write_text("no json\n")
    with pytest.raises(InputError, match="no file of cells"):
        Cells(path, {})


@pytest.mark.parametrize("processes", [1, 2])
def test_images_are_made_once(tmp_path: Path, processes: int) -> None:
    models = painters(2)
    orders = [Order(model, prompt, 2, QUERIES) for model in models for prompt in ("a", "b")]
    assert make(orders, tmp_path, processes) == []
    fresh = Painter("model-1")
    found = images(fresh, "b", 2, QUERIES, tmp_path)
    assert fresh.made == []
    assert [each.seed for each in found] == [QUERIES, QUERIES + 1]
    from morelli.images.load import load_image

    np.testing.assert_array_equal(load_image(found[1].path).pixels, paint("model-1", "b", QUERIES + 1))


def test_a_prompt_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    class Picky(Painter):
        def generate(self, prompt: str, count: int, seed: int):
            if prompt == "bad":
                raise PromptError("does not know a word.", argument=self.id)
            return super().generate(prompt, count, seed)

    model = Picky("model-0")
    failed = make([Order(model, prompt, 1, 0) for prompt in ("bad", "good")], tmp_path)
    assert len(failed) == 1
    assert "'bad'" in failed[0]
    assert len(images(Painter("model-0"), "good", 1, 0, tmp_path)) == 1


def test_ranks_by_hand() -> None:
    models, bases = ["a", "b", "c"], {"a": "x", "b": "x", "c": "y"}
    scores = [[3.0, 2.0, 1.0], [1.0, 5.0, 5.0], [2.0, 9.0, 3.0]]
    assert ranks(scores, models, ["b", "b", "a"]) == [2, 2, 3]
    assert base_ranks(scores, models, ["b", "b", "a"], bases) == [1, 2, 1]


def test_accuracy_by_hand() -> None:
    found = accuracy([1, 2, None, 1], [0, 0, 1, 1])
    assert found.point == 0.5
    assert found.low == found.high == 0.5  # both prompts have half of their queries right
    assert accuracy([1, 2, None, 1], [0, 0, 1, 1], 2).point == 0.75


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 7), st.integers(1, 60), st.integers(0, 99))
def test_queries_are_spread(models: int, prompts: int, count: int, seed: int) -> None:
    names = [f"m{i}" for i in range(models)]
    found = spread_queries(names, prompts, count, np.random.default_rng(seed))
    assert len(set(found)) == len(found) == count
    for column in (0, 1):
        shares = Counter(query[column] for query in found)
        assert max(shares.values()) - min(shares.values()) <= 1 or len(shares) < (prompts, models)[column]
    assert len(pick(np.random.default_rng(seed), 5, 9)) == 5
