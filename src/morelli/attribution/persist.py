"""What was learnt from a gallery, on disk: named arrays in one ``.npz`` file, nothing pickled.

A file is named after everything that its contents depend on, so that it is never out of date: it is there or it is
not. Its parts carry checksums (the zip format's); one that cannot be read counts as absent.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import logging
import os
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._version import __version__
from morelli.attribution.bank import Bank, Centroids, GroupStatistics
from morelli.attribution.base import Attributor
from morelli.attribution.calibration import Calibration
from morelli.attribution.gaussian import Subspace, TwoCovariance
from morelli.attribution.likelihood import LikelihoodAttributor
from morelli.errors import MorelliError
from morelli.types import EncoderStamp, LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: Same-prompt references a model, and whether the candidates are new to the statistics → calibration.
    Calibrations = Mapping[tuple[int, bool], Calibration | None]

_LOG = logging.getLogger(__name__)

FORMAT = 1
#: Files that are kept; the longest unused go first.
KEPT = 12

_PARTS: Mapping[str, type] = {
    "subspace": Subspace,
    "free": TwoCovariance,
    "same": TwoCovariance,
    "centroids": Centroids,
}


def statistics_key(
    attributor: Attributor, background: LabelledEmbeddings, contents: Sequence[str], stamp: EncoderStamp
) -> str:
    """Name for what an attributor learns from a background: the same only where the same would be learnt.

    Parameters
    ----------
    attributor : Attributor
        Its class, its parameters and the code that learns count.
    background : LabelledEmbeddings
        Its labels count.
    contents : sequence of str
        Content hash of each row; with the stamp they stand for the embeddings.
    stamp : EncoderStamp
    """
    kind = type(attributor)
    parameters = {name: repr(getattr(attributor, name)) for name in inspect.signature(kind).parameters}
    labels = (contents, *(column.tolist() for column in (background.models, background.prompts, background.families)))
    parts = (
        [FORMAT, __version__, np.__version__, f"{kind.__module__}:{kind.__qualname__}", parameters],
        [stamp.encoder, stamp.revision, stamp.preprocessing, list(stamp.dims.items())],
        [list(column) for column in labels],
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode())
    for source in _sources(kind):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _sources(kind: type) -> Iterator[Path]:
    """Files with the code that learns: this folder's, and those of the attributor's classes."""
    files = set(Path(__file__).parent.glob("*.py"))
    for each in kind.__mro__:
        with suppress(TypeError, OSError):  # built-in classes, and classes made in a console, have no file
            files.add(Path(inspect.getfile(each)).resolve())
    return iter(sorted(file for file in files if file.suffix == ".py"))


def save(
    path: Path, attributor: Attributor, calibrations: Calibrations, space: NDArray[np.float32] | None = None
) -> bool:
    """Write what was learnt, whole or not at all; False, with a warning, where the disk refuses.

    Of attributors other than `LikelihoodAttributor` only the calibrations are kept: refitting them is left to `load`.

    Parameters
    ----------
    path : Path
    attributor : Attributor
        Fitted.
    calibrations : mapping
    space : ndarray, shape (n, d), float32, optional
        Coordinates of the background (`morelli.attribution.nearest`), where they are worth keeping.
    """
    manifest: dict[str, Any] = {"groups": None, "weights": [], "calibrations": []}
    arrays: dict[str, NDArray[Any]] = {}
    if isinstance(attributor, LikelihoodAttributor):
        if attributor.bank_ is not None:
            manifest["groups"] = list(_pack_groups(attributor.bank_, arrays))
        for number, (key, weights) in enumerate(attributor.weights_.items()):
            manifest["weights"].append(list(key))
            arrays[f"weights/{number}"] = weights
    for number, (key, calibration) in enumerate(calibrations.items()):
        manifest["calibrations"].append([*key, calibration is not None])
        if calibration is not None:
            arrays.update(_fields(calibration, f"calibration/{number}"))
    if space is not None:
        arrays["space"] = space
    arrays["manifest"] = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        _prune(path.parent)
    except OSError as error:
        _LOG.warning("What was learnt cannot be kept in %s, and is learnt anew next time: %s", path.parent, error)
        return False
    return True


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[KEPT:]:
        file.unlink(missing_ok=True)


def _pack_groups(bank: Bank, arrays: dict[str, NDArray[Any]]) -> Iterator[dict[str, Any]]:
    for number, (name, group) in enumerate(bank.groups.items()):
        present = [part for part in _PARTS if getattr(group, part) is not None]
        for part in present:
            arrays.update(_fields(getattr(group, part), f"{number}/{part}"))
        yield {"name": name, "vectors": list(group.names), "parts": present}


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What a file held beside the attributor's own state; see `save`."""

    calibrations: dict[tuple[int, bool], Calibration | None]
    space: NDArray[np.float32] | None


def load(path: Path, attributor: Attributor, background: LabelledEmbeddings) -> Found | None:
    """Put what was learnt into a fresh attributor.

    Parameters
    ----------
    path : Path
        What `save` wrote for this background.
    attributor : Attributor
        Of the class and parameters that were saved. A `LikelihoodAttributor` answers for the numbers of references a
        model for which it was saved, and learns no others; any other attributor is fitted.
    background : LabelledEmbeddings

    Returns
    -------
    Found or None
        None where there is no such file or it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            manifest = json.loads(file["manifest"].tobytes())
            calibrations = {
                (int(k), bool(new)): _made(Calibration, file, f"calibration/{number}") if there else None
                for number, (k, new, there) in enumerate(manifest["calibrations"])
            }
            space = file["space"] if "space" in file.files else None
            if isinstance(attributor, LikelihoodAttributor):
                _restore(attributor, background, manifest, file)
            else:
                attributor.fit(background)
        os.utime(path)  # used: kept longer
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, MorelliError):
            raise
        _LOG.warning("%s cannot be used, and is learnt anew: %s", path, error)
        return None
    return Found(calibrations, space)


def _restore(
    attributor: LikelihoodAttributor, background: LabelledEmbeddings, manifest: dict[str, Any], file: Any
) -> None:
    models = np.unique(background.models)
    groups = None if manifest["groups"] is None else _unpack_groups(manifest["groups"], file)
    weights = {(int(k), bool(new)): file[f"weights/{i}"] for i, (k, new) in enumerate(manifest["weights"])}
    attributor.fit(None)
    attributor.background_ = background
    attributor.models_ = models
    attributor.bank_ = None if groups is None else Bank(groups, models)
    attributor.weights_ = weights


def _unpack_groups(entries: Sequence[Mapping[str, Any]], file: Any) -> dict[str, GroupStatistics]:
    groups = {}
    for number, entry in enumerate(entries):
        parts: dict[str, Any] = {
            part: _made(kind, file, f"{number}/{part}") if part in entry["parts"] else None
            for part, kind in _PARTS.items()
        }
        groups[entry["name"]] = GroupStatistics(tuple(entry["vectors"]), **parts)
    return groups


def _fields(record: Any, prefix: str) -> dict[str, NDArray[Any]]:
    """The fields of a record of numbers and arrays, as arrays by name."""
    return {f"{prefix}/{field.name}": np.asarray(getattr(record, field.name)) for field in dataclasses.fields(record)}


def _made(kind: type, file: Any, prefix: str) -> Any:
    """The record that `_fields` took apart; an array without dimensions is a number again."""
    found = {field.name: file[f"{prefix}/{field.name}"] for field in dataclasses.fields(kind)}
    return kind(**{name: value if value.ndim else value.item() for name, value in found.items()})
