"""From files to a pipeline that runs: components in their libraries' own layout, checked, fp32 on the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.errors import MissingExtraError, UnknownNameError, WeightsError
from morelli.generators.base import Setting
from morelli.generators.zoo.manifest import Entry, Manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Pipeline = Callable[[Sequence[str], Sequence[int]], "NDArray[np.uint8]"]

#: Component → module and class that reads its folder.
_CLASSES: dict[str, tuple[str, str]] = {
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "PreTrainedTokenizerFast"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "transformer": ("diffusers", "PixArtTransformer2DModel"),
    "vae": ("morelli.generators.zoo.pipelines.folded", "FoldedKLDecoder"),
    "vqvae": ("morelli.generators.zoo.pipelines.folded", "FoldedVQDecoder"),
    "language_model": ("transformers", "GPT2Model"),
    "patch_model": ("transformers", "GPT2LMHeadModel"),
    "network": ("morelli.generators.zoo.pipelines.gan", "GanGenerator"),
}
_DIFFUSION = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpm": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}
#: Samplers that a deployment may ask for, by the pipeline's kind.
_SCHEDULERS = {"pixel": _DIFFUSION, "latent": _DIFFUSION, "flow": {"euler-flow": "FlowMatchEulerDiscreteScheduler"}}


def load_pipeline(manifest: Manifest, entry: Entry, settings: Mapping[str, Setting]) -> Pipeline:
    """A function from prompts and seeds to pixels.

    Raises
    ------
    MissingExtraError
        diffusers, transformers or, for a LoRA, peft is not installed.
    WeightsError
        A file is absent or is not the one that the manifest lists.
    UnknownNameError
        A scheduler that this kind of model does not have.
    """
    manifest.check(*entry.components.values())
    try:
        for library in ("diffusers", "transformers", *(["peft"] if "lora" in entry.components else [])):
            importlib.import_module(library)
    except ImportError as error:
        raise MissingExtraError("generators", f"The built-in model {entry.name}") from error
    parts: dict[str, Any] = {
        part: _read_shared(part, manifest.folder / folder, _digest(manifest, folder))
        for part, folder in entry.components.items()
        if part not in ("scheduler", "lora")
    }
    if "scheduler" in entry.components:
        parts["scheduler"] = _scheduler(manifest.folder / entry.components["scheduler"], entry.kind, settings)
    if "lora" in entry.components:  # the base's network is shared with nobody else then
        parts["unet"] = _read("unet", manifest.folder / entry.components["unet"])
        parts["lora"] = manifest.folder / entry.components["lora"]
    with quiet():
        build = importlib.import_module(f"morelli.generators.zoo.pipelines.{entry.kind}").build
        return _calm(build(parts, settings))


def _digest(manifest: Manifest, folder: str) -> str:
    return " ".join(manifest.files[path][1] for path in manifest.files_of(folder))


@cache
def _read_shared(part: str, folder: Path, digest: str) -> Any:
    """A component that several models use, read once; ``digest`` tells one state of its files from another."""
    return _read(part, folder)


def _read(part: str, folder: Path) -> Any:
    """A component from its folder.

    Raises
    ------
    WeightsError
        The installed library does not read it, though its files are those that the manifest lists.
    """
    import torch

    module, name = _CLASSES[part]
    cls = getattr(importlib.import_module(module), name)
    try:
        if part == "tokenizer":
            return cls.from_pretrained(folder, local_files_only=True)
        with quiet():
            net = cls.from_pretrained(folder, local_files_only=True, use_safetensors=True, torch_dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        said = " ".join(str(error).split())[:300]
        fix = "Install a version of diffusers and transformers that pyproject.toml allows."
        raise WeightsError(f"{name} does not read {folder} ({said}).", argument="zoo", fix=fix) from error
    return net.eval().requires_grad_(False)


def _scheduler(folder: Path, kind: str, settings: Mapping[str, Setting]) -> Any:
    import diffusers

    name, known = str(settings["scheduler"]), _SCHEDULERS[kind]
    if name not in known:
        raise UnknownNameError("scheduler", name, known)
    cls: Any = getattr(diffusers, known[name])
    return cls.from_pretrained(folder, local_files_only=True)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, no advice on text towers read out of a whole CLIP or on networks cast to another type."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging

    levels, bars = (logging.get_verbosity(), diffusers_logging.get_verbosity()), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    diffusers_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(levels[0])
        diffusers_logging.set_verbosity(levels[1])
        if bars:
            logging.enable_progress_bar()


def _calm(run: Pipeline) -> Pipeline:
    """The pipeline on one thread: sums then have one order on any number of cores, and small networks lose nothing."""
    import torch

    def calm(prompts: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                return run(prompts, seeds)
        finally:
            torch.set_num_threads(threads)

    return calm
