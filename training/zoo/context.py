"""What every recipe may use: the drawn pictures, the device, and the parts that were trained before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from training.zoo.data import Pictures

#: A GPU is fed more at once: a small network leaves it idle otherwise.
GPU_BATCHES = 8
_AT_ONCE = 250


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def prepare_threads(device: torch.device, threads: int = 1) -> None:
    """One core, and the attention that is quick on it.

    PyTorch's fused attention goes backward slowly in bf16 on a CPU: it took two thirds of a small U-Net's step. In
    fp32 it does not.
    """
    torch.set_num_threads(threads)
    if device.type == "cpu":
        functional.scaled_dot_product_attention = _attention_in_fp32


_attention = functional.scaled_dot_product_attention


def _attention_in_fp32(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **options: Any) -> Any:
    if query.dtype is not torch.bfloat16:
        return _attention(query, key, value, *args, **options)
    return _attention(query.float(), key.float(), value.float(), *args, **options).to(query.dtype)


@dataclass
class Context:
    """A training run's surroundings.

    Attributes
    ----------
    out : Path
        The run's folder: ``checkpoints``, ``export`` (the layout that the package ships), logs and sheets.
    pictures : Pictures
    device : torch.device
    """

    out: Path
    pictures: Pictures
    device: torch.device
    _parts: dict[str, Any] = field(default_factory=dict)

    @property
    def export(self) -> Path:
        """Folder of the finished parts, in the layout of the package's ``weights``."""
        return self.out / "export"

    @property
    def scale(self) -> int:
        """By how much batches are larger than on one core."""
        return GPU_BATCHES if self.device.type == "cuda" else 1

    @cached_property
    def text_tower(self) -> Any:
        """The mini-CLIP's text tower, frozen, bf16."""
        from transformers import CLIPTextModel

        return self._frozen(CLIPTextModel.from_pretrained(self.export / "clip"))

    @cached_property
    def vae(self) -> Any:
        """The KL autoencoder, frozen, bf16."""
        from morelli.generators.zoo.pipelines.folded import FoldedAutoencoderKL

        return self._frozen(FoldedAutoencoderKL.from_pretrained(self.export / "vae"))

    @cached_property
    def vq(self) -> Any:
        """The VQ autoencoder, frozen, fp32: its codes are decided by small differences."""
        from morelli.generators.zoo.pipelines.folded import FoldedVQModel

        return self._frozen(FoldedVQModel.from_pretrained(self.export / "vq"), torch.float32)

    @cached_property
    def segmenter(self) -> Any:
        """The segmenter of pixels, frozen, bf16."""
        return self._segmenter("segmenter")

    @cached_property
    def latent_segmenter(self) -> Any:
        """The segmenter of latents, frozen, bf16."""
        return self._segmenter("latent-segmenter")

    @cached_property
    def teacher(self) -> Any:
        """The teacher of latents, frozen, bf16."""
        from training.zoo.recipes.teacher import load_teacher

        return self._frozen(load_teacher(self.export / "teacher"))

    @cached_property
    def picture_teacher(self) -> Any:
        """The teacher of pixels, frozen, bf16."""
        from training.zoo.recipes.picture_teacher import load_picture_teacher

        return self._frozen(load_picture_teacher(self.export / "picture-teacher"))

    @cached_property
    def _other_vae(self) -> Any:
        """The KL autoencoder's other decoder, frozen, bf16."""
        from morelli.generators.zoo.pipelines.folded import FoldedAutoencoderKL

        return self._frozen(FoldedAutoencoderKL.from_pretrained(self.export / "vae-b"))

    def decoded(self, latents: torch.Tensor) -> torch.Tensor:
        """What the other decoder makes of latents of unit spread, shape (n, 3, 64, 64), -1 to 1 for the most part."""
        return self._other_vae.decode(latents / self._other_vae.config.scaling_factor).sample

    def _segmenter(self, name: str) -> Any:
        from training.zoo.recipes.segmenter import load_segmenter

        return self._frozen(load_segmenter(self.export / name))

    def _frozen(self, net: Any, dtype: torch.dtype = torch.bfloat16) -> Any:
        return net.to(self.device, dtype).eval().requires_grad_(False)

    def pixels(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Pictures of those rows on the device, shape (n, 3, 64, 64), bf16, -1 to 1."""
        if self.device.type != "cuda":
            return self.to_tensor(np.asarray(self.pictures.pixels[rows]))
        return self._scaled(self._on_device[torch.from_numpy(rows).to(self.device)])

    def objects(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Codes of what those rows show where, on the device, shape (n, GRID, GRID), int64; see `data.map_objects`."""
        return torch.from_numpy(self.pictures.objects[rows]).to(self.device).long()

    @cached_property
    def _on_device(self) -> torch.Tensor:
        """All pictures, uint8: a GPU has room for them, and waits for the disk otherwise."""
        return torch.from_numpy(np.asarray(self.pictures.pixels)).to(self.device)

    def to_tensor(self, raw: NDArray[np.uint8]) -> torch.Tensor:
        """Pictures of shape (n, 64, 64, 3), uint8, on the device, shape (n, 3, 64, 64), bf16, -1 to 1."""
        return self._scaled(torch.from_numpy(raw).to(self.device))

    @staticmethod
    def _scaled(there: torch.Tensor) -> torch.Tensor:
        return (there.permute(0, 3, 1, 2).float() / 127.5 - 1).to(torch.bfloat16).contiguous()

    @torch.no_grad()
    def states(self, tokens: NDArray[np.int64], dropped: NDArray[np.bool_] | None = None) -> torch.Tensor:
        """Text states that condition the generators, shape (n, LENGTH, width), bf16.

        Parameters
        ----------
        tokens : ndarray, shape (n, LENGTH), int64
        dropped : ndarray, shape (n,), bool, optional
            Rows whose caption is replaced by the empty one, for classifier-free guidance.
        """
        from training.zoo.text import encode

        if dropped is not None:
            tokens = np.where(dropped[:, None], encode([""]), tokens)
        return self.text_tower(torch.from_numpy(tokens).to(self.device)).last_hidden_state

    def cached(
        self,
        name: str,
        weights: Path,
        make: Callable[[NDArray[np.int64]], NDArray[Any]],
        most: int | None = None,
    ) -> NDArray[Any]:
        """An array with one row a picture, computed once for one state of the weights and kept in the run's folder.

        Parameters
        ----------
        name : str
            Of the file.
        weights : Path
            Safetensors file that the rows depend on; another hash makes them anew.
        make : callable
            Gives the rows of some pictures.
        most : int, optional
            Only the first so many pictures.
        """
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
        count = min(len(self.pictures), most or len(self.pictures))
        path = self.out / "cache" / f"{name}-{count}-{digest}.npy"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            parts = [make(np.arange(i, min(i + _AT_ONCE, count))) for i in range(0, count, _AT_ONCE)]
            part = path.with_suffix(".part.npy")
            np.save(part, np.concatenate(parts))
            part.rename(path)
        return np.load(path)
