"""One group's members on the canvas: soft shadow, pattern, shading, edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morelli.generators.zoo.world.layout import Placed
from morelli.generators.zoo.world.scene import Group
from morelli.generators.zoo.world.shapes import look_up, table

Array = NDArray[np.floating]

# Each colour with the second one of its patterns: light on dark colours, dark on light ones.
PALETTE: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "red": ((222, 30, 36), (255, 176, 168)),
    "orange": ((250, 128, 14), (104, 44, 4)),
    "yellow": ((252, 222, 40), (120, 92, 6)),
    "green": ((30, 170, 58), (6, 66, 24)),
    "cyan": ((44, 212, 220), (6, 82, 96)),
    "blue": ((38, 72, 226), (168, 190, 255)),
    "purple": ((146, 48, 190), (230, 178, 250)),
    "white": ((248, 248, 246), (92, 92, 98)),
}
_SUB = 2  # samples a pixel along each axis; the shapes' edges are smoothed analytically on top of it


def _windows(
    placed: Placed, size: int, reach: float, shift: tuple[float, float], sub: int
) -> tuple[NDArray[np.int64], Array, Array, tuple[Array, Array]]:
    """Upper left corners (count, 2) of square windows around the members, and their sample places.

    The places are u, v (count, side, side) in units of each radius and in its turned frame, and last the same places
    not turned, x (count, 1, side) and y (count, side, 1).
    """
    radii = placed.radii * size
    side = int(np.ceil(2 * reach * radii.max())) + 2
    centres = placed.centres * size + shift
    corners = np.floor(centres - side / 2 + 0.5).astype(np.int64)
    steps = (np.arange(side * sub) + 0.5) / sub
    scale = 1 / radii
    x = ((corners[:, :1] - centres[:, :1] + steps) * scale[:, None]).astype(np.float32)[:, None, :]
    y = ((corners[:, 1:] - centres[:, 1:] + steps) * scale[:, None]).astype(np.float32)[:, :, None]
    c = np.cos(placed.angles).astype(np.float32)[:, None, None]
    s = np.sin(placed.angles).astype(np.float32)[:, None, None]
    return corners, c * x + s * y, c * y - s * x, (x, y)


def _clipped(corner: NDArray[np.int64], side: int, size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a window that lies on the canvas, in the canvas's rows and columns and in the window's."""
    left, top = int(corner[0]), int(corner[1])
    rows, columns = slice(max(top, 0), min(top + side, size)), slice(max(left, 0), min(left + side, size))
    inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return (rows, columns), inside


def cast_shadow(canvas: Array, group: Group, placed: Placed, direction: tuple[float, float], strength: float) -> None:
    """Darken the canvas where the group's members keep the light off.

    Parameters
    ----------
    canvas : ndarray, shape (size, size, 3), float32
        Changed in place.
    group, placed
        What and where.
    direction : (float, float)
        Where the shadow falls, (x, y) in pixels.
    strength : float
        0–1.
    """
    size = len(canvas)
    corners, u, v, _ = _windows(placed, size, 1.55, direction, 1)
    distance = look_up(table(group.shape), u, v)
    soft = np.clip(0.5 - distance * np.float32(1 / 0.55), 0, 1)
    dark = 1 - np.float32(strength) * soft * soft * (3 - 2 * soft)
    for corner, plane in zip(corners, dark, strict=True):
        where, part = _clipped(corner, plane.shape[0], size)
        canvas[where] *= plane[part][:, :, None]


def _pattern(texture: str, rng: np.random.Generator, u: Array, v: Array) -> Array | None:
    """Share of the second colour, 0–1, or None for a plain group. Lengths are in radii."""
    if texture == "plain":
        return None
    turn, period = rng.uniform(0, np.pi), np.float32(rng.uniform(0.56, 0.66))
    c, s = np.float32(np.cos(turn) / period), np.float32(np.sin(turn) / period)
    a = c * u + s * v + np.float32(rng.random())
    if texture == "striped":
        return np.clip(0.5 + 5 * (np.abs(a % 1 - 0.5) - 0.27), 0, 1)
    b = c * v - s * u + np.float32(rng.random())
    a, b = a % 1 - 0.5, b % 1 - 0.5
    return np.clip(0.5 + 5 * (0.31 - np.sqrt(a * a + b * b)), 0, 1)


def _halve(plane: Array) -> Array:
    rows = plane[:, 0::2] + plane[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)


def put_group(
    canvas: Array, group: Group, placed: Placed, light: tuple[float, float], rng: np.random.Generator
) -> None:
    """Draw the members of one group over the canvas.

    Parameters
    ----------
    canvas : ndarray, shape (size, size, 3), float32
        Changed in place.
    group, placed
        What and where.
    light : (float, float)
        Unit vector towards the light, (x, y).
    rng : numpy.random.Generator
        Jitter of the colour, phase and turn of the pattern.
    """
    size = len(canvas)
    corners, u, v, (x, y) = _windows(placed, size, 1.25, (0.0, 0.0), _SUB)
    distance = look_up(table(group.shape), u, v)
    sharp = (placed.radii * size * _SUB).astype(np.float32)[:, None, None]
    cover = np.clip(0.5 - distance * sharp, 0, 1)
    # Lit from one side, darker towards the edge, with a soft bright spot on the lit side.
    lit = np.float32(light[0]) * x + np.float32(light[1]) * y
    edge = np.clip(1 + distance * np.float32(1 / 0.24), 0, 1)
    tone = cover * ((1 + 0.16 * lit) * (1 - 0.34 * edge * edge))
    pattern = _pattern(group.texture, rng, u, v)
    if pattern is not None:  # a rim in the first colour keeps the outline readable
        pattern *= np.clip(distance * np.float32(-1 / 0.13), 0, 1)
    jitter = rng.uniform(-0.035, 0.035, (2, 3)).astype(np.float32)
    first, second = np.clip(np.asarray(PALETTE[group.colour], np.float32) / 255 + jitter, 0, 1)
    left = 1 - _halve(cover)
    all_tone = _halve(tone)
    other = None if pattern is None else _halve(tone * pattern)
    for i, corner in enumerate(corners):
        where, part = _clipped(corner, left.shape[1], size)
        paint = all_tone[i][part][:, :, None] * first
        if other is not None:
            paint += other[i][part][:, :, None] * (second - first)
        canvas[where] = canvas[where] * left[i][part][:, :, None] + paint
