"""Where the objects of a scene stand: side by side as the relation says, apart, and large enough to be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morelli.generators.zoo.world.scene import Scene

# Radii in pictures' sides, by count: alone in the picture, and beside another group. 0.1 is 12.8 of 64 pixels across.
_ALONE = {1: (0.2, 0.29), 2: (0.155, 0.21), 3: (0.135, 0.175)}
_BESIDE = {1: (0.145, 0.19), 2: (0.125, 0.155), 3: (0.115, 0.13)}
_EDGE = 0.02  # free margin around the picture and half of the gap between two groups
_TRIES = 32
_LEAN = 0.5  # how far two groups may be apart across their relation, in parts of how far they are along it


@dataclass(frozen=True, slots=True)
class Placed:
    """The members of one group.

    Attributes
    ----------
    centres : ndarray, shape (count, 2), float64
        (x, y) in pictures' sides, from the upper left corner, y down.
    radii, angles : ndarray, shape (count,), float64
        Radius in pictures' sides; turn in radians, clockwise.
    """

    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    angles: NDArray[np.float64]

    @property
    def centroid(self) -> NDArray[np.float64]:
        """Mean of the centres, shape (2,)."""
        return self.centres.mean(axis=0)


def _radii(rng: np.random.Generator, count: int, low: float, high: float) -> NDArray[np.float64]:
    return np.clip(rng.uniform(low, high) * rng.uniform(0.92, 1.08, count), low, high)


def _scattered(rng: np.random.Generator, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres anywhere in the picture that keep the members apart: the best of a few draws by their smallest gap."""
    count, largest = len(radii), radii.max()
    centres = rng.uniform(_EDGE + largest, 1 - _EDGE - largest, (_TRIES, count, 2))
    if count == 1:
        return centres[0]
    first, second = np.triu_indices(count, 1)
    gaps = np.hypot(*np.moveaxis(centres[:, first] - centres[:, second], -1, 0)) - (radii[first] + radii[second])
    smallest = gaps.min(axis=1)
    fits = np.flatnonzero(smallest > 0)
    return centres[fits[0] if len(fits) else smallest.argmax()]


def _in_row(rng: np.random.Generator, radii: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Centres in a strip ``low`` to ``high`` of the first axis, one after the other along the second."""
    largest, count = radii.max(), len(radii)
    across = rng.uniform(low + _EDGE + largest, high - _EDGE - largest, count)
    step = 2 * largest
    slack = 1 - 2 * _EDGE - count * step
    along = _EDGE + largest + step * np.arange(count) + np.sort(rng.uniform(0, slack, count))
    return np.stack([across, along], axis=1)


def _straighten(groups: list[NDArray[np.float64]], radii: list[NDArray[np.float64]]) -> None:
    """Slide groups along the second axis until their relation is plain: the displacement along it is the larger."""
    for i in sorted((0, 1), key=lambda i: len(groups[i])):  # the smaller group has more room
        along, across = groups[1 - i].mean(axis=0) - groups[i].mean(axis=0)
        excess = abs(across) - _LEAN * abs(along)
        if excess > 0:
            reach = _EDGE + radii[i].max()
            ends = groups[i][:, 1]
            room = 1 - reach - ends.max() if across > 0 else ends.min() - reach
            groups[i][:, 1] += np.sign(across) * min(excess, room)


def layout(scene: Scene, rng: np.random.Generator) -> tuple[Placed, ...]:
    """Places for the members of each group.

    Parameters
    ----------
    scene : Scene
    rng : numpy.random.Generator

    Returns
    -------
    tuple of Placed
        One per group. Two groups lie in two strips that do not meet, and their centroids differ more along the
        relation than across it.
    """
    counts = [group.count for group in scene.groups]
    if len(counts) == 1:
        radii = [_radii(rng, counts[0], *_ALONE[counts[0]])]
        centres = [_scattered(rng, radii[0])]
    else:
        radii = [_radii(rng, count, *_BESIDE[count]) for count in counts]
        widths = np.array([2 * (r.max() + _EDGE) for r in radii])
        # What the wider members leave free goes to either strip.
        free = 1 - widths.sum()
        first = widths[0] + free * rng.uniform(0.3, 0.7)
        leads = scene.relation in ("left of", "above")
        strips = [(0, first), (first, 1)] if leads else [(1 - first, 1), (0, 1 - first)]
        centres = [_in_row(rng, r, *strip) for r, strip in zip(radii, strips, strict=True)]
        _straighten(centres, radii)
        if scene.relation in ("above", "below"):
            centres = [each[:, ::-1] for each in centres]
    tilt = np.pi / 9
    return tuple(Placed(c, r, rng.uniform(-tilt, tilt, len(r))) for c, r in zip(centres, radii, strict=True))
