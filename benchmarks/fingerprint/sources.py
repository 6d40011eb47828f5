"""What the models of an ablation are shown, and the parts of their spectra that a row learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from benchmarks.fingerprint.rows import Source
from numpy.typing import NDArray
from torch import Tensor

from morelli.encoders.weights import short_hash
from morelli.fingerprint.learn.views import Views
from morelli.generators.zoo.world import draw, sample_scene
from morelli.synthesis.photos import Photos

SIDE = 256
Integers = NDArray[np.int64]


def shown(source: Source, photos: Photos, count: int) -> Photos:
    """Photographs, as many drawings, or half of each; ``count`` pictures in all (photographs: those there are)."""
    if source == "photographs":
        return photos
    drawings = drawn(count if source == "drawings" else count // 2)
    if source == "drawings":
        return Photos(drawings, f"drawings-{len(drawings)}")
    kept = photos.pixels[: count - len(drawings)]
    mixed = tuple(each for pair in zip(kept, drawings, strict=False) for each in pair)
    return Photos(mixed, f"{photos.digest}-and-{len(drawings)}-drawings")


def drawn(count: int) -> tuple[NDArray[np.uint8], ...]:
    """Pictures of the zoo's world, each of a scene of its own."""
    scenes = (sample_scene(np.random.default_rng([7, number])) for number in range(count))
    return tuple(draw(scene, number, SIDE) for number, scene in enumerate(scenes))


class Part:
    """Some classes of `Views`."""

    def __init__(self, views: Views, rows: Sequence[int]) -> None:
        self.views, self.rows = views, np.asarray(rows)
        self.names = [views.names[row] for row in rows]
        self.groups = [views.groups[row] for row in rows]
        self.limit, self.digest = views.limit, short_hash([views.digest, list(rows)])

    def spectra(self, classes: Integers, slots: Integers, step: int = 0) -> Tensor:
        """See `Views.spectra`."""
        return self.views.spectra(self.rows[classes], slots, step)
