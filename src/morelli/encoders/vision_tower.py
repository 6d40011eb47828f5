"""A checkpoint's vision half and its own preprocessing, read with transformers.

No remote code, safetensors only, every weight accounted for: a tensor that the file lacks would be random, so it is
an error and not a warning.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from morelli.errors import MissingExtraError, WeightsError

try:
    import transformers
    from safetensors import SafetensorError
    from transformers import MODEL_MAPPING, AutoConfig, AutoImageProcessor
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise MissingExtraError("transformers", "An encoder of the transformers library") from error

# What transformers raises for a folder that it cannot make sense of.
_LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)
# Keys of a saved processor that say nothing about what happens to pixels.
_IRRELEVANT = {"processor_class", "transformers_version", "auto_map", "feature_extractor_type"}
_MODES = {2: "bilinear", 3: "bicubic"}

Preprocess = Callable[[Image.Image], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Tower:
    """A vision network in evaluation mode.

    Attributes
    ----------
    model : torch.nn.Module
        Called with the processor's tensors and ``output_hidden_states=True``.
    projection : torch.nn.Module or None
        From the pooled vector to the space shared with text.
    patch : tuple of int, or None
        Height and width of a patch in pixels; None where the network has no patches.
    has_pooled : bool
        False where the checkpoint lacks the weights of the pooling head.
    """

    model: torch.nn.Module
    projection: torch.nn.Module | None
    patch: tuple[int, int] | None
    has_pooled: bool


def vision_config(folder: Path) -> Any:
    """The configuration of a checkpoint's vision half.

    Raises
    ------
    WeightsError
        The folder holds a network that sees no images, or one that transformers does not know.
    """
    with _as_weights_error(folder, "its config.json cannot be read"):
        whole = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    config = getattr(whole, "vision_config", whole)
    width = getattr(whole, "projection_dim", None)
    if config is not whole and width is not None:  # older files state it at the top only
        config.projection_dim = width
    _tower_class(config, folder)
    return config


def load_tower(folder: Path, config: Any, device: torch.device) -> Tower:
    """Read the weights, as float32.

    Raises
    ------
    WeightsError
        The files are damaged, or some of the network's weights are not in them.
    """
    plain = _tower_class(config, folder)
    projected = getattr(sys.modules[plain.__module__], plain.__name__ + "WithProjection", None)
    model, missing = _load(projected or plain, folder, config)
    if projected is not None and any(key.startswith("visual_projection") for key in missing):
        model, missing = _load(plain, folder, config)  # the tower was saved alone
    model = model.eval().requires_grad_(False).to(device)
    projection = getattr(model, "visual_projection", None)
    if projection is not None:  # the projecting model does not give the vector that it projects; its inner one does
        model = model.get_submodule("vision_model")
    lost = sorted(key for key in missing if key.split(".")[0] not in {"pooler", "head"})
    if lost:
        raise WeightsError(
            f"{len(lost)} of the network's weights are not in the file, first {lost[0]}.", argument=str(folder)
        )
    size = getattr(config, "patch_size", None)
    patch = (size, size) if isinstance(size, int) else tuple(size) if size is not None else None
    return Tower(model, projection, patch, has_pooled=not missing)


def load_preprocess(folder: Path) -> tuple[Preprocess, dict[str, Any]]:
    """The checkpoint's preprocessing, on Pillow, and what it does in words that can be hashed.

    Raises
    ------
    WeightsError
        The folder does not say how pixels are to be prepared, or it asks for something that needs torchvision.
    """
    said = _processor_config(folder)
    kind = str(said.get("image_processor_type", "")).removesuffix("Fast")
    if kind == "DINOv3ViTImageProcessor":
        return _dinov3(said, folder)
    with _as_weights_error(folder, "its image preprocessing cannot be run"), _quiet():
        processor = AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True, trust_remote_code=False
        )

    def preprocess(image: Image.Image) -> dict[str, torch.Tensor]:
        return dict(processor(images=[image], return_tensors="pt"))

    words = {k: v for k, v in processor.to_dict().items() if not k.startswith("_") and k not in _IRRELEVANT}
    # Through JSON, so that tuples and numpy numbers hash as what they mean.
    return preprocess, json.loads(json.dumps(words, default=str))


def _processor_config(folder: Path) -> dict[str, Any]:
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            try:
                said = json.loads((folder / name).read_text("utf-8"))
            except ValueError as error:
                raise WeightsError(f"is no JSON: {error}.", argument=str(folder / name)) from error
            said = said.get("image_processor", said if name.startswith("pre") else None)
            if said is not None:
                return said
    raise WeightsError(
        "has no preprocessor_config.json, so nobody knows how pixels are to be prepared.",
        argument=str(folder),
        fix="Save the model's image processor into the folder: processor.save_pretrained(folder).",
    )


def _dinov3(said: dict[str, Any], folder: Path) -> tuple[Preprocess, dict[str, Any]]:
    """DINOv3 resizes after rescaling, in floating point; transformers has that with torchvision only."""
    size, mode = said.get("size") or {}, _MODES.get(said.get("resample", 2))
    if said.get("do_center_crop") or mode is None or not {"height", "width"} <= size.keys():
        raise WeightsError("asks for a DINOv3 preprocessing other than resizing to one size.", argument=str(folder))
    words = {
        "image_processor_type": "DINOv3ViTImageProcessor",
        "size": {"height": int(size["height"]), "width": int(size["width"])},
        "resample": mode,
        "rescale_factor": float(said.get("rescale_factor", 1 / 255)),
        "image_mean": [float(v) for v in said.get("image_mean", (0.485, 0.456, 0.406))],
        "image_std": [float(v) for v in said.get("image_std", (0.229, 0.224, 0.225))],
    }
    mean, std = (torch.tensor(words[name]).view(1, 3, 1, 1) for name in ("image_mean", "image_std"))
    target = (words["size"]["height"], words["size"]["width"])

    def preprocess(image: Image.Image) -> dict[str, torch.Tensor]:
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() * words["rescale_factor"]
        x = F.interpolate(x, size=target, mode=mode, align_corners=False, antialias=True)
        return {"pixel_values": (x - mean) / std}

    return preprocess, words


def _tower_class(config: Any, folder: Path) -> Any:
    kind = MODEL_MAPPING.get(type(config), None)
    if not isinstance(kind, type) or getattr(kind, "main_input_name", "") != "pixel_values":
        raise WeightsError(
            f"holds a {getattr(config, 'model_type', 'network')!r}, which has no vision tower that can be read.",
            argument=str(folder),
            fix="Name a CLIP, SigLIP, DINO, ViT or another image encoder.",
        )
    return kind


def _load(kind: Any, folder: Path, config: Any) -> tuple[torch.nn.Module, list[str]]:
    with _as_weights_error(folder, "its weights cannot be read"), _quiet():
        model, info = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    return model, sorted(info["missing_keys"])


@contextmanager
def _as_weights_error(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except _LOAD_ERRORS as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(
            f"{what} (transformers {transformers.__version__}): {lines[0]}", argument=str(folder)
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no report of the text side's unused weights; what is missing is our own error."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
