"""Scenes that differ from a scene in one thing: the hard negatives of the mini-CLIP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morelli.generators.zoo.world import (
    COLOURS,
    COUNTS,
    GROUNDS,
    LIGHTS,
    RELATIONS,
    SHAPES,
    TEXTURES,
    Group,
    Scene,
)

_OF_GROUP = {"colour": COLOURS, "texture": TEXTURES, "count": COUNTS, "shape": SHAPES}
_OF_SCENE = {"ground": GROUNDS, "light": LIGHTS, "relation": RELATIONS}
# Composition is what a bag of words gets wrong: swaps and relations come more often than a changed ground.
_ONE = ("colour", "texture", "count", "count", "shape", "ground", "light")
_TWO = (*_ONE, "relation", "relation", "swap colour", "swap texture", "swap count", "swap shape")


def changed(scene: Scene, what: str, rng: np.random.Generator) -> Scene:
    """The scene with one property redrawn or swapped between its groups; it may come out the same.

    Parameters
    ----------
    scene : Scene
    what : str
        A property of a group or of the scene, or "swap" and a property of a group.
    rng : numpy.random.Generator
    """
    if what in _OF_SCENE:
        values = _OF_SCENE[what]
        return replace(scene, **{what: values[int(rng.integers(len(values)))]})
    groups = list(scene.groups)
    if what.startswith("swap "):
        field = what.removeprefix("swap ")
        first, second = groups
        groups = [_with(first, field, getattr(second, field)), _with(second, field, getattr(first, field))]
        return replace(scene, groups=tuple(groups))
    place = int(rng.integers(len(groups)))
    taken = {group.shape for group in groups} if what == "shape" else set()
    values = [value for value in _OF_GROUP[what] if value not in taken]
    groups[place] = _with(groups[place], what, values[int(rng.integers(len(values)))])
    return replace(scene, groups=tuple(groups))


def _with(group: Group, field: str, value: str | int) -> Group:
    return replace(group, **{field: value})  # type: ignore[arg-type]


def differing(scene: Scene, rng: np.random.Generator, count: int) -> list[Scene]:
    """``count`` scenes, each different from the scene in one thing."""
    found: list[Scene] = []
    kinds = _ONE if len(scene.groups) == 1 else _TWO
    while len(found) < count:
        other = changed(scene, kinds[int(rng.integers(len(kinds)))], rng)
        if other != scene:
            found.append(other)
    return found
