from __future__ import annotations

import math

import numpy as np
import pytest

from morelli.generators.zoo.world import SHAPES
from morelli.generators.zoo.world.shapes import REACH, SIDE, look_up, table

STEP = 2 * REACH / SIDE
# A star is ten triangles with sides 1.12 and 0.5; the lens of two circles by its textbook formula.
R, r, d = 1.0, 0.84, 0.46
LENS = (
    r**2 * math.acos((d**2 + r**2 - R**2) / (2 * d * r))
    + R**2 * math.acos((d**2 + R**2 - r**2) / (2 * d * R))
    - 0.5 * math.sqrt((-d + r + R) * (d + r - R) * (d - r + R) * (d + r + R))
)
AREAS = {
    "circle": math.pi * 0.92**2,
    "square": 1.6**2,
    "triangle": 3 * 0.5 * 1.12**2 * math.sin(2 * math.pi / 3),
    "star": 10 * 0.5 * 1.12 * 0.5 * math.sin(math.pi / 5),
    "ring": math.pi * (0.97**2 - 0.43**2),
    "cross": 4 * 0.64 * (0.98 - 0.32) + 0.64**2,
    "crescent": math.pi * R**2 - LENS,
}


def image(shape: str) -> np.ndarray:
    return table(shape).reshape(SIDE, SIDE)


@pytest.mark.parametrize("shape", AREAS)
def test_area_is_the_one_of_geometry(shape: str) -> None:
    assert (image(shape) < 0).sum() * STEP**2 == pytest.approx(AREAS[shape], rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_distances_to_the_outline(shape: str) -> None:
    values = image(shape)
    inside = values < 0
    rows, columns = np.nonzero(inside[:-1] != inside[1:])
    outline = [np.stack([columns + 0.5, rows + 1.0], axis=1)]
    rows, columns = np.nonzero(inside[:, :-1] != inside[:, 1:])
    outline.append(np.stack([columns + 1.0, rows + 0.5], axis=1))
    points = np.concatenate(outline) * STEP - REACH
    rng = np.random.default_rng(0)
    for row, column in rng.integers(0, SIDE, (300, 2)):
        place = np.array([column + 0.5, row + 0.5]) * STEP - REACH
        nearest = np.hypot(*(points - place).T).min()
        # The outline of the samples ends a few of them before a sharp tip does, so it may be farther, hardly nearer.
        assert -6 * STEP < abs(values[row, column]) - nearest < STEP


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_radius_and_sit_in_the_middle(shape: str) -> None:
    rows, columns = np.nonzero(image(shape) < 0)
    places = np.stack([columns, rows], axis=1) * STEP - REACH
    assert 0.9 < np.hypot(*places.T).max() < 1.3
    assert np.abs(places.mean(axis=0)).max() < 0.25


def test_look_up_finds_the_place_and_keeps_to_the_edge() -> None:
    u = np.array([0.0, 1.0, 0.5, 9.0], np.float32)
    v = np.array([0.0, 0.0, -0.5, 0.0], np.float32)
    got = look_up(table("circle"), u, v)
    assert got[:3] == pytest.approx([-0.92, 0.08, math.sqrt(0.5) - 0.92], abs=0.02)
    assert got[3] == pytest.approx(REACH - 0.92, abs=0.02)
