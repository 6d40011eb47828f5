"""Regenerated images: made once, found again, and never the query itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.errors import (
    BadGenerationError,
    InputError,
    NotEnoughReferencesError,
    RefusedContentError,
    SpendingCapError,
)
from morelli.generators.catalogue import load_generators
from morelli.generators.folder import FolderGenerator
from morelli.generators.store import ImageStore
from morelli.images.load import load_image
from morelli.images.pixels import content_hash
from morelli.regeneration.candidates import Candidate, Candidates, cache_folder, regenerate, share_out
from morelli.testing.datasets import write_dataset

from ..generators.fakes import FakeGenerator
from ..generators.server import hub_answer, serve
from .painters import Painter, PainterOptions, paint, painters


def test_they_are_the_models_images(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = regenerate(painters(3), "a cat", 2, tmp_path, seed=5, progress=lambda *step: steps.append(step))
    assert [(image.model, image.seed) for image in found.images] == [
        (f"model-{i}", s) for i in range(3) for s in (5, 6)
    ]
    assert steps == [(i, 6) for i in range(1, 7)]
    for image in found.images:
        pixels = paint(image.model, "a cat", image.seed)
        np.testing.assert_array_equal(load_image(image.path).pixels, pixels)
        assert image.content == content_hash(pixels)
        assert (image.width, image.height) == (48, 48)
    assert found.models.tolist() == ["model-0", "model-1", "model-2"]
    assert found.families["model-1"] == "family of model-1"
    assert found.notes == ()


def test_they_are_made_once(tmp_path: Path) -> None:
    models = painters(2)
    first = regenerate(models, "a cat", 2, tmp_path)
    again = [Painter(model.model) for model in models]
    assert regenerate(again, "a cat", 2, tmp_path).images == first.images
    assert [each.made for each in again] == [[], []]
    regenerate(again, "a cat", 3, tmp_path)
    assert [each.made for each in again] == [[("a cat", 2)]] * 2
    regenerate(again, "a dog", 1, tmp_path)
    assert again[0].made[1:] == [("a dog", 0)]
    newer = Painter("model-0", PainterOptions(revision="r2"))
    regenerate([newer, again[1]], "a cat", 2, tmp_path)
    assert newer.made == [("a cat", 0), ("a cat", 1)]


def test_several_prompts_share_gamma(tmp_path: Path) -> None:
    assert share_out(["a", "b", "c"], 10) == {"a": 4, "b": 3, "c": 3}
    assert share_out(["a", "b", "c"], 2) == {"a": 1, "b": 1}
    steps: list[tuple[int, int]] = []
    found = regenerate(painters(2), ["a cat", "a dog"], 3, tmp_path, seed=5, progress=lambda *step: steps.append(step))
    assert steps == [(i, 6) for i in range(1, 7)]
    assert found.prompt == "a cat"
    wanted = [(m, prompt, seed) for m in range(2) for prompt, seed in (("a cat", 5), ("a cat", 6), ("a dog", 5))]
    assert [image.seed for image in found.images] == [seed for *_, seed in wanted]
    for image, (model, prompt, seed) in zip(found.images, wanted, strict=True):
        np.testing.assert_array_equal(load_image(image.path).pixels, paint(f"model-{model}", prompt, seed))


def test_a_further_prompt_that_a_model_refuses_is_left_out_for_all(tmp_path: Path) -> None:
    class Choosy(Painter):
        def generate(self, prompt: str, count: int, seed: int) -> Any:
            if prompt == "a dog":
                raise RefusedContentError("will not draw dogs.", argument=self.id)
            return super().generate(prompt, count, seed)

    models = [Painter("model-0"), Choosy("model-1")]
    found = regenerate(models, ["a cat", "a dog", "a cow"], 3, tmp_path)
    assert found.notes == ("The prompt 'a dog' was left out: will not draw dogs.",)
    alone = regenerate(painters(2), ["a cat", "a cow"], 3, tmp_path / "other")
    assert [image.content for image in found.images] == [image.content for image in alone.images]
    with pytest.raises(RefusedContentError):
        regenerate(models, ["a dog", "a cat"], 3, tmp_path)


def test_a_prompt_is_not_left_out_for_what_is_not_its_fault(tmp_path: Path) -> None:
    """A folder that another process holds while a further prompt is made: the answer would rest on fewer prompts."""

    class Full(Painter):
        def generate(self, prompt: str, count: int, seed: int) -> Any:
            if prompt == "a dog":
                raise InputError("the device has too little memory.", argument=self.id)
            return super().generate(prompt, count, seed)

    with pytest.raises(InputError, match="too little memory"):
        regenerate([Painter("model-0"), Full("model-1")], ["a cat", "a dog"], 2, tmp_path / "memory")
    held = cache_folder(tmp_path / "held", Painter("model-1"))
    held.mkdir(parents=True)
    with ImageStore(held), pytest.raises(InputError, match="another process"):
        regenerate(painters(2), ["a cat", "a dog"], 2, tmp_path / "held")


def test_one_name_at_two_hosts_is_two_caches(tmp_path: Path) -> None:
    here, there = Painter("m"), Painter("m")
    there.host = "elsewhere"
    assert cache_folder(tmp_path, here) != cache_folder(tmp_path, there)
    assert cache_folder(tmp_path, here).parent == tmp_path


def test_the_query_is_not_its_own_candidate(tmp_path: Path) -> None:
    mine = content_hash(paint("model-1", "a cat", 1))
    found = regenerate(painters(2), "a cat", 3, tmp_path, without=mine)
    assert [(i.model, i.seed) for i in found.images] == [
        *(("model-0", seed) for seed in (0, 1, 2)),
        *(("model-1", seed) for seed in (0, 2, 3)),
    ]
    assert mine not in [image.content for image in found.images]
    assert found.notes == (
        "model-1 makes this very picture of the prompt with the seed 1; it was left out of the comparison.",
    )


def test_a_folder_without_another_image_goes_with_one_fewer(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", models=2, prompts=1, seeds=3, size=32)
    models = FolderGenerator.load(str(folder), FolderGenerator.Options())
    query = models[0].generate("000", 1, 1)[0]
    found = regenerate(models, "000", 3, tmp_path / "c", without=content_hash(query.pixels))
    assert [(i.model, i.seed) for i in found.images] == [
        *(("model-00", seed) for seed in (0, 2)),
        *(("model-01", seed) for seed in (0, 1, 2)),
    ]
    alone = models[0].generate("000", 1, 0)[0]
    with pytest.raises(NotEnoughReferencesError, match="has 3 images") as caught:
        regenerate(models, "000", 4, tmp_path / "c")
    assert "folder:" in str(caught.value)
    single = write_dataset(tmp_path / "e", models=2, prompts=1, seeds=1, size=32)
    models = FolderGenerator.load(str(single), FolderGenerator.Options())
    alone = models[0].generate("000", 1, 0)[0]
    with pytest.raises(NotEnoughReferencesError):
        regenerate(models, "000", 1, tmp_path / "c", without=content_hash(alone.pixels))


def test_what_was_made_before_a_failure_is_kept(tmp_path: Path) -> None:
    good, bad = Painter("good"), FakeGenerator("bad")
    bad.break_at[1] = lambda: np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(BadGenerationError, match="blank") as caught:
        regenerate([good, bad], "a cat", 3, tmp_path)
    assert caught.value.argument == "test:bad"
    bad.break_at.clear()
    again = Painter("good")
    assert len(regenerate([again, bad], "a cat", 3, tmp_path).images) == 6
    assert again.made == []
    assert [seed for _, _, seed in bad.calls] == [0, 1, 1, 2]


def test_what_hosts_cost_is_counted_over_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    import huggingface_hub.constants

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    with serve(hub_answer) as host:
        file = tmp_path / "g.toml"
        file.write_text(
            f'[[generator]]\nid = "hub-inference:m"\nbase_url = "{host.url}"\nretries = 0\nprice = 0.5\ncap = 1.5\n'
        )
        for prompt, makes in (("a cat", 2), ("a dog", 1)):
            generators = load_generators(str(file))
            if makes == 2:
                regenerate(generators, prompt, 2, tmp_path / "c")
                continue
            with pytest.raises(SpendingCapError, match=r"cap of 1\.5 is reached"):
                regenerate(generators, prompt, 2, tmp_path / "c")
        assert len(host.seen) == 3
        regenerate(load_generators(str(file)), "a cat", 2, tmp_path / "c")  # from the cache
        assert len(host.seen) == 3


def test_means_by_model() -> None:
    images = tuple(Candidate(m, "", s, Path(), "", 1, 1) for m, s in (("b", 0), ("a", 0), ("b", 1)))
    found = Candidates("p", images)
    values = np.array([[1.0, 5.0, 2.0], [4.0, 0.0, 0.0]])
    np.testing.assert_array_equal(found.means(values), [[5.0, 1.5], [0.0, 2.0]])
    assert found.families == {"a": "a", "b": "b"}
