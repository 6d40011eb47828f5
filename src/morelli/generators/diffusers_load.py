"""Load a diffusers pipeline onto its device: safetensors only, no code from elsewhere, named errors."""

from __future__ import annotations

from typing import Any

from morelli.errors import MissingExtraError, UnknownNameError, WeightsError
from morelli.generators.diffusers_find import Place
from morelli.generators.diffusers_library import import_diffusers, quiet


def load_pipeline(place: Place, dtype: str, device: str, variant: str | None, scheduler: str | None, name: str) -> Any:
    """The pipeline on its device.

    Parameters
    ----------
    dtype, device : str
        As `choose_dtype` and `choose_device` give them.
    scheduler : str or None
        Class name; takes over the configuration of the pipeline's own.

    Raises
    ------
    WeightsError
        Weights that are no safetensors, broken or absent; code of its own.
    UnknownNameError
        No such scheduler for this pipeline.
    """
    import torch

    diffusers = import_diffusers(name)
    try:
        with quiet():
            pipeline = diffusers.DiffusionPipeline.from_pretrained(
                str(place.folder),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                variant=variant,
                dtype=getattr(torch, dtype),
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
        if isinstance(error, ImportError):
            raise MissingExtraError("generators", name) from error
        text = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"the pipeline cannot be loaded ({text}).",
            argument=name,
            fix="It must hold safetensors weights and no code of its own; fetch it again if it is damaged.",
        ) from error
    if scheduler is not None:
        pipeline.scheduler = _other_scheduler(diffusers, pipeline, scheduler, name)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def choose_dtype(dtype: str, device: str) -> str:
    """The precision; "auto" becomes bfloat16 or float16 on a GPU, and float32 elsewhere."""
    import torch

    if dtype != "auto":
        return dtype
    if not device.startswith("cuda"):
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def _other_scheduler(diffusers: Any, pipeline: Any, wanted: str, name: str) -> Any:
    own = pipeline.scheduler
    known = {kind.__name__: kind for kind in [type(own), *getattr(own, "compatibles", [])]}
    if wanted not in known:
        error = UnknownNameError("scheduler", wanted, known)
        error.argument = name
        raise error
    return known[wanted].from_config(own.config)
