"""The embedded encoders with gradients: views, network and moments of `morelli.encoders.embedded` once more in torch.

The encoder itself cuts and resamples with numpy and Pillow and runs without gradients. Here every step is a
differentiable tensor operation on the same weights; tests hold the two together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from morelli.defence.linear import resized
from morelli.defence.matrix_log import matrix_log
from morelli.encoders.embedded import _FLAT, _RIDGE, EmbeddedEncoder, Layer
from morelli.encoders.views import _POSITIONS, MIN_SIDE, View
from morelli.errors import ImageTooSmallError
from morelli.fingerprint.median import median3
from morelli.types import EncoderStamp

# A channel without variance has no gradient of its deviation; below this it counts as constant.
_NO_VARIANCE = 1e-12


class EmbeddedSurrogate:
    """Differentiable form of an `EmbeddedEncoder`; keeps the contract of `morelli.defence.surrogate.Surrogate`."""

    def __init__(self, encoder: EmbeddedEncoder) -> None:
        self.encoder = encoder

    @property
    def stamp(self) -> EncoderStamp:
        return self.encoder.stamp

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Named vectors of one image (3, h, w) of levels 0–255: name → shape (d,).

        Raises
        ------
        ImageTooSmallError
            A side is shorter than a view needs.
        """
        height, width = pixels.shape[-2:]
        if min(height, width) < MIN_SIDE:
            raise ImageTooSmallError(
                f"the image has {width} × {height} pixels, and a view needs {MIN_SIDE} a side.", argument="pixels"
            )
        out: dict[str, Tensor] = {}
        for view in self.encoder.views:
            layers = [layer for layer in self.encoder.layers if layer.view == view.name]
            if layers:
                out |= self._view(view, layers, pixels)
        return {layer.name: out[layer.name] for layer in self.encoder.layers}

    def _view(self, view: View, layers: list[Layer], pixels: Tensor) -> dict[str, Tensor]:
        x = patches(view, pixels)
        zoom = view.zoom(x.shape[-1])
        if zoom > 1:
            x = x.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
        x = ((x - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
        network = self.encoder.network
        head = len(network.widths)
        wanted = [head if layer.block < 0 else layer.block for layer in layers]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.encoder.bfloat16):
            maps = network.blocks(x, wanted)
        return {layer.name: _moments(maps[at], layer.moment) for layer, at in zip(layers, wanted, strict=True)}


def patches(view: View, pixels: Tensor) -> Tensor:
    """`View.patches` with gradients: image (3, h, w) → (patches, 3, side, side), levels 0–255."""
    height, width = pixels.shape[-2:]
    if view.kind == "whole":
        if (height, width) == (view.side, view.side):
            return pixels[None]
        return resized(pixels, view.side, view.side, "lanczos" if min(height, width) >= view.side else "bicubic")[None]
    side = min(view.side, height, width)
    alone = max(height, width) < side + MIN_SIDE
    cut = []
    for down, across in _POSITIONS[: 1 if alone else view.count]:
        top, left = int((height - side) * down), int((width - side) * across)
        cut.append(pixels[:, top : top + side, left : left + side])
    x = torch.stack(cut)
    return ((x - median3(x)) * view.gain + 127.0).clamp(0.0, 255.0) if view.kind == "residual" else x


def _moments(maps: Tensor, moment: str) -> Tensor:
    """Moments of one image's feature maps (patches, c, h, w), averaged over the patches: shape (d,)."""
    x = maps.flatten(2).float()
    mean = x.mean(2)
    average = mean.mean(0)
    if moment == "none":
        return average
    centred = x - mean[:, :, None]
    if moment == "deviation":
        variance = centred.square().mean(2).mean(0)
        return torch.cat([average, variance.clamp_min(_NO_VARIANCE).sqrt()])
    covariance = (centred @ centred.transpose(1, 2) / x.shape[2]).mean(0)
    return torch.cat([average, _log_covariance(covariance)])


def _log_covariance(covariance: Tensor) -> Tensor:
    """`morelli.encoders.embedded.log_covariance` of one matrix (c, c): shape (c·(c + 1)/2,)."""
    c = len(covariance)
    scale = covariance.diagonal().mean()
    safe = torch.where(scale > 0, scale, torch.ones_like(scale))
    eye = torch.eye(c)
    logs = matrix_log((covariance / safe + _RIDGE * eye).double(), _RIDGE / 2)
    matrix = logs + (scale + _FLAT).double().log() * eye.double()
    rows, columns = torch.triu_indices(c, c)
    weight = torch.where(rows == columns, 1.0, 2.0**0.5)
    return (matrix[rows, columns] * weight).float()
