"""The reader: does a picture show what its prompt asks for?

A classifier of its own, trained on drawn scenes and never on a model's pictures::

    python -m training.zoo.reader train --out training/zoo/reader.safetensors --steps 1200
    python -m training.zoo.reader check --weights training/zoo/reader.safetensors
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from training.zoo.reader_data import spoil, to_tensor
from training.zoo.reader_net import SIDE, ReaderNet

from morelli.errors import InputError, WeightsError
from morelli.generators.zoo.world import COLOURS, SHAPES, TEXTURES, caption, draw, parse_caption, sample_scene

WEIGHTS = Path(__file__).with_name("reader.safetensors")
_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Reading:
    """What is read in n pictures, for each of the eight shapes in the order of ``SHAPES``.

    Attributes
    ----------
    counts : ndarray, shape (n, 8), int64
        0–3.
    colours, textures : ndarray, shape (n, 8), int64
        Places in ``COLOURS`` and ``TEXTURES``; without meaning where the count is 0.
    centroids : ndarray, shape (n, 8, 2), float32
        x and y of the middle of the shape's objects, 0–1; without meaning where the count is 0.
    """

    counts: NDArray[np.int64]
    colours: NDArray[np.int64]
    textures: NDArray[np.int64]
    centroids: NDArray[np.float32]


@cache
def load_reader(path: Path = WEIGHTS) -> ReaderNet:
    """The trained network, fp32, in evaluation mode.

    Raises
    ------
    WeightsError
        No file at ``path``.
    """
    if not path.exists():
        raise WeightsError(
            f"there is no reader at {path}.", argument="reader", fix="Train it: python -m training.zoo.reader train"
        )
    net = ReaderNet()
    missing, unexpected = net.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
    wrong = [*unexpected, *(name for name in missing if not name.endswith("num_batches_tracked"))]
    if wrong:
        raise WeightsError(f"the reader at {path} has other layers: {', '.join(wrong[:4])}.", argument="reader")
    return net.eval()


def _stacked(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = np.asarray(images)
    if pixels.ndim != 4 or pixels.shape[1:] != (SIDE, SIDE, 3) or pixels.dtype != np.uint8:
        raise InputError(
            f"must be pictures (n, {SIDE}, {SIDE}, 3) of uint8, came {pixels.shape} of {pixels.dtype}.",
            argument="images",
        )
    return pixels


@torch.inference_mode()
def read(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], reader: ReaderNet | None = None) -> Reading:
    """What the reader sees.

    Parameters
    ----------
    images : ndarray, shape (n, 64, 64, 3), uint8, or a sequence of such pictures
    reader : ReaderNet, optional
        Default the one that lies beside this file.

    Raises
    ------
    InputError
        Images of another shape or type.
    WeightsError
        The reader has not been trained.
    """
    pixels = _stacked(images)
    net = load_reader() if reader is None else reader
    device = net.heat.weight.device
    parts: dict[str, list[NDArray]] = {"count": [], "colour": [], "texture": [], "centroid": []}
    for start in range(0, len(pixels), _AT_ONCE):
        seen = net(to_tensor(pixels[start : start + _AT_ONCE]).to(device))
        for name, values in parts.items():
            values.append((seen[name] if name == "centroid" else seen[name].argmax(dim=2)).cpu().numpy())
    counts, colours, textures, centroids = (np.concatenate(values) for values in parts.values())
    return Reading(counts, colours, textures, centroids)


def relation_between(first: NDArray[np.float32], second: NDArray[np.float32]) -> str:
    """Where ``first`` lies as seen from ``second``, both (x, y) with y down: the larger displacement decides."""
    across, down = (float(d) for d in first - second)
    if abs(across) >= abs(down):
        return "left of" if across < 0 else "right of"
    return "above" if down < 0 else "below"


def agreement(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], prompts: Sequence[str], reader: ReaderNet | None = None
) -> dict[str, float]:
    """How often the pictures show what their prompts ask for.

    Parameters
    ----------
    images : ndarray, shape (n, 64, 64, 3), uint8, or a sequence of such pictures
    prompts : sequence of str
        One for each picture, any wording of the grammar.
    reader : ReaderNet, optional
        Default the one that lies beside this file.

    Returns
    -------
    dict of str to float, 0–1
        objects: pictures whose shapes are exactly the prompt's. colours, counts: groups of the prompts whose colour or
        count is read right; a shape that is not seen is wrong. relations: prompts of two groups whose relation is
        read right; both shapes must be seen; NaN where no prompt has two groups.

    Raises
    ------
    InputError
        No picture, not as many prompts as pictures, images of another shape, a prompt outside the grammar.
    WeightsError
        The reader has not been trained.
    """
    if len(images) != len(prompts) or not len(prompts):
        raise InputError(f"{len(prompts)} prompts for {len(images)} pictures; give one each.", argument="prompts")
    scenes = [parse_caption(prompt) for prompt in prompts]
    seen = read(images, reader)
    right: dict[str, list[bool]] = {"objects": [], "colours": [], "counts": [], "relations": []}
    for i, scene in enumerate(scenes):
        asked = [SHAPES.index(group.shape) for group in scene.groups]
        right["objects"].append(set(np.flatnonzero(seen.counts[i])) == set(asked))
        for k, group in zip(asked, scene.groups, strict=True):
            there = bool(seen.counts[i, k] > 0)
            right["colours"].append(there and COLOURS[seen.colours[i, k]] == group.colour)
            right["counts"].append(bool(seen.counts[i, k] == group.count))
        if scene.relation is not None:
            relation = relation_between(*seen.centroids[i, asked])
            right["relations"].append(bool((seen.counts[i, asked] > 0).all()) and relation == scene.relation)
    return {name: float(np.mean(values)) if values else math.nan for name, values in right.items()}


def check(reader: ReaderNet, count: int = 2000, seed: int = 0) -> dict[str, dict[str, float]]:
    """The reader's own agreement on test scenes as they are drawn, and spoiled as in training."""
    rng = np.random.default_rng([seed, 1])
    scenes = [sample_scene(rng, "test") for _ in range(count)]
    pixels = np.stack([draw(scene, int(rng.integers(2**31)), SIDE) for scene in scenes])
    spoiled = (spoil(pixels, rng).permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    texts = [caption(scene, rng) for scene in scenes]
    out = {}
    for name, images in (("drawn", pixels), ("spoiled", spoiled)):
        textures = read(images, reader).textures
        hits = [
            TEXTURES[textures[i, SHAPES.index(group.shape)]] == group.texture
            for i, scene in enumerate(scenes)
            for group in scene.groups
        ]
        out[name] = agreement(images, texts, reader) | {"textures": float(np.mean(hits))}
    return out


def main() -> None:
    """Command line: ``train`` or ``check``."""
    parser = argparse.ArgumentParser(prog="python -m training.zoo.reader", description="Train or check the reader.")
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train it on drawn scenes; goes on where it was interrupted")
    training.add_argument("--out", type=Path, default=WEIGHTS)
    training.add_argument("--steps", type=int, default=1200)
    training.add_argument("--seed", type=int, default=0)
    checking = commands.add_parser("check", help="measure it on test scenes")
    checking.add_argument("--weights", type=Path, default=WEIGHTS)
    checking.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command == "train":
        from training.zoo.reader_train import train

        train(options.out, options.steps, options.seed)
        print(json.dumps(check(load_reader(options.out)), indent=2))
    else:
        print(json.dumps(check(load_reader(options.weights), options.count), indent=2))


if __name__ == "__main__":
    main()
