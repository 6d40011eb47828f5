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
import time
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
from morelli.attribution.calibration import Calibration, CalibrationPair
from morelli.attribution.conditions import Conditions, Detector
from morelli.attribution.gaussian import Subspace, TwoCovariance
from morelli.attribution.likelihood import LikelihoodAttributor
from morelli.errors import MorelliError
from morelli.types import EncoderStamp, LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: Same-prompt references a model, and whether the candidates are new to the statistics → calibration.
    Calibrations = Mapping[tuple[int, bool], CalibrationPair | None]

_LOG = logging.getLogger(__name__)

FORMAT = 3
#: Files that are kept; the longest unused go first.
KEPT = 12
_DAY = 86_400.0

_PARTS: Mapping[str, type] = {
    "subspace": Subspace,
    "free": TwoCovariance,
    "same": TwoCovariance,
    "centroids": Centroids,
}

_HALVES = ("clean", "degraded")


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
    copies = background.degraded
    degraded = [] if copies is None else [copies.names.tolist(), copies.rows.tolist()]
    columns = (background.models, background.prompts, background.families)
    labels = (contents, *degraded, *(column.tolist() for column in columns))
    parts = (
        [FORMAT, __version__, np.__version__, f"{kind.__module__}:{kind.__qualname__}", parameters],
        [stamp.encoder, stamp.revision, stamp.preprocessing, list(stamp.dims.items())],
        [list(column) for column in labels],
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode())
    for values in () if copies is None else copies.vectors.values():
        digest.update(np.ascontiguousarray(values).data)
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
    manifest: dict[str, Any] = {"groups": None, "conditions": None, "weights": [], "calibrations": []}
    arrays: dict[str, NDArray[Any]] = {}
    if isinstance(attributor, LikelihoodAttributor):
        if attributor.bank_ is not None:
            manifest["groups"] = list(_pack_groups(attributor.bank_, arrays, ""))
        if attributor.conditions_ is not None:
            manifest["conditions"] = _pack_conditions(attributor.conditions_, arrays)
        for number, (key, weights) in enumerate(attributor.weights_.items()):
            manifest["weights"].append(list(key))
            arrays[f"weights/{number}"] = weights
    for number, (key, pair) in enumerate(calibrations.items()):
        halves = {} if pair is None else {part: half for part in _HALVES if (half := getattr(pair, part)) is not None}
        manifest["calibrations"].append([*key, list(halves)])
        for part, half in halves.items():
            arrays.update(_fields(half, f"calibration/{number}/{part}"))
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
    """Keep the files used last, and nothing of a process that was killed a day ago; others may be at it too."""
    used = sorted(((_used(file), file) for file in folder.glob("*.npz")), reverse=True)
    left = [file for file in folder.glob(".*.tmp") if 0 < _used(file) < time.time() - _DAY]
    for file in [*(file for _, file in used[KEPT:]), *left]:
        file.unlink(missing_ok=True)


def _used(file: Path) -> float:
    """When a file was used last, seconds; 0 where another process has just taken it away."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _pack_groups(
    bank: Bank, arrays: dict[str, NDArray[Any]], prefix: str, without: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    for number, (name, group) in enumerate(bank.groups.items()):
        present = [part for part in _PARTS if part not in without and getattr(group, part) is not None]
        for part in present:
            arrays.update(_fields(getattr(group, part), f"{prefix}{number}/{part}"))
        yield {"name": name, "vectors": list(group.names), "parts": present}


def _pack_conditions(conditions: Conditions, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    arrays.update(_fields(conditions.detector, "detector"))
    for number, shift in enumerate(conditions.shifts.values()):
        arrays[f"shift/{number}"] = shift
    others = range(1, len(conditions.names))
    groups = [list(_pack_groups(conditions.bank(c), arrays, f"condition/{c}/", without=("subspace",))) for c in others]
    return {"names": list(conditions.names), "groups": groups}


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What a file held beside the attributor's own state; see `save`."""

    calibrations: dict[tuple[int, bool], CalibrationPair | None]
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
                (int(k), bool(new)): _made_pair(file, f"calibration/{number}", halves)
                for number, (k, new, halves) in enumerate(manifest["calibrations"])
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
    groups = None if manifest["groups"] is None else _unpack_groups(manifest["groups"], file, "")
    weights = {
        (int(k), bool(new), str(condition)): file[f"weights/{i}"]
        for i, (k, new, condition) in enumerate(manifest["weights"])
    }
    attributor.fit(None)
    attributor.background_ = background
    attributor.models_ = models
    attributor.bank_ = None if groups is None else Bank(groups, models)
    attributor.weights_ = weights
    if attributor.bank_ is not None and manifest["conditions"] is not None:
        attributor.conditions_ = _unpack_conditions(manifest["conditions"], attributor.bank_, file)


def _unpack_conditions(entry: Mapping[str, Any], bank: Bank, file: Any) -> Conditions:
    banks = {0: bank}
    shared = {name: group.subspace for name, group in bank.groups.items()}
    for number, groups in enumerate(entry["groups"], start=1):
        banks[number] = Bank(_unpack_groups(groups, file, f"condition/{number}/", shared), bank.models)
    shifts = {name: file[f"shift/{number}"] for number, name in enumerate(bank.groups)}
    return Conditions(tuple(entry["names"]), _made(Detector, file, "detector"), shifts, banks.__getitem__, banks)


def _unpack_groups(
    entries: Sequence[Mapping[str, Any]], file: Any, prefix: str, subspaces: Mapping[str, Subspace] | None = None
) -> dict[str, GroupStatistics]:
    groups = {}
    for number, entry in enumerate(entries):
        parts: dict[str, Any] = {
            part: _made(kind, file, f"{prefix}{number}/{part}") if part in entry["parts"] else None
            for part, kind in _PARTS.items()
        }
        if subspaces is not None:
            parts["subspace"] = subspaces[entry["name"]]
        groups[entry["name"]] = GroupStatistics(tuple(entry["vectors"]), **parts)
    return groups


def _fields(record: Any, prefix: str) -> dict[str, NDArray[Any]]:
    """The fields of a record of numbers and arrays, as arrays by name."""
    return {f"{prefix}/{field.name}": np.asarray(getattr(record, field.name)) for field in dataclasses.fields(record)}


def _made_pair(file: Any, prefix: str, halves: Sequence[str]) -> CalibrationPair | None:
    found = {part: _made(Calibration, file, f"{prefix}/{part}") for part in halves}
    return CalibrationPair(**found) if found else None


def _made(kind: type, file: Any, prefix: str) -> Any:
    """The record that `_fields` took apart; an array without dimensions is a number again."""
    found = {field.name: file[f"{prefix}/{field.name}"] for field in dataclasses.fields(kind)}
    return kind(**{name: value if value.ndim else value.item() for name, value in found.items()})
