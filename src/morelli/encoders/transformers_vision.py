"""Any vision tower of the transformers library: CLIP, SigLIP, DINO and their relatives, at any depth."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from morelli.devices import choose_device
from morelli.encoders.vision_layers import check_names, read_layers, shorten
from morelli.encoders.vision_tower import load_preprocess, load_tower, vision_config
from morelli.encoders.weights import find_checkpoint, short_hash
from morelli.errors import ImageError, InputError, UnknownNameError, WeightsError
from morelli.images.pixels import check_pixels
from morelli.types import EncoderStamp

# Low and middle blocks tell generators apart better than the last layer does.
_DEFAULT_DEPTHS = (0.25, 0.5, 0.75)
_MAX_ASPECT = 100


class TransformersEncoder:
    """Vectors from chosen layers of a vision tower, with the preprocessing that its own files prescribe.

    Parameters
    ----------
    source : str
        Path of a folder with ``config.json``, safetensors weights and ``preprocessor_config.json``, or a hub id
        (``facebook/dinov2-small``; with ``hf:`` before it, a folder of that name is not looked for).
    layers : sequence of str, optional
        ``"projected"`` (CLIP's ``image_embeds``), ``"pooled"`` (the pooling head's output, before any projection),
        ``"last/cls"`` and ``"last/mean"`` (last hidden state), ``"block6/cls"`` and ``"block6/mean"`` (output of the
        sixth block: class token, mean of the patch tokens), ``"last"`` (the first of projected, pooled and last/mean
        that the network has). Default: last, and the patch means at a quarter, half and three quarters of the depth.
    revision : str, optional
        Branch, tag or commit of a hub repository.
    local_files_only : bool
        Never ask the network.
    device : str
        ``"auto"`` takes CUDA where torch has it, else the CPU; or any torch device.
    dtype : {"auto", "float32", "bfloat16"}
        ``"auto"`` is float32. ``"bfloat16"`` runs the network under autocast; its embeddings carry another
        preprocessing hash, since they are not the same numbers.

    Raises
    ------
    MissingExtraError
        transformers is not installed.
    WeightsError
        The checkpoint is absent, incomplete, damaged or no vision network.
    UnknownNameError
        The network has no layer of that name.

    Examples
    --------
    >>> encoder = TransformersEncoder("facebook/dinov2-small", ["block4/mean", "pooled"])  # doctest: +SKIP
    >>> dict(encoder.stamp.dims)  # doctest: +SKIP
    {'block4/mean': 384, 'pooled': 384}
    """

    def __init__(
        self,
        source: str,
        layers: Sequence[str] | None = None,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        if dtype not in ("auto", "float32", "bfloat16"):
            raise InputError(f"must be auto, float32 or bfloat16, and is {dtype!r}.", argument="dtype")
        checkpoint = find_checkpoint(source, revision, local_files_only=local_files_only)
        config = vision_config(checkpoint.folder)
        depth = getattr(config, "num_hidden_layers", None)
        wanted = None if layers is None else check_names(layers, depth)
        self._preprocess, words = load_preprocess(checkpoint.folder)
        self._device = torch.device(choose_device(device))
        self._autocast = dtype == "bfloat16"
        self._tower = load_tower(checkpoint.folder, shorten(config, wanted, depth), self._device)
        self.layers, dims = self._probe(wanted, source)
        name = str(checkpoint.folder) if checkpoint.hub_id is None else f"hf:{checkpoint.hub_id}"
        self._stamp = EncoderStamp(
            encoder=name if layers is None else f"{name}@{','.join(layers)}",
            revision=checkpoint.revision,
            preprocessing=short_hash(
                {"processor": words, "layers": self.layers, "compute": "bfloat16" if self._autocast else "float32"}
            ),
            dims=dims,
        )

    @property
    def stamp(self) -> EncoderStamp:
        """Identity of the embeddings; the encoder's name is what ``load_encoder`` takes."""
        return self._stamp

    def prepare(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        """What the checkpoint's own processor makes of one image.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3), uint8
            sRGB.

        Returns
        -------
        dict of str to Tensor
            The network's inputs with a leading axis of length 1.
        """
        check_pixels(pixels)
        if max(pixels.shape[:2]) > _MAX_ASPECT * min(pixels.shape[:2]):
            # Scaling the short side up to the network's size would make the long one fill the memory.
            raise ImageError(
                f"{pixels.shape[1]} × {pixels.shape[0]} pixels: one side is over {_MAX_ASPECT} times the other."
            )
        # As a Pillow image: the shape (3, w, 3) of an array would be taken for channels first.
        return self._preprocess(Image.fromarray(pixels))

    def encode(self, prepared: Sequence[dict[str, Tensor]]) -> Mapping[str, NDArray[np.float32]]:
        """Embeddings of a batch: layer → array of shape (n, d), float32."""
        out = {name: np.empty((len(prepared), d), np.float32) for name, d in self._stamp.dims.items()}
        # Some processors keep the aspect ratio, so one batch may hold several shapes.
        groups: dict[tuple[Any, ...], list[int]] = {}
        for i, inputs in enumerate(prepared):
            groups.setdefault(tuple((k, tuple(v.shape)) for k, v in inputs.items()), []).append(i)
        for rows in groups.values():
            found = self._forward([prepared[i] for i in rows], self.layers)
            for name, values in found.items():
                out[name][rows] = values.float().cpu().numpy()
        return out

    def _forward(self, prepared: Sequence[dict[str, Tensor]], layers: Sequence[str] | None) -> dict[str, Tensor]:
        inputs = {k: torch.cat([p[k] for p in prepared]).to(self._device) for k in prepared[0]}
        # TF32 convolutions would make a GPU's embeddings differ from a CPU's in the third digit.
        exact = (
            torch.backends.cudnn.flags(allow_tf32=False) if self._device.type == "cuda" else contextlib.nullcontext()
        )
        with torch.inference_mode(), exact, torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            outputs = self._tower.model(**inputs, output_hidden_states=True)
            return read_layers(self._tower, outputs, inputs, layers)

    def _probe(self, wanted: Sequence[str] | None, source: str) -> tuple[tuple[str, ...], dict[str, int]]:
        """The layers that this network really has, and their lengths, from one grey image."""
        grey = np.full((64, 48, 3), 128, np.uint8)
        try:
            found = self._forward([self.prepare(grey)], None)
        except (TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
            raise WeightsError(
                f"does not turn images into vectors: {error}", argument=source, fix="Name an image encoder."
            ) from error
        last = next((name for name in ("projected", "pooled", "last/mean") if name in found), None)
        if wanted is None:
            depth = max((int(n[5:].split("/")[0]) for n in found if n.startswith("block")), default=0)
            blocks = [f"block{max(1, round(depth * part))}/mean" for part in _DEFAULT_DEPTHS] if depth else []
            wanted = [*([last] if last else []), *blocks]
        names = tuple(dict.fromkeys(last if name == "last" and last else name for name in wanted))
        for name in names:
            if name not in found:
                raise UnknownNameError(f"layer of {source}", name, found)
        return names, {name: int(found[name].shape[1]) for name in names}
