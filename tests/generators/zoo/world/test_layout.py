from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given

from morelli.generators.zoo.world import Scene, placed_objects
from morelli.generators.zoo.world.layout import Placed
from tests.generators.zoo.world.strategies import scenes, seeds

# Axis (0: x, 1: y) and the sign of first minus second, y down; written out here and not taken from the code.
DIRECTIONS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}


@given(scenes(), seeds)
def test_objects_are_large_inside_and_apart(scene: Scene, seed: int) -> None:
    places = placed_objects(scene, seed)
    assert [len(placed.radii) for placed in places] == [group.count for group in scene.groups]
    for placed in places:
        assert (2 * placed.radii * 64 >= 12).all()
        assert (placed.centres - placed.radii[:, None] >= 0).all()
        assert (placed.centres + placed.radii[:, None] <= 1).all()
        for a, b in itertools.combinations(range(len(placed.radii)), 2):
            gap = np.hypot(*(placed.centres[a] - placed.centres[b]))
            assert gap > 0.75 * (placed.radii[a] + placed.radii[b])


@given(scenes(groups=2), seeds)
def test_groups_lie_as_their_relation_says(scene: Scene, seed: int) -> None:
    assert scene.relation is not None
    first, second = placed_objects(scene, seed)
    axis, sign = DIRECTIONS[scene.relation]

    def ends(placed: Placed) -> tuple[float, float]:
        return (placed.centres[:, axis] - placed.radii).min(), (placed.centres[:, axis] + placed.radii).max()

    near, far = (ends(first), ends(second)) if sign < 0 else (ends(second), ends(first))
    assert near[1] < far[0]  # no member reaches into the other group's strip
    shift = first.centroid - second.centroid
    assert shift[axis] * sign > 0
    assert abs(shift[axis]) > 1.5 * abs(shift[1 - axis])


@given(scenes(), seeds)
def test_places_depend_on_scene_and_seed(scene: Scene, seed: int) -> None:
    again, other = placed_objects(scene, seed), placed_objects(scene, seed + 1)
    assert all((a.centres == b.centres).all() for a, b in zip(placed_objects(scene, seed), again, strict=True))
    assert any((a.centres != b.centres).any() for a, b in zip(again, other, strict=True))
