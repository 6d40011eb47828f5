"""Signed distances to the eight shapes, kept as tables that drawing only looks up."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.floating]

REACH = 2.0  # a table covers -REACH to REACH in units of the shape's radius
SIDE = 512  # samples along a side of a table: 1/128 of a radius apart, well under a sub-pixel
_COARSE = 256


def _polygon(x: Array, y: Array, corners: NDArray[np.float64]) -> Array:
    """Distance to a closed polygon, negative inside (even-odd rule)."""
    distance = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        ex, ey = bx - ax, by - ay
        along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        distance = np.minimum(distance, np.hypot(x - ax - along * ex, y - ay - along * ey))
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < ax + (y - ay) / (by - ay) * ex)
    return np.where(inside, -distance, distance).astype(np.float32)


def _turn(radii: list[float]) -> NDArray[np.float64]:
    """Corners at equal angles from the top, clockwise, at the given radii."""
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    return np.asarray(radii)[:, None] * np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def _heart() -> NDArray[np.float64]:
    t = 2 * np.pi * np.arange(72) / 72
    down = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([16 * np.sin(t) ** 3 / 16.5, (down - 2.5) / 16.5], axis=1)


def _cross() -> NDArray[np.float64]:
    a, b = 0.32, 0.98
    quarter = np.array([(a, -a), (a, -b), (-a, -b)])
    turn = np.array([(0, -1), (1, 0)])  # a quarter turn; four of them close the outline
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


def _crescent() -> NDArray[np.float64]:
    """The unit circle less a circle of radius 0.84 about (0.46, 0), moved so that its middle is at the origin."""
    tip_x = (1 - 0.84**2 + 0.46**2) / (2 * 0.46)
    tip = np.arctan2(np.sqrt(1 - tip_x**2), tip_x)
    inner = np.arctan2(np.sqrt(1 - tip_x**2), tip_x - 0.46)
    outside = np.linspace(tip, 2 * np.pi - tip, 48)
    inside = np.linspace(2 * np.pi - inner, inner, 40)[1:-1]
    back = np.stack([np.cos(outside), np.sin(outside)], axis=1)
    front = np.stack([0.46 + 0.84 * np.cos(inside), 0.84 * np.sin(inside)], axis=1)
    return np.concatenate([back, front]) + np.array([0.22, 0.0])


def _distance(shape: str, x: Array, y: Array) -> Array:
    if shape == "circle":
        return np.hypot(x, y) - 0.92
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.7) - 0.27
    if shape == "square":
        dx, dy = np.abs(x) - 0.8, np.abs(y) - 0.8
        return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)
    corners = {
        "triangle": _turn([1.12] * 3) + np.array([0.0, 0.2]),
        "star": _turn([1.12, 0.5] * 5) + np.array([0.0, 0.06]),
        "cross": _cross(),
        "heart": _heart(),
        "crescent": _crescent(),
    }
    return _polygon(x, y, corners[shape])


@cache
def table(shape: str) -> Array:
    """Signed distances of one shape of radius 1, y down.

    Parameters
    ----------
    shape : str
        One of ``SHAPES``.

    Returns
    -------
    ndarray, shape (SIDE * SIDE,), float32
        Row by row; sample (i, j) lies at (j + 0.5, i + 0.5) * 2 * REACH / SIDE - REACH, negative inside.
    """
    axis = ((np.arange(_COARSE) + 0.5) * 2 * REACH / _COARSE - REACH).astype(np.float32)
    values = _distance(shape, axis[None, :] + 0 * axis[:, None], axis[:, None] + 0 * axis[None, :])
    fine = Image.fromarray(values.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(fine).ravel()


def look_up(values: Array, u: Array, v: Array) -> Array:
    """Distances at points in units of the radius; points outside the table get those at its edge.

    Parameters
    ----------
    values : ndarray, shape (SIDE * SIDE,), float32
        From `table`.
    u, v : ndarray of one shape, float32
        Across and down, in the shape's own turned frame.

    Returns
    -------
    ndarray of the shape of ``u``, float32
    """
    scale, shift = SIDE / (2 * REACH), SIDE / 2
    column = np.clip(u * scale + shift, 0, SIDE - 1).astype(np.int32)
    row = np.clip(v * scale + shift, 0, SIDE - 1).astype(np.int32)
    return values[row * SIDE + column]
