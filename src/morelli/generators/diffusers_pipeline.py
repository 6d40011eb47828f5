"""``diffusers:ID_OR_FOLDER``: any text-to-image pipeline of diffusers, with LoRA weights and another scheduler."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from morelli.devices import choose_device
from morelli.errors import InputError, RefusedContentError
from morelli.generators.base import SEEDS, Generated, Setting
from morelli.generators.diffusers_find import Place, find, find_lora
from morelli.generators.diffusers_library import quiet
from morelli.generators.diffusers_load import choose_dtype, load_pipeline
from morelli.generators.diffusers_options import DiffusersOptions
from morelli.generators.files import file_digest
from morelli.generators.options import scalar_settings
from morelli.generators.prompts import clean


class DiffusersGenerator:
    """Runs a pipeline on this machine; a local folder needs no network.

    Weights are read as safetensors only, and code that comes with a model is never run. Noise comes from one
    generator an image on the CPU, and images are made one by one, so an image depends on its seed alone, and not on
    how many are asked for.
    """

    hosted = False
    host = None
    Options = DiffusersOptions

    def __init__(self, source: str, options: DiffusersOptions) -> None:
        self.id = f"diffusers:{source}"
        if not source:
            raise InputError("must be followed by a hub id or a folder.", argument=self.id)
        options.check(self.id)
        self._source = source
        self._options = options
        folder = Path(source).expanduser()
        base = folder.resolve().name if folder.is_dir() else source
        self.model = options.model or "+".join([base, *(Path(name).stem for name in options.lora)])
        self.family = options.family or ""
        self.base = options.base or ""

    @cached_property
    def _place(self) -> Place:
        return find(self._source, self._options.revision, self._options.variant, self.id)

    @cached_property
    def _loras(self) -> tuple[Path, ...]:
        return tuple(find_lora(name, self.id) for name in self._options.lora)

    @cached_property
    def revision(self) -> str:
        """12 digits: the commit, or for a folder the SHA-256 of its files; with LoRA weights, of both together."""
        base = self._place.revision
        if not self._loras:
            return base[:12]
        return hashlib.sha256("".join([base, *map(file_digest, self._loras)]).encode()).hexdigest()[:12]

    @cached_property
    def settings(self) -> Mapping[str, Setting]:
        """What shapes an image: the options, the pipeline's class, and the precision that "auto" chose."""
        given = self._options
        device = choose_device(given.device, self.id, ("cuda", "mps"))
        lora = ", ".join(Path(name).name for name in given.lora) or None
        return scalar_settings(
            pipeline=self._place.pipeline,
            lora=lora,
            lora_scale=given.lora_scale if lora else None,
            scheduler=given.scheduler,
            steps=given.steps,
            guidance=given.guidance,
            negative_prompt=given.negative_prompt,
            width=given.width,
            height=given.height,
            dtype=choose_dtype(given.dtype, device),
        )

    @cached_property
    def _pipeline(self) -> Any:
        given = self._options
        device = choose_device(given.device, self.id, ("cuda", "mps"))
        dtype = choose_dtype(given.dtype, device)
        pipeline = load_pipeline(self._place, dtype, device, given.variant, given.scheduler, self.id)
        for number, file in enumerate(self._loras):
            self._add_lora(pipeline, file, f"lora{number}")
        if self._loras:
            pipeline.set_adapters([f"lora{n}" for n in range(len(self._loras))], [given.lora_scale] * len(self._loras))
        return pipeline

    def _add_lora(self, pipeline: Any, file: Path, name: str) -> None:
        try:
            with quiet():
                pipeline.load_lora_weights(
                    str(file.parent),
                    weight_name=file.name,
                    adapter_name=name,
                    local_files_only=True,
                    use_safetensors=True,
                )
            # Weights of another model may be passed over with no more than a line in the log.
            if name not in {each for names in pipeline.get_list_adapters().values() for each in names}:
                raise ValueError("none of their layers is in it")
        except (OSError, ValueError, RuntimeError, LookupError, AttributeError) as error:
            text = " ".join(str(error).split())[:300]
            raise InputError(
                f"the LoRA weights {file.name} do not fit this pipeline ({text}).",
                argument=self.id,
                fix="Name weights that were trained on this model.",
            ) from error

    @cached_property
    def _arguments(self) -> dict[str, Any]:
        """Arguments of each call; an option that the pipeline does not have is refused."""
        given = self._options
        wanted = scalar_settings(
            num_inference_steps=given.steps,
            guidance_scale=given.guidance,
            negative_prompt=given.negative_prompt,
            width=given.width,
            height=given.height,
        )
        known = inspect.signature(self._pipeline.__call__).parameters
        for name in ("prompt", "generator", *wanted):
            if name not in known:
                what = "is no text-to-image pipeline" if name in ("prompt", "generator") else f"takes no {name}"
                raise InputError(f"{self._place.pipeline} {what}.", argument=self.id, fix="Leave the option out.")
        return wanted

    def generate(self, prompt: str, count: int, seed: int) -> Sequence[Generated]:
        """Images of a prompt, one after the other; see `Generator`.

        Raises
        ------
        UnknownModelError, HostError, WeightsError, MissingExtraError
            The pipeline cannot be loaded.
        InputError
            An option does not fit it, or a seed has more than 32 bits.
        RefusedContentError
            Its safety checker blanked an image.
        """
        text = clean(prompt)
        if not 0 <= seed <= SEEDS - count:
            raise InputError(f"must be at least 0 and below 2**32 - {count - 1}; got {seed}.", argument="seed")
        return [self._one(text, seed + number) for number in range(count)]

    def _one(self, prompt: str, seed: int) -> Generated:
        import numpy as np
        import torch

        noise = torch.Generator("cpu").manual_seed(seed)
        arguments = self._arguments
        try:
            made = self._pipeline(prompt, generator=noise, output_type="pil", **arguments)
        except torch.OutOfMemoryError as error:
            fix = "Ask for a smaller size, take dtype = bfloat16, or device = cpu."
            raise InputError("the device has too little memory.", argument=self.id, fix=fix) from error
        except ValueError as error:  # diffusers checks sizes and the like in the call
            text = " ".join(str(error).split())[:300]
            raise InputError(f"the pipeline refuses an option ({text}).", argument=self.id) from error
        if any(getattr(made, "nsfw_content_detected", None) or ()):
            raise RefusedContentError(
                f"the pipeline's safety checker blanked the image for seed {seed}.",
                argument=self.id,
                fix="Change the prompt or the seed.",
            )
        pixels = np.array(made.images[0].convert("RGB"))
        revision, settings = self.revision, dict(self.settings)
        return Generated(pixels, self.model, self.family, revision, prompt, seed, settings)
