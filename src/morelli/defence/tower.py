"""Vision towers of the transformers library with gradients: CLIP, SigLIP, DINO, ViT and their relatives.

The values are the processor's own; the gradient is that of the resampling, cropping and scaling that its
configuration prescribes. Both are compared once, so that a processor of another kind is refused and not approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from morelli.defence.levels import to_levels, to_pixels
from morelli.defence.linear import resize_matrix
from morelli.encoders.catalogue import _split
from morelli.encoders.transformers_vision import TransformersEncoder
from morelli.encoders.vision_layers import read_layers
from morelli.encoders.vision_tower import load_preprocess
from morelli.encoders.weights import find_checkpoint
from morelli.errors import NotDifferentiableError
from morelli.images.degrade import RESAMPLERS
from morelli.types import EncoderStamp

_NAMES = {int(value): name for name, value in RESAMPLERS.items()}
_TORCH_MODES = {"bilinear": 2, "bicubic": 3}
# Largest mean distance between the processor's values and the smooth form's, standard deviations of its scaling.
_ALIKE = 0.02


@dataclass(frozen=True)
class Prescription:
    """What a processor does to pixels: resize, crop the centre, scale.

    Attributes
    ----------
    height, width : int or None
        After resizing; None for both where ``shortest`` says it.
    shortest : int or None
        Of the shorter side after resizing, aspect kept.
    crop : (int, int) or None
    resample : str
        A key of `morelli.images.degrade.RESAMPLERS`.
    factor : float
        On levels.
    mean, std : tuple of float
    """

    height: int | None
    width: int | None
    shortest: int | None
    crop: tuple[int, int] | None
    resample: str
    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """The network's input for an image (3, h, w) of levels, without the processor's roundings: (1, 3, H, W)."""
        h, w = x.shape[-2:]
        height, width = self._size(h, w)
        x = resize_matrix(h, height, self.resample) @ x @ resize_matrix(w, width, self.resample).T
        if self.crop is not None:
            top, left = (height - self.crop[0]) // 2, (width - self.crop[1]) // 2
            x = x[:, top : top + self.crop[0], left : left + self.crop[1]]
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return ((x * self.factor - mean) / std)[None]

    def _size(self, h: int, w: int) -> tuple[int, int]:
        if self.shortest is None:
            return self.height or h, self.width or w
        if h <= w:
            return self.shortest, int(self.shortest * w / h)
        return int(self.shortest * h / w), self.shortest


def prescription(words: Mapping[str, Any]) -> Prescription | None:
    """A processor's configuration in words as a `Prescription`; None where it does something else."""
    size: dict[str, Any] = dict(words.get("size") or {})
    resample: Any = words.get("resample", 2)
    kind: Any = _TORCH_MODES.get(resample, resample) if isinstance(resample, str) else resample
    fixed = {"height", "width"} <= size.keys()
    shortest: Any = size.get("shortest_edge")
    if kind not in _NAMES or not (fixed or shortest):
        return None
    crop = words.get("crop_size") if words.get("do_center_crop") else None
    normalised = words.get("do_normalize", True)
    return Prescription(
        int(size["height"]) if fixed else None,
        int(size["width"]) if fixed else None,
        None if fixed else int(shortest),
        None if crop is None else (int(crop["height"]), int(crop["width"])),
        _NAMES[kind],
        float(words.get("rescale_factor", 1 / 255)) if words.get("do_rescale", True) else 1.0,
        tuple(words["image_mean"]) if normalised else (0.0, 0.0, 0.0),
        tuple(words["image_std"]) if normalised else (1.0, 1.0, 1.0),
    )


class TowerSurrogate:
    """Differentiable form of a `TransformersEncoder`; keeps the contract of `morelli.defence.surrogate.Surrogate`.

    Raises
    ------
    NotDifferentiableError
        Its processor does something other than resizing, cropping and scaling.
    """

    def __init__(self, encoder: TransformersEncoder) -> None:
        self.encoder = encoder
        source = _split(encoder.stamp.encoder)[0]
        found = prescription(load_preprocess(find_checkpoint(source).folder)[1])
        if found is None or not _agrees(encoder, found):
            raise NotDifferentiableError(
                f"the processor of {encoder.stamp.encoder} does more than resizing, cropping and scaling, and no "
                "gradient is known for it.",
                argument="surrogate",
                fix="Take another encoder, or the defence canonical, which needs no gradients.",
            )
        self.prescription = found

    @property
    def stamp(self) -> EncoderStamp:
        return self.encoder.stamp

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Named vectors of one image (3, h, w) of levels 0–255: name → shape (d,), float32."""
        encoder = self.encoder
        smooth = self.prescription(pixels)
        exact = encoder.prepare(to_pixels(pixels))["pixel_values"]
        inputs = {"pixel_values": (smooth + (exact - smooth.detach())).to(encoder._device)}
        with torch.autocast(encoder._device.type, torch.bfloat16, enabled=encoder._autocast):
            outputs = encoder._tower.model(**inputs, output_hidden_states=True)
            found = read_layers(encoder._tower, outputs, inputs, encoder.layers)
        return {name: found[name][0].float().cpu() for name in encoder.stamp.dims}


def _agrees(encoder: TransformersEncoder, found: Prescription) -> bool:
    """Whether the processor gives what the prescription says, on a picture that shows every difference."""
    levels = np.linspace(0, 255, 61 * 83 * 3).reshape(83, 61, 3)
    probe = np.asarray((levels * 7) % 256, dtype=np.uint8)
    given = encoder.prepare(probe)
    if set(given) != {"pixel_values"}:
        return False
    want, got = given["pixel_values"], found(to_levels(probe))
    return want.shape == got.shape and float((want - got).abs().mean()) < _ALIKE / min(found.std) / 2
