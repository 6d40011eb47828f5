"""Put trained models into a store: a shard first, then its lines in the index, each whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from morelli.errors import DatasetError, InputError
from morelli.generators.files import append, locked, storage_error, write_whole
from morelli.synthesis.architectures import ModelKey, from_id
from morelli.synthesis.records import (
    HEADER,
    INDEX,
    SCHEMA,
    SHARDS,
    Record,
    Status,
    read_header,
    read_index,
    whole_lines,
)
from morelli.synthesis.settings import TrainingSettings
from morelli.synthesis.stacked import Stack
from morelli.synthesis.train import Trained

#: Half precision is kept where it moves the output by no more than this, root mean square, 8-bit levels.
ROUNDING = 0.1


class StoreWriter:
    """A store that this process alone writes to while it is open.

    Parameters
    ----------
    path : str or Path
        Made where it does not exist; a store of the same settings and photographs is taken up where it was left.
    settings : TrainingSettings
    photos : str
        The photographs' digest.

    Raises
    ------
    InputError
        Another process writes to it, or it was made with other settings or photographs.
    DatasetError
        The folder holds something else.
    StorageError
        The disk refuses.
    """

    def __init__(self, path: str | Path, settings: TrainingSettings, photos: str) -> None:
        self.path, self.settings = Path(path), settings
        self._stack = ExitStack()
        try:
            (self.path / SHARDS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.path, error) from error
        self._stack.enter_context(locked(self.path))
        try:
            self._open({"schema": SCHEMA, "settings": settings.as_dict(), "photos": photos})
        except BaseException:
            self._stack.close()
            raise
        self.records: dict[ModelKey, Record] = read_index(self.path)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def add(self, trained: Sequence[Trained], check: Tensor) -> list[Record]:
        """Keep models of one architecture.

        Parameters
        ----------
        trained : sequence of Trained
        check : Tensor, shape (n, 3, h, w), float32, −1 to 1
            Images on which the precision of the weights is chosen.

        Returns
        -------
        list of Record
            One a model, as it was written to the index.

        Raises
        ------
        StorageError
            The disk refuses; what was there stays.
        """
        records = [self._record(each) for each in trained]
        kept = [each for each, record in zip(trained, records, strict=True) if record.status == "kept"]
        if kept:
            shard, sha256, precision, changes = self._write(kept, check)
            place = {each.key: row for row, each in enumerate(kept)}
            records = [
                replace(
                    record,
                    shard=shard,
                    row=place[record.key],
                    sha256=sha256,
                    precision=precision,
                    rounding=round(changes[place[record.key]], 5),
                )
                if record.key in place
                else record
                for record in records
            ]
        append(self.path / INDEX, b"".join(record.line() for record in records))
        self.records.update((record.key, record) for record in records)
        return records

    def _record(self, trained: Trained) -> Record:
        settings = self.settings
        finite = trained.mse < float("inf")
        under = finite and trained.mse <= settings.ceiling
        status: Status = "kept"
        if trained.trouble:
            status = "diverged"
        elif settings.policy == "ceiling" and not under:
            status = "rejected"
        return Record(
            trained.key.architecture_id,
            trained.key.seed,
            status,
            trained.mse if finite else None,
            trained.steps,
            settings.policy,
            finite and trained.mse <= settings.eta,
            under,
            trouble=trained.trouble,
        )

    def _write(self, kept: Sequence[Trained], check: Tensor) -> tuple[str, str, str, list[float]]:
        weights = {name: torch.stack([each.weights[name] for each in kept]) for name in kept[0].weights}
        architecture = kept[0].key.architecture_id
        half = {name: each.half() for name, each in weights.items()}
        changes = output_change(kept[0].key, weights, half, self.settings.width, check)
        small = all(change <= ROUNDING for change in changes)  # NaN, of an overflow, is not
        data = save(half if small else weights)
        shard = f"{architecture}-{kept[0].key.seed:04d}.safetensors"
        write_whole(self.path / SHARDS / shard, data)
        changes = changes if small else [0.0] * len(kept)
        return shard, hashlib.sha256(data).hexdigest(), "fp16" if small else "fp32", changes

    def _open(self, header: dict[str, Any]) -> None:
        file = self.path / HEADER
        if not file.exists():
            if (self.path / INDEX).exists():
                raise DatasetError(f"there is an {INDEX} and no {HEADER}.", argument=str(self.path))
            write_whole(file, json.dumps(header, indent=1).encode() + b"\n")
            return
        there = read_header(self.path)
        if there["photos"] != header["photos"]:
            raise InputError(
                "its models learnt from other photographs.", argument=str(self.path), fix="Name a new folder."
            )
        # A store from before a setting was there was made with its default.
        made = {**TrainingSettings().as_dict(), **there["settings"]}
        others = [name for name, value in header["settings"].items() if made[name] != value]
        if others:
            told = ", ".join(f"{name} {made[name]!r}" for name in others)
            raise InputError(
                f"it was made with {told}.", argument=str(self.path), fix="Give the same settings, or a new folder."
            )
        index = self.path / INDEX
        data = index.read_bytes() if index.exists() else b""
        if whole_lines(data) < len(data):
            os.truncate(index, whole_lines(data))


def output_change(
    key: ModelKey, weights: dict[str, Tensor], rounded: dict[str, Tensor], width: int, check: Tensor
) -> list[float]:
    """How far rounded weights move each model's output: root mean square, 8-bit levels (2/255 of −1 to 1).

    Parameters
    ----------
    key : ModelKey
        Of any of the models.
    weights, rounded : dict of str to Tensor, each of shape (s, …)
    check : Tensor, shape (n, 3, h, w), float32, −1 to 1
    """
    images = check.cpu()[None].expand(len(next(iter(weights.values()))), *check.shape)
    outputs = [
        Stack(from_id(key.architecture_id), {name: each.float() for name, each in some.items()}, "loop", width)
        for some in (weights, rounded)
    ]
    with torch.no_grad():
        exact, other = (stack.train(False)(images) for stack in outputs)
    return ((exact - other).square().flatten(1).mean(1).sqrt() * 127.5).tolist()
