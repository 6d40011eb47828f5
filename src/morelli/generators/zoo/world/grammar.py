"""Scenes as captions and captions as scenes: lower-case words, no punctuation, each wording parsed exactly."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from morelli.errors import InputError
from morelli.generators.zoo.world.scene import Group, Scene

_T = TypeVar("_T")

# Every meaning with its wordings, the canonical one first. No wording of a table begins another one of that table
# unless the parser's longest match tells them apart.
_COUNTS: dict[int, tuple[str, ...]] = {1: ("one", "a", "an"), 2: ("two",), 3: ("three",)}
_COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "cyan": ("cyan", "turquoise"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "white": ("white",),
}
_TEXTURES: dict[str, tuple[str, ...]] = {
    "plain": ("", "plain"),
    "striped": ("striped", "banded"),
    "dotted": ("dotted", "spotted"),
}
_SHAPES: dict[str, tuple[tuple[str, str], ...]] = {
    "circle": (("circle", "circles"), ("disc", "discs")),
    "square": (("square", "squares"), ("box", "boxes")),
    "triangle": (("triangle", "triangles"),),
    "star": (("star", "stars"),),
    "ring": (("ring", "rings"), ("hoop", "hoops")),
    "cross": (("cross", "crosses"),),
    "heart": (("heart", "hearts"),),
    "crescent": (("crescent", "crescents"), ("moon", "moons")),
}
_RELATIONS: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "higher than"),
    "below": ("below", "lower than"),
}
_GROUNDS: dict[str, tuple[str, ...]] = {
    name: (f"on {name}", f"over {name}", f"on the {name}")
    for name in ("paper", "tiles", "sand", "grass", "brick", "water")
}
_LIGHTS: dict[str, tuple[str, ...]] = {
    "daylight": ("in daylight", "by day"),
    "dusk": ("at dusk", "in the evening"),
    "night": ("at night", "by night"),
    "spotlight": ("under spotlight", "in a spotlight"),
}
_OPENINGS = ("", "a picture of", "we see")
# Where ground and light stand: all after the groups, all before them, or one on each side.
_ORDERS = ("{groups} {ground} {light}", "{ground} {light} {groups}", "{light} {groups} {ground}")


def _words(*tables: Mapping[Any, tuple[str, ...]]) -> set[str]:
    return {word for table in tables for wordings in table.values() for text in wordings for word in text.split()}


def _vocabulary() -> tuple[str, ...]:
    shapes = {word for forms in _SHAPES.values() for pair in forms for word in pair}
    openings = {word for text in _OPENINGS for word in text.split()}
    return tuple(sorted(_words(_COUNTS, _COLOURS, _TEXTURES, _RELATIONS, _GROUNDS, _LIGHTS) | shapes | openings))


WORDS: tuple[str, ...] = _vocabulary()


def _say(wordings: Sequence[_T], rng: np.random.Generator | None) -> _T:
    return wordings[0] if rng is None else wordings[int(rng.integers(len(wordings)))]


def _say_group(group: Group, rng: np.random.Generator | None) -> str:
    shape = _say(_SHAPES[group.shape], rng)[group.count > 1]
    colour, texture = _say(_COLOURS[group.colour], rng), _say(_TEXTURES[group.texture], rng)
    adjectives = f"{texture} {colour}" if rng is not None and rng.random() < 0.5 else f"{colour} {texture}"
    words = [_say(_COUNTS[group.count], rng), *adjectives.split(), shape]
    if words[0] in ("a", "an"):
        words[0] = "an" if words[1][0] in "aeiou" else "a"
    return " ".join(words)


def caption(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """The scene in words.

    Parameters
    ----------
    scene : Scene
    rng : numpy.random.Generator, optional
        Chooses among synonymous wordings; default the canonical one.

    Returns
    -------
    str
        At most 24 words of `WORDS`, separated by single spaces.
    """
    groups = _say_group(scene.groups[0], rng)
    if scene.relation is not None:
        groups = f"{groups} {_say(_RELATIONS[scene.relation], rng)} {_say_group(scene.groups[1], rng)}"
    order = _say(_ORDERS, rng)
    parts = {"groups": groups, "ground": _say(_GROUNDS[scene.ground], rng), "light": _say(_LIGHTS[scene.light], rng)}
    text = order.format(**parts)
    if order == _ORDERS[0]:  # an opening reads well before the groups only
        text = f"{_say(_OPENINGS, rng)} {text}"
    return " ".join(text.split())


class _Reader:
    """Walks along a caption's words; remembers where it stands for the error messages."""

    def __init__(self, text: str) -> None:
        self.words = text.split()
        self.at = 0

    def take(self, table: Mapping[_T, tuple[str, ...]]) -> _T | None:
        """The meaning of the longest wording of ``table`` that stands here, passed over; None where none does."""
        best, length = None, 0
        for meaning, wordings in table.items():
            for wording in wordings:
                parts = wording.split()
                if len(parts) > length and self.words[self.at : self.at + len(parts)] == parts:
                    best, length = meaning, len(parts)
        self.at += length
        return best

    def fail(self, expected: str, known: Iterable[str]) -> InputError:
        """The error that names the word at fault."""
        if self.at >= len(self.words):
            return InputError(
                f"the caption ends after {len(self.words)} words where {expected} should follow.",
                argument="prompt",
                fix=f"Add one of: {', '.join(known)}.",
            )
        word, known = self.words[self.at], list(known)
        near = difflib.get_close_matches(word, known if word in WORDS else WORDS, n=2, cutoff=0.6)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"It may be: {', '.join(known)}."
        return InputError(f"word {self.at + 1}, {word!r}, should be {expected}.", argument="prompt", fix=hint)


