from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given

from morelli.errors import InputError, UnknownNameError
from morelli.generators.zoo.world import COLOURS, GROUNDS, LIGHTS, SHAPES, TEXTURES, Group, Scene, split_of
from morelli.generators.zoo.world import sample_scene as sample
from morelli.generators.zoo.world.scene import key_of
from tests.generators.zoo.world.strategies import scenes

STAR = Group(1, "blue", "star", "plain")
RINGS = Group(3, "red", "ring", "striped")
MIRRORED = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, "red", "star", "plain"), "1, 2 or 3, came 0"),
        ((4, "red", "star", "plain"), "came 4"),
        ((1, "rde", "star", "plain"), "Did you mean 'red'"),
        ((1, "red", "stra", "plain"), "Did you mean 'star'"),
        ((1, "red", "star", "stripes"), "Did you mean 'striped'"),
    ],
)
def test_a_group_that_cannot_be_is_refused(arguments: tuple, said: str) -> None:
    with pytest.raises((InputError, UnknownNameError), match=said):
        Group(*arguments)


@pytest.mark.parametrize(
    ("groups", "relation", "ground", "light", "said"),
    [
        ((), None, "sand", "dusk", "one or two groups, came 0"),
        ((STAR, RINGS, Group(1, "red", "heart", "plain")), "above", "sand", "dusk", "came 3"),
        ((STAR,), "above", "sand", "dusk", "one group has none"),
        ((STAR, RINGS), None, "sand", "dusk", "two groups have a relation"),
        ((STAR, Group(2, "red", "star", "dotted")), "above", "sand", "dusk", "both groups show the shape 'star'"),
        ((STAR, RINGS), "abov", "sand", "dusk", "Did you mean 'above'"),
        ((STAR,), None, "sind", "dusk", "Did you mean 'sand'"),
        ((STAR,), None, "sand", "dsk", "Did you mean 'dusk'"),
    ],
)
def test_a_scene_that_cannot_be_is_refused(
    groups: tuple[Group, ...], relation: str | None, ground: str, light: str, said: str
) -> None:
    with pytest.raises((InputError, UnknownNameError), match=said):
        Scene(groups, relation, ground, light)


def test_samples_cover_the_world_evenly() -> None:
    rng = np.random.default_rng(0)
    made = [sample(rng) for _ in range(4000)]
    assert 0.27 < np.mean([len(scene.groups) == 1 for scene in made]) < 0.33
    groups = [group for scene in made for group in scene.groups]
    for values, known in (
        ([g.colour for g in groups], COLOURS),
        ([g.shape for g in groups], SHAPES),
        ([g.texture for g in groups], TEXTURES),
        ([g.count for g in groups], (1, 2, 3)),
        ([s.ground for s in made], GROUNDS),
        ([s.light for s in made], LIGHTS),
        ([s.relation for s in made if s.relation], tuple(MIRRORED)),
    ):
        seen = Counter(values)
        assert set(seen) == set(known)
        share = np.array(list(seen.values())) / len(values) * len(known)
        assert share.min() > 0.8
        assert share.max() < 1.2


def test_samples_of_a_split_stay_on_it() -> None:
    rng = np.random.default_rng(1)
    assert {split_of(sample(rng, "test")) for _ in range(50)} == {"test"}
    assert {split_of(sample(rng, "train")) for _ in range(200)} == {"train"}
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        sample(rng, "tset")  # type: ignore[arg-type]


def test_a_tenth_is_for_testing() -> None:
    rng = np.random.default_rng(2)
    share = np.mean([split_of(sample(rng)) == "test" for _ in range(5000)])
    assert 0.085 < share < 0.115  # three and a half standard deviations


@given(scenes(groups=2))
def test_both_ways_to_tell_a_relation_are_one_scene_for_the_split(scene: Scene) -> None:
    assert scene.relation is not None
    mirrored = Scene(scene.groups[::-1], MIRRORED[scene.relation], scene.ground, scene.light)
    swapped = Scene(scene.groups[::-1], scene.relation, scene.ground, scene.light)
    assert key_of(mirrored) == key_of(scene)
    assert key_of(swapped) != key_of(scene)


def test_the_split_is_the_same_on_every_machine() -> None:
    # Published prompts stay on their side for good, so the hash itself is part of the contract.
    scene = Scene((Group(2, "red", "circle", "striped"), STAR), "left of", "sand", "dusk")
    text = b"2 red circle striped|1 blue star plain|left of|sand|dusk"
    assert key_of(scene) == int(hashlib.sha256(text).hexdigest()[:16], 16)
