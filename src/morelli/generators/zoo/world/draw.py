"""A scene becomes a picture: the same meaning for every seed, other pixels for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from morelli.errors import InputError
from morelli.generators.zoo.world.grounds import paint_ground
from morelli.generators.zoo.world.layout import Placed, layout
from morelli.generators.zoo.world.light import SHADOWS, light_map
from morelli.generators.zoo.world.noise import LARGEST, noise
from morelli.generators.zoo.world.objects import cast_shadow, put_group
from morelli.generators.zoo.world.scene import Scene, key_of

Pixels = NDArray[np.uint8]

_SMALLEST = 16


def _checked(scene: Scene, seed: int, size: int) -> np.random.Generator:
    if not _SMALLEST <= size <= LARGEST:
        raise InputError(f"must be {_SMALLEST} to {LARGEST} pixels, came {size}.", argument="size")
    if seed < 0:
        raise InputError(f"must be at least 0, came {seed}.", argument="seed")
    # Scenes of one seed must not share their places, so the scene's own hash joins the seed.
    return np.random.default_rng([seed, key_of(scene)])


def placed_objects(scene: Scene, seed: int) -> tuple[Placed, ...]:
    """Where `draw` puts the members of each group, whatever the size."""
    return layout(scene, _checked(scene, seed, _SMALLEST))


def draw(scene: Scene, seed: int, size: int = 64) -> Pixels:
    """One picture of a scene.

    Parameters
    ----------
    scene : Scene
    seed : int
        At least 0. Chooses places, sizes, turns, tones, the light's direction, the ground's phase and the grain.
    size : int
        Side, pixels, 16–256.

    Returns
    -------
    ndarray, shape (size, size, 3), uint8
        RGB; the same for the same scene, seed and size.

    Raises
    ------
    InputError
        A seed or size out of range.
    """
    rng = _checked(scene, seed, size)
    places = layout(scene, rng)
    angle = rng.uniform(0, 2 * np.pi)
    towards = (float(np.cos(angle)), float(np.sin(angle)))
    reach = rng.uniform(1.5, 3.2) * size / 64
    canvas = paint_ground(scene.ground, rng, size)
    groups = list(zip(scene.groups, places, strict=True))
    for group, placed in groups:
        cast_shadow(canvas, group, placed, (-reach * towards[0], -reach * towards[1]), SHADOWS[scene.light])
    for group, placed in groups:
        put_group(canvas, group, placed, towards, rng)
    canvas *= light_map(scene.light, towards, rng, size)
    canvas += (0.008 * noise(rng, size, 0.0))[:, :, None]
    return np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)


def draw_batch(scenes: Sequence[Scene], seeds: Sequence[int], size: int = 64) -> Pixels:
    """Pictures of several scenes, each as `draw` gives it.

    Parameters
    ----------
    scenes : sequence of Scene
    seeds : sequence of int
        As many as scenes.
    size : int
        Side, pixels, 16–256.

    Returns
    -------
    ndarray, shape (n, size, size, 3), uint8

    Raises
    ------
    InputError
        Not as many seeds as scenes, or a seed or size out of range.
    """
    if len(scenes) != len(seeds):
        raise InputError(f"{len(scenes)} scenes need as many seeds, came {len(seeds)}.", argument="seeds")
    if not len(scenes):
        return np.zeros((0, size, size, 3), np.uint8)
    return np.stack([draw(scene, int(seed), size) for scene, seed in zip(scenes, seeds, strict=True)])
