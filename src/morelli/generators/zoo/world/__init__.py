"""The mini-zoo's world: drawn scenes of coloured shapes, and a grammar that tells them."""

from morelli.generators.zoo.world.draw import draw, draw_batch, placed_objects
from morelli.generators.zoo.world.grammar import WORDS, caption, parse_caption
from morelli.generators.zoo.world.scene import (
    COLOURS,
    COUNTS,
    GROUNDS,
    LIGHTS,
    RELATIONS,
    SHAPES,
    TEXTURES,
    Group,
    Scene,
    sample_scene,
    split_of,
)
from morelli.generators.zoo.world.split import prompts

__all__ = [
    "COLOURS",
    "COUNTS",
    "GROUNDS",
    "LIGHTS",
    "RELATIONS",
    "SHAPES",
    "TEXTURES",
    "WORDS",
    "Group",
    "Scene",
    "caption",
    "draw",
    "draw_batch",
    "parse_caption",
    "placed_objects",
    "prompts",
    "sample_scene",
    "split_of",
]
