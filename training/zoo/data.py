"""The training set: pictures of train scenes with captions, drawn once to disk.

A folder of plain arrays: drawing costs as much as a training step of a small model, and each picture is seen many
times.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training.zoo.text import LENGTH, encode

from morelli.generators.zoo.world import (
    COLOURS,
    GROUNDS,
    LIGHTS,
    RELATIONS,
    SHAPES,
    TEXTURES,
    Scene,
    caption,
    draw_batch,
    placed_objects,
    sample_scene,
)

SIZE = 64
GRID = 16
"""Positions a side of the maps that say where objects are."""
WORDINGS = 3  # the canonical one and two others
_CHUNK = 1000

#: Columns of the attributes: for each shape count, colour and texture, then relation, ground and light.
KINDS: tuple[int, ...] = (4, len(COLOURS), len(TEXTURES)) * len(SHAPES) + (
    len(RELATIONS) + 1,
    len(GROUNDS),
    len(LIGHTS),
)
IGNORED = -1


def attributes(scene: Scene) -> NDArray[np.int8]:
    """What a scene shows as class numbers.

    Returns
    -------
    ndarray, shape (len(KINDS),), int8
        Colour and texture of a shape that is not there are `IGNORED`. The relation is told from the shape that comes
        first in ``SHAPES``, so that both ways to tell one arrangement give one number.
    """
    out = np.full(len(KINDS), IGNORED, dtype=np.int8)
    out[: 3 * len(SHAPES) : 3] = 0
    for group in scene.groups:
        at = 3 * SHAPES.index(group.shape)
        out[at : at + 3] = group.count, COLOURS.index(group.colour), TEXTURES.index(group.texture)
    out[-3:] = 0, GROUNDS.index(scene.ground), LIGHTS.index(scene.light)
    if scene.relation is not None:
        place = RELATIONS.index(scene.relation)
        first, second = (SHAPES.index(group.shape) for group in scene.groups)
        out[-3] = 1 + (place if first < second else place ^ 1)  # RELATIONS lists each beside its inverse
    return out


def map_objects(scene: Scene, seed: int) -> NDArray[np.uint8]:
    """What each position of a drawn picture shows, shape (GRID, GRID): a code that `split_code` reads, 0 for no object.

    An object fills the circle around it and half a position more.
    """
    middle = (np.arange(GRID) + 0.5) / GRID
    out = np.zeros((GRID, GRID), dtype=np.uint8)
    for group, placed in zip(scene.groups, placed_objects(scene, seed), strict=True):
        kind = SHAPES.index(group.shape) * len(COLOURS) + COLOURS.index(group.colour)
        code = 1 + kind * len(TEXTURES) + TEXTURES.index(group.texture)
        for (x, y), radius in zip(placed.centres, placed.radii, strict=True):
            out[np.hypot(middle[None, :] - x, middle[:, None] - y) < radius + 0.5 / GRID] = code
    return out


def split_code(codes: Any) -> tuple[Any, Any, Any]:
    """Shape (0 for none, else 1 and its place in ``SHAPES``), colour and texture of codes; 0 where there is no object.

    Parameters
    ----------
    codes : int64 tensor or array of any shape
    """
    kind = (codes - 1).clip(0)
    there = codes > 0
    return (
        (1 + kind // (len(COLOURS) * len(TEXTURES))) * there,
        kind // len(TEXTURES) % len(COLOURS),
        kind % len(TEXTURES),
    )


@dataclass(frozen=True)
class Pictures:
    """A drawn training set.

    Attributes
    ----------
    folder : Path
        Holds ``pixels.npy``, ``tokens.npy``, ``objects.npy`` and ``attributes.npy``, made by `draw_set`.
    """

    folder: Path

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """Shape (n, 64, 64, 3); read whole, for rows are drawn at random and a mapped file would be read from disk."""
        return np.load(self.folder / "pixels.npy")

    @cached_property
    def tokens(self) -> NDArray[np.uint8]:
        """Shape (n, WORDINGS, LENGTH)."""
        return np.load(self.folder / "tokens.npy")

    @cached_property
    def objects(self) -> NDArray[np.uint8]:
        """Shape (n, GRID, GRID), see `map_objects`."""
        return np.load(self.folder / "objects.npy")

    @cached_property
    def attributes(self) -> NDArray[np.int8]:
        """Shape (n, len(KINDS)), see `attributes`."""
        return np.load(self.folder / "attributes.npy")

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Places of ``count`` pictures drawn with replacement, in ascending order."""
        return np.sort(rng.integers(len(self), size=count))

    def wording(self, rng: np.random.Generator, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Token ids of the rows' captions, shape (n, LENGTH): the canonical wording for half of them."""
        which = np.where(rng.random(len(rows)) < 0.5, 0, rng.integers(1, WORDINGS, size=len(rows)))
        return self.tokens[rows, which].astype(np.int64)


def draw_set(folder: Path, count: int, seed: int = 0, workers: int = 1) -> Pictures:
    """Draw ``count`` pictures of train scenes; a set that is already there and long enough is kept.

    Parameters
    ----------
    folder : Path
    count : int
    seed : int
    workers : int
        Processes; the pictures do not depend on it.
    """
    drawn = folder / "drawn.json"
    known = json.loads(drawn.read_text()) if drawn.is_file() else {}
    if known.get("seed") == seed and known.get("count", 0) >= count:
        return Pictures(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawn.unlink(missing_ok=True)  # from here on the set is not whole
    part = folder / "pixels.part.npy"
    pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(count, SIZE, SIZE, 3))
    tokens = np.zeros((count, WORDINGS, LENGTH), dtype=np.uint8)
    objects = np.zeros((count, GRID, GRID), dtype=np.uint8)
    labels = np.zeros((count, len(KINDS)), dtype=np.int8)
    chunks = [(start, min(_CHUNK, count - start), seed) for start in range(0, count, _CHUNK)]
    with ProcessPoolExecutor(workers) as pool:
        for (start, size, _), made in zip(chunks, pool.map(_draw_chunk, chunks), strict=True):
            rows = slice(start, start + size)
            pixels[rows], tokens[rows], objects[rows], labels[rows] = made
            print(f"drawn {start + size} of {count}", flush=True)
    pixels.flush()
    part.rename(folder / "pixels.npy")
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "objects.npy", objects)
    np.save(folder / "attributes.npy", labels)
    drawn.write_text(json.dumps({"seed": seed, "count": count}))  # last: its presence says that the set is whole
    return Pictures(folder)


def _draw_chunk(chunk: tuple[int, int, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pixels, tokens, objects and attributes from picture ``start`` on, which depend on it and the seed alone."""
    start, size, seed = chunk
    rng = np.random.default_rng([seed, start])
    scenes = [sample_scene(rng, "train") for _ in range(size)]
    texts = [caption(scene, None if i == 0 else rng) for scene in scenes for i in range(WORDINGS)]
    seeds = [seed * 10**9 + start + i for i in range(size)]
    tokens = encode(texts).astype(np.uint8).reshape(size, WORDINGS, LENGTH)
    objects = np.stack([map_objects(scene, one) for scene, one in zip(scenes, seeds, strict=True)])
    return draw_batch(scenes, seeds, SIZE), tokens, objects, np.stack([attributes(scene) for scene in scenes])
