"""A training's checkpoint and its log: what is needed to go on as if nothing had happened."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from morelli.errors import InputError, WeightsError
from morelli.generators.files import append, storage_error, write_whole

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"


class Journal:
    """The folder of one training.

    Parameters
    ----------
    folder : Path
    words : mapping
        What decides the training; a checkpoint of another is refused.

    Raises
    ------
    StorageError
        The folder cannot be made.
    """

    def __init__(self, folder: Path, words: Mapping[str, Any]) -> None:
        self.folder, self.words = folder, json.loads(json.dumps(dict(words)))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(folder, error) from error

    def load(self, device: str) -> dict[str, Any] | None:
        """The state of the last checkpoint, None where there is none; lines of the log behind it are taken out.

        Raises
        ------
        InputError
            It is of another training, or the log has a line that is none.
        WeightsError
            It cannot be read.
        """
        path = self.folder / CHECKPOINT
        if not path.is_file():
            (self.folder / LOG).unlink(missing_ok=True)
            return None
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            words, step = dict(state["words"]), int(state["step"])
        except (OSError, RuntimeError, UnpicklingError, KeyError, EOFError, TypeError, ValueError) as error:
            raise WeightsError(f"is no checkpoint: {str(error).splitlines()[0]}", argument=str(path)) from error
        if words != self.words:
            names = sorted(k for k in words.keys() | self.words.keys() if words.get(k) != self.words.get(k))
            told = "; ".join(f"{k} was {words.get(k)!r}, now {self.words.get(k)!r}" for k in names)
            raise InputError(
                f"is of another training: {told}.", argument=str(path), fix="Name another folder with --checkpoint."
            )
        self._cut(step)
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, whole or not at all.

        Raises
        ------
        StorageError
            The disk refuses.
        """
        data = io.BytesIO()
        torch.save({**state, "words": self.words}, data)
        write_whole(self.folder / CHECKPOINT, data.getvalue())

    def log(self, line: Mapping[str, Any]) -> None:
        """Add a line to the log; a number that is none becomes null.

        Raises
        ------
        StorageError
            The disk refuses.
        """
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        append(self.folder / LOG, json.dumps(plain, allow_nan=False).encode() + b"\n")

    def _cut(self, step: int) -> None:
        file = self.folder / LOG
        if file.is_file():
            # What comes after the last line break was cut by a crash.
            lines = file.read_bytes().split(b"\n")[:-1]
            kept = [line for number, line in enumerate(lines, 1) if _step(line, number, file) <= step]
            write_whole(file, b"".join(line + b"\n" for line in kept))


def _step(line: bytes, number: int, file: Path) -> int:
    """The step that a line of the log is of."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"line {number} is no line of a training's log ({error!r}).",
            argument=str(file),
            fix="Remove that line, or the file: the checkpoint does not need it.",
        ) from error
