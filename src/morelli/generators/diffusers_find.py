"""Find a diffusers pipeline or LoRA weights on this disk or on the hub: safetensors only, named errors."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from morelli.errors import HostError, InputError, MorelliError, UnknownModelError, WeightsError
from morelli.generators.diffusers_library import import_diffusers, quiet
from morelli.generators.files import file_digest
from morelli.generators.transport import transport_trouble

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_INDEX = "model_index.json"


@dataclass(frozen=True)
class Place:
    """A pipeline on this disk.

    Attributes
    ----------
    folder : Path
    revision : str
        Commit, or SHA-256 of the files; hexadecimal.
    pipeline : str
        Name of the pipeline's class.
    """

    folder: Path
    revision: str
    pipeline: str


def find(source: str, revision: str | None, variant: str | None, name: str) -> Place:
    """A local folder, or a model of the hub, which is fetched where it is not here yet.

    Raises
    ------
    WeightsError
        The folder holds no pipeline.
    UnknownModelError, HostError
        The hub has no such model, or cannot be reached.
    InputError
        Neither a folder nor a hub id.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise InputError("a local folder has no revisions.", argument=name, fix="Leave revision out.")
        pipeline = _pipeline_class(folder, name)
        return Place(folder, _folder_digest(folder), pipeline)
    if not _HUB_ID.fullmatch(source) or source.startswith("."):
        raise UnknownModelError(
            "no such folder, and no hub id either.", argument=name, fix="Name a folder, or ORG/NAME on the hub."
        )
    # Nothing but safetensors is fetched; custom code is refused before it is.
    fetch = partial(import_diffusers(name).DiffusionPipeline.download, use_safetensors=True, trust_remote_code=False)
    folder = Path(_from_hub(lambda: fetch(source, revision=revision, variant=variant), source, name))
    return Place(folder, folder.name, _pipeline_class(folder, name))


def find_lora(source: str, name: str) -> Path:
    """The safetensors file of LoRA weights: a file, a folder that holds one, or a hub id.

    Raises
    ------
    WeightsError
        No safetensors file there, or several.
    UnknownModelError, HostError
        As in `find`.
    """
    path = Path(source).expanduser()
    if not path.exists() and _HUB_ID.fullmatch(source) and not source.startswith("."):
        from huggingface_hub import snapshot_download

        path = Path(_from_hub(lambda: snapshot_download(source, allow_patterns=["*.safetensors"]), source, name))
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path] if path.is_file() else []
    if len(files) != 1 or files[0].suffix != ".safetensors":
        found = "several safetensors files" if len(files) > 1 else "no safetensors file"
        raise WeightsError(f"{found} at {source}.", argument=name, fix="Name one safetensors file of LoRA weights.")
    return files[0].absolute()


def _folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files that a pipeline is read from."""
    files = [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".json", ".txt", ".model")]
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda each: each.relative_to(folder).parts):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def _pipeline_class(folder: Path, name: str) -> str:
    try:
        found = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"the folder has no readable {_INDEX}.", argument=name, fix="Name a folder that save_pretrained wrote."
        ) from error
    if not isinstance(found, str):
        raise WeightsError(
            "the pipeline has code of its own, which is never run.", argument=name, fix="Choose another model."
        )
    return found


def _from_hub(fetch: Any, source: str, name: str) -> str:
    from huggingface_hub import errors

    try:
        with quiet():
            return str(fetch())
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _offline(source, name) from error
        raise UnknownModelError(
            f"the hub has no {source}, or it is private.", argument=name, fix="Check the spelling, or set HF_TOKEN."
        ) from error
    except MorelliError:
        raise
    except Exception as error:
        # diffusers wraps what the hub said, so the causes are looked through.
        causes = [error, error.__cause__, error.__context__]
        if any(isinstance(each, errors.GatedRepoError) for each in causes):
            fix = "Accept its terms on the hub and set HF_TOKEN."
            raise UnknownModelError(f"{source} is gated.", argument=name, fix=fix) from error
        if any(isinstance(each, errors.RepositoryNotFoundError) for each in causes):
            raise UnknownModelError(f"the hub has no {source}.", argument=name, fix="Check the spelling.") from error
        if isinstance(error, ValueError):
            text = " ".join(str(error).split())[:300]
            raise WeightsError(f"cannot be used ({text}).", argument=name) from error
        if "not fully cached" not in str(error):
            transport_trouble(error)  # raises what is none of the network's
        raise _offline(source, name) from error


def _offline(source: str, name: str) -> HostError:
    return HostError(
        f"{source} is not on this machine, and the hub cannot be reached.",
        argument=name,
        fix="Check the network (and HF_HUB_OFFLINE), or name a local folder.",
    )
