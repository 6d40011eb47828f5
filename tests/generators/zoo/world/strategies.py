"""Scenes for property tests, built from the tables and not by the sampler under test."""

from __future__ import annotations

from hypothesis import strategies as st

from morelli.generators.zoo.world import COLOURS, GROUNDS, LIGHTS, RELATIONS, SHAPES, TEXTURES, Group, Scene


@st.composite
def scenes(draw: st.DrawFn, groups: int | None = None) -> Scene:
    """Any scene; ``groups`` fixes how many groups it has."""
    count = groups or draw(st.integers(1, 2))
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=count, max_size=count, unique=True))
    made = tuple(
        Group(draw(st.integers(1, 3)), draw(st.sampled_from(COLOURS)), shape, draw(st.sampled_from(TEXTURES)))
        for shape in shapes
    )
    relation = draw(st.sampled_from(RELATIONS)) if count == 2 else None
    return Scene(made, relation, draw(st.sampled_from(GROUNDS)), draw(st.sampled_from(LIGHTS)))


seeds = st.integers(0, 2**40)
