"""The training code: resumption, labels, negatives, styles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training.zoo.__main__ import train_all
from training.zoo.context import Context
from training.zoo.data import GRID, IGNORED, KINDS, Pictures, attributes, draw_set, map_objects, split_code
from training.zoo.export import read_entries
from training.zoo.loop import FLAT, WARM_UP, Trainer, rate
from training.zoo.negatives import differing
from training.zoo.plan import COURSES, GOOD, Course, is_final, may_start
from training.zoo.recipe import Player, Recipe, Step
from training.zoo.recipes.segmenter import KINDS as SEGMENTS
from training.zoo.recipes.segmenter import segmentation_loss
from training.zoo.styles import STYLES
from training.zoo.text import IDS, LENGTH, VOCABULARY, encode, make_tokenizer

from morelli.generators.zoo.world import (
    COLOURS,
    SHAPES,
    TEXTURES,
    WORDS,
    Group,
    Scene,
    caption,
    parse_caption,
    placed_objects,
    sample_scene,
    split_of,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return draw_set(tmp_path_factory.mktemp("data"), 40)


class Line(Recipe):
    """Learns a picture's mean brightness from its top left pixel; small enough to run in milliseconds."""

    name = "line"
    batch = 8

    def build(self) -> dict[str, torch.nn.Module]:
        return {"line": torch.nn.Linear(3, 1)}

    def players(self) -> tuple[Player, ...]:
        return (Player("line", ("line",), lr=1e-2),)

    def loss(self, player: str, nets: Any, step: Step) -> dict[str, torch.Tensor]:
        x = self.context.pixels(step.rows)
        noisy = x[:, :, 0, 0] + 0.1 * step.normal_like(x[:, :, 0, 0])
        return {"loss": (nets["line"](noisy)[:, 0].float() - x.float().mean(dim=(1, 2, 3))).square().mean()}

    def save(self, nets: Any, folder: Path) -> dict[str, Any]:
        (folder / self.name).mkdir(parents=True, exist_ok=True)
        (folder / self.name / "weight.txt").write_text(str(nets["line"].weight.tolist()), encoding="utf-8")
        return {}


def steps(trainer: Trainer, count: int) -> list[float]:
    return [float(trainer._one(1.0)["loss"]) for _ in range(count)]


def test_a_resumed_training_repeats_an_unbroken_one(pictures: Pictures, tmp_path: Path) -> None:
    device = torch.device("cpu")
    whole = Trainer(Line(Context(tmp_path / "a", pictures, device)))
    unbroken = steps(whole, 20)
    broken = Trainer(Line(Context(tmp_path / "b", pictures, device)))
    first = steps(broken, 8)
    broken.save()
    torch.rand(5)  # whatever else happens in between
    again = Trainer(Line(Context(tmp_path / "b", pictures, device)))
    assert first + steps(again, 12) == unbroken
    for name, value in whole.average["line"].state_dict().items():
        assert torch.equal(value, again.average["line"].state_dict()[name])
    assert again.record()["images"] == 160
    assert sum(unbroken[-5:]) < sum(unbroken[:5])


def test_a_checkpoint_that_was_cut_off_is_not_seen(pictures: Pictures, tmp_path: Path) -> None:
    context = Context(tmp_path, pictures, torch.device("cpu"))
    trainer = Trainer(Line(context))
    steps(trainer, 3)
    trainer.save()
    trainer.path.with_suffix(".part").write_bytes(b"half")
    assert Trainer(Line(context)).step == 3


