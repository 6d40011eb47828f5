from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from morelli.errors import InputError
from morelli.generators.zoo.world import (
    COLOURS,
    GROUNDS,
    LIGHTS,
    SHAPES,
    Group,
    Scene,
    draw,
    draw_batch,
    placed_objects,
    sample_scene,
)
from tests.generators.zoo.world.strategies import scenes, seeds

# Rough sRGB of each colour word, written down here independently of the palette that draws.
NAMED = {
    "red": (225, 30, 35),
    "orange": (250, 130, 20),
    "yellow": (250, 220, 40),
    "green": (30, 165, 60),
    "cyan": (50, 210, 220),
    "blue": (40, 70, 225),
    "purple": (145, 50, 190),
    "white": (245, 245, 245),
}


def one(colour: str = "red", shape: str = "square", texture: str = "plain", **rest: str) -> Scene:
    return Scene((Group(1, colour, shape, texture),), None, rest.get("ground", "paper"), rest.get("light", "daylight"))


@given(scenes(), seeds)
@settings(max_examples=40, deadline=None)
def test_a_picture_is_the_same_again_and_another_for_another_seed(scene: Scene, seed: int) -> None:
    picture = draw(scene, seed)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert (draw(scene, seed) == picture).all()
    assert (draw(scene, seed + 1) != picture).mean() > 0.5
    assert picture.std() > 4


def test_the_same_in_another_process() -> None:
    code = (
        "import hashlib, numpy as np; from morelli.generators.zoo.world import draw, sample_scene\n"
        "rng = np.random.default_rng(3); pictures = [draw(sample_scene(rng), seed) for seed in range(12)]\n"
        "print(hashlib.sha256(np.stack(pictures).tobytes()).hexdigest())\n"
        "import sys; assert 'torch' not in sys.modules and 'scipy' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    rng = np.random.default_rng(3)
    pictures = [draw(sample_scene(rng), seed) for seed in range(12)]
    assert said == hashlib.sha256(np.stack(pictures).tobytes()).hexdigest()


@pytest.mark.parametrize("colour", COLOURS)
def test_a_plain_square_has_its_colour(colour: str) -> None:
    for seed in range(8):
        (placed,) = placed_objects(one(colour), seed)
        x, y = (placed.centres[0] * 64).astype(int)
        patch = draw(one(colour), seed)[y - 3 : y + 3, x - 3 : x + 3].reshape(-1, 3).astype(float)
        nearest = min(NAMED, key=lambda name: np.abs(patch.mean(axis=0) - NAMED[name]).sum())
        assert nearest == colour


@pytest.mark.parametrize("texture", ["striped", "dotted"])
def test_a_pattern_shows_two_colours(texture: str) -> None:
    def spread(texture: str, seed: int) -> float:
        scene = one("blue", "circle", texture)
        (placed,) = placed_objects(scene, seed)
        x, y = (placed.centres[0] * 64).astype(int)
        return float(draw(scene, seed)[y - 6 : y + 6, x - 6 : x + 6, 0].std())

    assert min(spread(texture, seed) for seed in range(6)) > 25
    assert max(spread("plain", seed) for seed in range(6)) < 12


def test_a_ring_shows_the_ground_in_its_middle() -> None:
    scene = one("red", "ring")
    (placed,) = placed_objects(scene, 5)
    x, y = (placed.centres[0] * 64).astype(int)
    red, green, _ = draw(scene, 5)[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(axis=0)
    assert red - green < 40


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_is_drawn_where_it_is_placed(shape: str) -> None:
    scene = one("red", shape)
    for seed in range(5):
        picture = draw(scene, seed).astype(float)
        (placed,) = placed_objects(scene, seed)
        rows, columns = np.nonzero(picture[:, :, 0] - picture[:, :, 1] > 80)
        middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / 64
        assert np.abs(middle - placed.centres[0]).max() < 0.25 * placed.radii[0]
        radius = np.hypot(columns + 0.5 - 64 * placed.centres[0, 0], rows + 0.5 - 64 * placed.centres[0, 1]).max()
        assert radius < 1.3 * 64 * placed.radii[0] + 1


@pytest.mark.parametrize("size", [16, 32, 96, 256])
def test_other_sizes_show_the_same_scene(size: int) -> None:
    scene = one("red", "circle")
    (placed,) = placed_objects(scene, 2)
    picture = draw(scene, 2, size)
    assert picture.shape == (size, size, 3)
    x, y = (placed.centres[0] * size).astype(int)
    red, green, blue = picture[y, x].astype(int)
    assert red > 150 > 90 > max(green, blue)


def test_lights_and_grounds_differ() -> None:
    mean = {light: np.mean([draw(one(light=light), s).mean() for s in range(8)]) for light in LIGHTS}
    assert mean["night"] < 0.7 * mean["daylight"]
    warm = [draw(one("white", light=light), 3).reshape(-1, 3).mean(axis=0) for light in ("dusk", "night")]
    assert warm[0][0] > 1.2 * warm[0][2]
    assert warm[1][2] > 1.2 * warm[1][0]
    means = [
        np.concatenate([m.mean(axis=(0, 1, 2)), m.std(axis=(0, 1, 2))])
        for m in (draw_batch([one(ground=ground)] * 16, range(16)).astype(float) for ground in GROUNDS)
    ]
    gaps = [np.abs(a - b).sum() for i, a in enumerate(means) for b in means[:i]]
    assert min(gaps) > 10


def test_a_batch_is_its_pictures() -> None:
    rng = np.random.default_rng(9)
    made = [sample_scene(rng) for _ in range(5)]
    batch = draw_batch(made, [4, 4, 0, 1, 2], 32)
    assert batch.shape == (5, 32, 32, 3)
    assert all((batch[i] == draw(made[i], seed, 32)).all() for i, seed in enumerate([4, 4, 0, 1, 2]))
    assert draw_batch([], [], 64).shape == (0, 64, 64, 3)
    with pytest.raises(InputError, match="5 scenes need as many seeds, came 1"):
        draw_batch(made, [1])


@pytest.mark.parametrize(("seed", "size", "said"), [(-1, 64, "seed"), (0, 8, "size"), (0, 257, "size")])
def test_bad_seed_or_size(seed: int, size: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        draw(one(), seed, size)
