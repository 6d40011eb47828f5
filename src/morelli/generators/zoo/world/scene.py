"""What a picture of the world shows: groups of alike objects, their relation, the ground and the light."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from morelli.errors import InputError, UnknownNameError

Split = Literal["train", "test"]

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart", "crescent")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
TEXTURES = ("plain", "striped", "dotted")
COUNTS = (1, 2, 3)
RELATIONS = ("left of", "right of", "above", "below")
GROUNDS = ("paper", "tiles", "sand", "grass", "brick", "water")
LIGHTS = ("daylight", "dusk", "night", "spotlight")

# "A left of B" shows the same as "B right of A": both must fall on the same side of the split.
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

_ONE_GROUP = 0.3  # share of the sampled scenes that show one group only

_T = TypeVar("_T")


def _known(kind: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UnknownNameError(kind, value, known)


@dataclass(frozen=True, slots=True)
class Group:
    """One to three objects that are alike.

    Attributes
    ----------
    count : int
        1–3.
    colour, shape, texture : str
        One of `COLOURS`, `SHAPES`, `TEXTURES`.

    Raises
    ------
    InputError
        A count outside 1–3.
    UnknownNameError
        A colour, shape or texture that the world does not have.
    """

    count: int
    colour: str
    shape: str
    texture: str

    def __post_init__(self) -> None:
        if self.count not in COUNTS:
            raise InputError(f"must be 1, 2 or 3, came {self.count!r}.", argument="count")
        _known("colour", self.colour, COLOURS)
        _known("shape", self.shape, SHAPES)
        _known("texture", self.texture, TEXTURES)


@dataclass(frozen=True, slots=True)
class Scene:
    """What one prompt asks for.

    Attributes
    ----------
    groups : tuple of Group
        One or two; two have different shapes.
    relation : str or None
        Where the first group lies as seen from the second, one of `RELATIONS`; None where there is one group.
    ground, light : str
        One of `GROUNDS`, `LIGHTS`.

    Raises
    ------
    InputError
        No group or more than two, two of one shape, or a relation that does not fit their number.
    UnknownNameError
        A relation, ground or light that the world does not have.
    """

    groups: tuple[Group, ...]
    relation: str | None
    ground: str
    light: str

    def __post_init__(self) -> None:
        if len(self.groups) not in (1, 2):
            raise InputError(f"a scene shows one or two groups, came {len(self.groups)}.", argument="groups")
        if (self.relation is None) != (len(self.groups) == 1):
            raise InputError("two groups have a relation and one group has none.", argument="relation")
        if len({group.shape for group in self.groups}) != len(self.groups):
            raise InputError(f"both groups show the shape {self.groups[0].shape!r}.", argument="groups")
        if self.relation is not None:
            _known("relation", self.relation, RELATIONS)
        _known("ground", self.ground, GROUNDS)
        _known("light", self.light, LIGHTS)


def _pick(rng: np.random.Generator, values: Sequence[_T]) -> _T:
    return values[int(rng.integers(len(values)))]


def _sample(rng: np.random.Generator) -> Scene:
    count = 1 if rng.random() < _ONE_GROUP else 2
    shapes = rng.permutation(len(SHAPES))[:count]
    groups = tuple(Group(_pick(rng, COUNTS), _pick(rng, COLOURS), SHAPES[s], _pick(rng, TEXTURES)) for s in shapes)
    relation = _pick(rng, RELATIONS) if count == 2 else None
    return Scene(groups, relation, _pick(rng, GROUNDS), _pick(rng, LIGHTS))


def sample_scene(rng: np.random.Generator, split: Split | None = None) -> Scene:
    """A scene by chance: each property uniform, three in ten scenes with one group.

    Parameters
    ----------
    rng : numpy.random.Generator
    split : {"train", "test"}, optional
        Only scenes of that side of `split_of`; default both.

    Raises
    ------
    UnknownNameError
        Another split.
    """
    if split is not None:
        _known("split", split, ("train", "test"))
    while True:
        scene = _sample(rng)
        if split is None or split_of(scene) == split:
            return scene


def key_of(scene: Scene) -> int:
    """64-bit hash of what the scene means, 0 to 2**64 - 1; equal for the two ways to tell one relation."""
    groups, relation = scene.groups, scene.relation
    if relation in ("right of", "below"):
        groups, relation = groups[::-1], INVERSE[relation]
    parts = [f"{g.count} {g.colour} {g.shape} {g.texture}" for g in groups]
    text = "|".join([*parts, relation or "", scene.ground, scene.light])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def split_of(scene: Scene) -> Split:
    """The side that a scene falls on: one in ten is for testing, whoever asks."""
    return "test" if key_of(scene) % 10 == 0 else "train"
