"""Checkpoints with a text side: a folder, a hub id, or what the zoo carries. Safetensors only, and no remote code."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from morelli.encoders.weights import Checkpoint, file_sha256, find_checkpoint
from morelli.errors import MissingExtraError, WeightsError

#: As a source: the network of that kind which the zoo carries.
ZOO = "zoo"
# Beside what an encoder needs; a hub repository's other files stay where they are.
_TEXT_FILES = [
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "generation_config.json"),
]
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt")
# What transformers raises for files that it cannot make sense of.
_LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError)


def find_zoo_part(part: str) -> Path:
    """The folder of a network that the zoo carries beside its generators: "clip" or "captioner".

    Raises
    ------
    WeightsError
        This installation carries none, or its files are not those that the manifest lists.
    """
    manifest = importlib.import_module("morelli.generators.zoo.manifest").read_manifest()
    if not manifest.files_of(part):
        raise WeightsError(
            f"this installation carries no {part} of the zoo.",
            argument=ZOO,
            fix="Name a checkpoint: a folder, or a hub id ORG/NAME.",
        )
    manifest.check(part)
    return manifest.folder / part


def find_text_checkpoint(source: str, part: str, model_type: str) -> Checkpoint:
    """A checkpoint that reads or writes text.

    Parameters
    ----------
    source : str
        A folder, a hub id, or "zoo".
    part : str
        What "zoo" stands for: "clip" or "captioner".
    model_type : str
        What ``config.json`` must say: "clip", "blip".

    Raises
    ------
    WeightsError
        No such folder or repository, no safetensors weights or tokenizer in it, or another kind of network.
    MissingExtraError
        transformers is not installed.
    """
    where = find_zoo_part(part) if source == ZOO else source
    found = find_checkpoint(str(where))
    if found.hub_id is not None:
        _fetch_text(found.hub_id, found.folder)
    try:
        said = json.loads((found.folder / "config.json").read_text("utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"its config.json cannot be read: {error}.", argument=source) from error
    if said != model_type:
        raise WeightsError(f"holds a {said!r} network, and must hold a {model_type!r} one.", argument=source)
    vocabulary = [found.folder / name for name in _VOCABULARIES if (found.folder / name).is_file()]
    if not vocabulary:
        raise WeightsError(
            "has no tokenizer.",
            argument=source,
            fix="Save the model's tokenizer into the folder: tokenizer.save_pretrained(folder).",
        )
    if found.hub_id is not None:
        return found
    return Checkpoint(found.folder, f"{found.revision[:8]}{file_sha256(*vocabulary)[:8]}")


def _fetch_text(hub_id: str, folder: Path) -> None:
    """See to it that a snapshot also has the text side's files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    for offline in (True, False):
        if any((folder / name).is_file() for name in _VOCABULARIES):
            return
        try:
            # The cache names a snapshot's folder after its commit: text and weights are of one state.
            snapshot_download(hub_id, revision=folder.name, allow_patterns=_TEXT_FILES, local_files_only=offline)
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
            if not offline:
                raise WeightsError(
                    f"its tokenizer is not in the local cache, and the hub does not give it: {first_line(error)}",
                    argument=f"hf:{hub_id}",
                    fix=f"Fetch it once where there is a network: hf download {hub_id}",
                ) from error


def load_network(kind: str, folder: Path) -> Any:
    """A network of transformers in evaluation mode, float32, every weight accounted for.

    Parameters
    ----------
    kind : str
        Class: "CLIPModel".
    folder : Path

    Raises
    ------
    WeightsError
        The files are damaged, or some of the network's weights are not in them.
    """
    with reading(folder, "its weights cannot be read") as transformers, quiet():
        import torch

        model, info = getattr(transformers, kind).from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    lost = sorted(info["missing_keys"])
    if lost:  # they would be random
        message = f"{len(lost)} of the network's weights are not in the file, first {lost[0]}."
        raise WeightsError(message, argument=str(folder))
    return model.eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer.

    Raises
    ------
    WeightsError
        Its files cannot be read.
    """
    with reading(folder, "its tokenizer cannot be read") as transformers, quiet():
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


@contextmanager
def reading(folder: Path, what: str) -> Iterator[Any]:
    """The module transformers; what it raises for a checkpoint becomes a `WeightsError` that begins with ``what``."""
    try:
        import transformers
        from safetensors import SafetensorError
    except ImportError as error:
        raise MissingExtraError("transformers", "Prompt inversion") from error
    try:
        yield transformers
    except (*_LOAD_ERRORS, SafetensorError) as error:
        raise WeightsError(f"{what}: {first_line(error)}", argument=str(folder)) from error


def first_line(error: Exception) -> str:
    """What an error says first; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no advice from transformers: what is wrong is our own error."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