_BY_NUMBER: dict[bool, dict[str, tuple[str, ...]]] = {
    plural: {shape: tuple(form[plural] for form in forms) for shape, forms in _SHAPES.items()}
    for plural in (False, True)
}


def _need(reader: _Reader, expected: str, table: Mapping[_T, tuple[str, ...]]) -> _T:
    found = reader.take(table)
    if found is None:
        raise reader.fail(expected, [text for wordings in table.values() for text in wordings if text])
    return found


def _group(reader: _Reader) -> Group:
    count = _need(reader, "a number", _COUNTS)
    texture = reader.take(_TEXTURES)
    colour = _need(reader, "a colour", _COLOURS)
    if texture is None:
        texture = reader.take(_TEXTURES) or "plain"
    plural = count > 1
    shape = _need(reader, "a shape in the plural" if plural else "a shape in the singular", _BY_NUMBER[plural])
    return Group(count, colour, shape, texture)


def parse_caption(text: str) -> Scene:
    """The scene that a caption tells; the inverse of `caption` for every wording.

    Parameters
    ----------
    text : str
        Lower-case words of the grammar; white space between them is free.

    Raises
    ------
    InputError
        A word that the grammar does not have or not there; the message gives the word and its position.
    """
    reader = _Reader(text)
    ground = light = None
    while True:  # ground and light before the groups, in any order
        if ground is None and (ground := reader.take(_GROUNDS)) is not None:
            continue
        if light is None and (light := reader.take(_LIGHTS)) is not None:
            continue
        break
    if ground is None and light is None:
        reader.take({"opening": _OPENINGS})
    groups = [_group(reader)]
    relation = reader.take(_RELATIONS)
    if relation is not None:
        at = reader.at
        groups.append(_group(reader))
        if groups[1].shape == groups[0].shape:
            raise InputError(
                f"the group at word {at + 1} shows the shape of the first group, {groups[0].shape!r}.",
                argument="prompt",
                fix="Give the two groups different shapes.",
            )
    if ground is None:
        ground = _need(reader, "a ground or a relation" if relation is None else "a ground", _GROUNDS)
    if light is None:
        light = _need(reader, "a light", _LIGHTS)
    if reader.at < len(reader.words):
        raise InputError(
            f"the caption should end before word {reader.at + 1}, {reader.words[reader.at]!r}.", argument="prompt"
        )
    return Scene(tuple(groups), relation, ground, light)