def test_time_of_a_turn_that_was_killed_counts(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint has it, and no record does."""
    monkeypatch.setattr("training.zoo.__main__.COURSES", {"line": Course(Line, 1, 1)})
    context = Context(tmp_path, pictures, torch.device("cpu"))
    killed = Trainer(Line(context))
    steps(killed, 3)
    killed.seconds = 99.9
    killed.save()
    train_all(context, 100 / 3600, [], 0)
    done = Trainer(Line(context))
    assert done.step > 3
    assert done.seconds < 101.5
    assert read_entries(tmp_path)["line"]["training"]["seconds"] == round(done.seconds)


def test_the_rate_by_hand() -> None:
    assert rate(0, None) == 1 / WARM_UP
    assert rate(WARM_UP - 1, None) == 1
    assert rate(4 * FLAT - 1, None) == pytest.approx(0.5)
    assert rate(500, 0.7) == pytest.approx(1.0)
    assert rate(500, 0.85) == pytest.approx(0.5)
    assert rate(500, 1.0) == pytest.approx(0.02)


def test_a_set_does_not_depend_on_the_processes_and_shows_train_scenes(pictures: Pictures, tmp_path: Path) -> None:
    other = draw_set(tmp_path, 40, workers=2)
    before = (tmp_path / "pixels.npy").stat().st_mtime_ns
    draw_set(tmp_path, 40)
    assert (tmp_path / "pixels.npy").stat().st_mtime_ns == before  # it is there
    draw_set(tmp_path / "seeded", 8, seed=3)
    assert not np.array_equal(draw_set(tmp_path / "seeded", 8).pixels, draw_set(tmp_path / "seeded", 8, seed=3).pixels)
    assert np.array_equal(other.pixels, pictures.pixels)
    assert np.array_equal(other.tokens, pictures.tokens)
    for row, labels in zip(pictures.tokens, pictures.attributes, strict=True):
        texts = [" ".join(VOCABULARY[i] for i in ids if VOCABULARY[i] in WORDS) for ids in row]
        scenes = {parse_caption(text) for text in texts}
        assert len(scenes) == 1  # wordings of one scene
        scene = scenes.pop()
        assert split_of(scene) == "train"
        assert np.array_equal(attributes(scene), labels)


def test_attributes_by_hand() -> None:
    scene = Scene((Group(2, "red", "star", "plain"), Group(1, "blue", "circle", "dotted")), "left of", "sand", "dusk")
    labels = attributes(scene)
    circle, star = 3 * SHAPES.index("circle"), 3 * SHAPES.index("star")
    assert labels[circle : circle + 3].tolist() == [1, 5, 2]
    assert labels[star : star + 3].tolist() == [2, 0, 0]
    assert labels[3 * SHAPES.index("heart") :][:3].tolist() == [0, IGNORED, IGNORED]
    assert labels[-3:].tolist() == [2, 2, 1]  # seen from the circle, the first shape of the list, it is "right of"


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_the_map_shows_each_object_where_it_is(seed: int) -> None:
    scene = sample_scene(np.random.default_rng(seed))
    codes = map_objects(scene, seed)
    shapes, colours, textures = split_code(codes.astype(np.int64))
    assert ((shapes > 0) == (codes > 0)).all()
    for group, placed in zip(scene.groups, placed_objects(scene, seed), strict=True):
        for x, y in placed.centres:
            cell = int(y * GRID), int(x * GRID)
            assert SHAPES[shapes[cell] - 1] == group.shape
            assert COLOURS[colours[cell]] == group.colour
            assert TEXTURES[textures[cell]] == group.texture
    assert not codes[0, 0] * codes[0, -1] * codes[-1, 0] * codes[-1, -1]  # no object reaches all corners


def test_the_segmentation_loss_by_hand() -> None:
    codes = torch.zeros(1, GRID, GRID, dtype=torch.int64)
    codes[0, 0, 0] = 1  # a plain red circle
    even = torch.zeros(1, sum(SEGMENTS), GRID, GRID)
    # ln 9 for the shape everywhere; ln 8 + ln 3 for colour and texture at one position of all.
    expected = np.log(9) + (np.log(8) + np.log(3)) / GRID**2
    assert float(segmentation_loss(even, codes)) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_both_ways_to_tell_a_scene_have_the_same_attributes(seed: int) -> None:
    scene = sample_scene(np.random.default_rng(seed))
    labels = attributes(scene)
    assert all(IGNORED <= label < kinds for label, kinds in zip(labels, KINDS, strict=True))
    if scene.relation is not None:
        inverse = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[scene.relation]
        assert np.array_equal(attributes(Scene(scene.groups[::-1], inverse, scene.ground, scene.light)), labels)


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_negatives_differ_and_can_be_told(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng)
    for other in differing(scene, rng, 3):
        assert other != scene
        assert caption(other) != caption(scene)
        assert parse_caption(caption(other)) == other


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_our_ids_are_the_tokenizers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = ["", *(caption(sample_scene(rng), rng) for _ in range(3))]
    given_ids = make_tokenizer()(texts, padding="max_length", max_length=LENGTH)["input_ids"]
    assert np.array_equal(np.array(given_ids), encode(texts))
    assert len(IDS) == len(VOCABULARY) == len(WORDS) + 3


@pytest.mark.parametrize("name", STYLES)
def test_styles_change_the_look_and_keep_the_place(name: str, pictures: Pictures) -> None:
    before = np.asarray(pictures.pixels[:8])
    after = STYLES[name](before)
    assert after.dtype == np.uint8
    assert after.shape == before.shape
    assert np.abs(after.astype(int) - before).mean() > 4
    same = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(before, after, strict=True)]
    assert min(same) > 0.7
    assert np.array_equal(STYLES[name](before[3]), after[3])


def test_the_queue_waits_for_what_is_not_final() -> None:
    entries: dict[str, Any] = {"text": {"training": {"seconds": 60 * COURSES["text"].most}}}
    assert not may_start("unet", entries)
    assert not may_start("latent", entries)
    entries["segmenter"] = {"training": {"seconds": 60 * COURSES["segmenter"].most}}
    assert may_start("unet", entries)
    good = {"objects": GOOD, "colours": 1.0, "counts": GOOD, "relations": 1.0}
    assert is_final("unet", {"model": {}, "training": {"seconds": 5, "agreement": good}})
    assert not is_final("unet", {"model": {}, "training": {"seconds": 5, "agreement": {**good, "counts": 0.5}}})
    assert not is_final("vae", {"training": {"seconds": 5, "agreement": good}})
    assert not is_final("unet", {})


def test_every_need_is_a_part_that_comes_before() -> None:
    order = list(COURSES)
    for name, course in COURSES.items():
        assert course.recipe.name == name
        assert all(order.index(need) < order.index(name) for need in course.recipe.needs)
