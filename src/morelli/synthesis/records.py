"""The index of a store of synthetic models: one line of JSON for each model that was trained. No torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from morelli.errors import DatasetError
from morelli.synthesis.architectures import ModelKey

HEADER, INDEX, SHARDS = "store.json", "index.jsonl", "shards"
SCHEMA = "morelli.synthesis-store/1"
Status = Literal["kept", "rejected", "diverged"]


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one model.

    Attributes
    ----------
    architecture : str
        Six digits.
    seed : int
    status : {"kept", "rejected", "diverged"}
        Only a kept model has weights. "rejected" is the ceiling policy's; "diverged" stands for a constant output too.
    mse : float or None
        Mean squared error over crops of unseen photographs, images in −1 to 1; None where it is not finite.
    steps : int
    policy : str
    floor_reached : bool
        The error is η or less.
    under_ceiling : bool
        The error is the ceiling or less.
    shard : str or None
        The file of weights, below ``shards``.
    row : int or None
        The model's place in the shard's stacked tensors.
    sha256 : str or None
        Of the shard.
    precision : {"fp16", "fp32"} or None
        Of the weights in the shard.
    rounding : float or None
        What that precision changes in the output: root mean square, 8-bit levels.
    trouble : str or None
        Why it diverged.
    """

    architecture: str
    seed: int
    status: Status
    mse: float | None
    steps: int
    policy: str
    floor_reached: bool
    under_ceiling: bool
    shard: str | None = None
    row: int | None = None
    sha256: str | None = None
    precision: str | None = None
    rounding: float | None = None
    trouble: str | None = None

    @property
    def key(self) -> ModelKey:
        """Which model."""
        return ModelKey(self.architecture, self.seed)

    def line(self) -> bytes:
        """The record as a line of the index."""
        return (json.dumps(asdict(self), allow_nan=False) + "\n").encode()


def read_header(folder: Path) -> dict[str, Any]:
    """What a store says of itself: ``settings`` of the training and the digest of the ``photos``.

    Raises
    ------
    DatasetError
        No store there, one of another schema, or one whose header lacks something.
    """
    file = folder / HEADER
    if not file.is_file():
        raise DatasetError(
            "there is no store of synthetic models.", argument=str(folder), fix="Make one: morelli synthesize."
        )
    try:
        header = json.loads(file.read_bytes())
    except ValueError as error:
        raise DatasetError(f"is no JSON ({error}).", argument=str(file)) from error
    if not isinstance(header, Mapping) or header.get("schema") != SCHEMA:
        raise DatasetError(f"its schema must be {SCHEMA}.", argument=str(file), fix="It comes from another version.")
    settings = header.get("settings")
    if not isinstance(settings, Mapping) or not isinstance(header.get("photos"), str):
        raise _damaged(file, "settings and photos")
    if "width" in settings and not (type(settings["width"]) is int and settings["width"] > 0):
        raise _damaged(file, "a width that is a number above 0")
    return dict(header)


def _damaged(file: Path, what: str) -> DatasetError:
    return DatasetError(
        f"is damaged: it must have {what}.",
        argument=str(file),
        fix="Take it from a copy, or run morelli synthesize with a new folder.",
    )


def whole_lines(data: bytes) -> int:
    """Length of the part that ends with a whole line, bytes: a crash can cut the last one."""
    return data.rfind(b"\n") + 1


def read_index(folder: Path) -> dict[ModelKey, Record]:
    """All records of a store, in the order in which the models were trained.

    Raises
    ------
    DatasetError
        A line that is no record.
    """
    file = folder / INDEX
    data = file.read_bytes() if file.is_file() else b""
    records: dict[ModelKey, Record] = {}
    for number, line in enumerate(data[: whole_lines(data)].splitlines(), 1):
        try:
            record = Record(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise DatasetError(f"line {number} is no record ({error}).", argument=str(file)) from error
        records[record.key] = record
    return records
