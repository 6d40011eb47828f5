"""Synthetic models on disk, and images through them.

::

    STORE/store.json                    the training's settings, the photographs' digest
    STORE/index.jsonl                   one line a model, also of those that went wrong
    STORE/shards/ARCHITECTURE-SEED.safetensors     stacked weights of some seeds from SEED on
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from morelli.errors import ArrayError, InputError, UnknownNameError, WeightsError
from morelli.synthesis.architectures import Architecture, ModelKey, from_id
from morelli.synthesis.network import SyntheticModel
from morelli.synthesis.records import SHARDS, Record, read_header, read_index
from morelli.synthesis.settings import TrainingSettings
from morelli.synthesis.stacked import Stack, build, choose_scheme

__all__ = ["ModelKey", "Store"]


class Store:
    """A folder of synthetic models, to be read.

    Weights are read when they are first needed, checked by their hash, and kept in memory as they were stored.
    Not safe for several threads at once.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    header : dict
        ``settings`` and ``photos``.
    records : dict of ModelKey to Record
        Everything that was trained.

    Raises
    ------
    DatasetError
        No store there, or a damaged header or index.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.header: dict[str, Any] = read_header(self.path)
        self.records: Mapping[ModelKey, Record] = read_index(self.path)
        self._shards: dict[tuple[str, str], dict[str, Tensor]] = {}

    @property
    def width(self) -> int:
        """Channels of the models' first level."""
        # A store from before a setting was there was made with its default.
        return int(self.header["settings"].get("width", TrainingSettings().width))

    @property
    def keys(self) -> list[ModelKey]:
        """The models that have weights, by architecture and seed."""
        return sorted(key for key, record in self.records.items() if record.status == "kept")

    def __len__(self) -> int:
        return len(self.keys)

    def load(self, key: ModelKey) -> SyntheticModel:
        """One model, in ``eval``, float32, on the CPU.

        Raises
        ------
        UnknownNameError
            No such model here.
        WeightsError
            Its file is absent, or not the one that was written.
        """
        return build(from_id(key.architecture_id), self._weights(key, torch.device("cpu")), self.width)

    def apply(self, images: Tensor, keys: Sequence[ModelKey], *, scheme: str = "auto") -> Tensor:
        """Each image through its own model, those of one architecture together.

        Parameters
        ----------
        images : Tensor, shape (n, 3, h, w), floating point, −1 to 1
            Sides are multiples of 4 (2 will do for models of one block).
        keys : sequence of ModelKey, length n
            Quickest where each model has as many images as the others of its architecture.
        scheme : {"auto", "loop", "grouped", "matmul", "vmap"}

        Returns
        -------
        Tensor, shape (n, 3, h, w), float32
            On the images' device; neither clamped nor rounded, without gradients.

        Raises
        ------
        ArrayError
            Another shape or dtype.
        InputError
            Not as many keys as images.
        UnknownNameError, WeightsError
            As `load`.
        """
        if images.ndim != 4 or not images.is_floating_point():
            raise ArrayError(
                f"must be (n, 3, h, w) of floats; got {tuple(images.shape)}, {images.dtype}.", argument="images"
            )
        if len(images) != len(keys):
            raise InputError(f"there are {len(keys)} for {len(images)} images.", argument="keys")
        images = images.float()
        scheme = choose_scheme(scheme, images.device)
        out = torch.empty_like(images)
        with torch.no_grad():
            for architecture, models, rows in _groups(keys):
                held = [self._weights(model, images.device) for model in models]
                weights = {name: torch.stack([each[name] for each in held]).float() for name in held[0]}
                stack = Stack(architecture, weights, scheme, self.width).train(False)
                place = torch.tensor(rows, device=images.device)
                out[place] = stack(images[place])
        return out

    def _weights(self, key: ModelKey, device: torch.device) -> dict[str, Tensor]:
        record = self.records.get(key)
        if record is None or record.status != "kept" or record.shard is None or record.row is None:
            known = (f"{each.architecture_id}/{each.seed}" for each in self.keys)
            raise UnknownNameError("synthetic model", f"{key.architecture_id}/{key.seed}", known)
        place = (record.shard, str(device))
        if place not in self._shards:
            tensors = read_shard(self.path / SHARDS / record.shard, record.sha256 or "")
            self._shards[place] = {name: each.to(device) for name, each in tensors.items()}
        return {name: each[record.row] for name, each in self._shards[place].items()}


def read_shard(file: Path, sha256: str) -> dict[str, Tensor]:
    """The stacked weights of a shard whose hash is the one of its record.

    Raises
    ------
    WeightsError
        The file is absent, or another one.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}.", argument=str(file)) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"SHA-256 must be {sha256} and is {found}.",
            argument=str(file),
            fix="Remove the store's lines of this shard from index.jsonl and run morelli synthesize again.",
        )
    try:
        return load(data)
    except SafetensorError as error:
        raise WeightsError(f"is no safetensors file: {error}.", argument=str(file)) from error


def _groups(keys: Sequence[ModelKey]) -> list[tuple[Architecture, list[ModelKey], list[list[int]]]]:
    """Models of one architecture with equally many images each, and the places of those images."""
    places: dict[ModelKey, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[ModelKey(*key)].append(place)
    groups: dict[tuple[str, int], list[ModelKey]] = defaultdict(list)
    for key, rows in places.items():
        groups[key.architecture_id, len(rows)].append(key)
    return [(from_id(name), models, [places[key] for key in models]) for (name, _), models in groups.items()]
