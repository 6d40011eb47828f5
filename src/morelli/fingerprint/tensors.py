"""Weights files: safetensors whose header says what is in them, written whole and read after a check."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.encoders.weights import file_sha256
from morelli.errors import StorageError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "morelli"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """Write tensors with a JSON description; returns the file's SHA-256 (64 hexadecimal digits).

    The file is written beside its place and moved there: whoever reads it finds a whole one.

    Raises
    ------
    StorageError
        The disk refused.
    """
    from safetensors.torch import save

    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # another process may write the same file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Not save_file: it makes files that their owner alone may read.
            part.write_bytes(save(dict(tensors), {_KEY: json.dumps(dict(about), sort_keys=True)}))
            digest = file_sha256(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror or error}.", argument=str(path)) from error
    return digest


def read_tensors(path: Path, sha256: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Tensors by name, the description, and the file's SHA-256.

    Parameters
    ----------
    path : Path
        What `write_tensors` wrote.
    sha256 : str, optional
        What the file's SHA-256 must be, 64 hexadecimal digits.

    Raises
    ------
    WeightsError
        The file is absent, is not the one named, or is no weights file of ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        found = file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}.", argument=str(path)) from error
    if sha256 is not None and found != sha256.lower():
        raise WeightsError(
            f"SHA-256 must be {sha256.lower()} and is {found}.",
            argument=str(path),
            fix="Install Morelli anew, or name the file that you mean.",
        )
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        about = None if text is None else json.loads(text)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"is no safetensors file: {str(error).splitlines()[0]}", argument=str(path)) from error
    if not isinstance(about, dict):
        raise WeightsError("does not say what it holds: it was not written by Morelli.", argument=str(path))
    return tensors, about, found
