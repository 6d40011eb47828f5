"""Latent diffusion: diffusers' own Stable Diffusion pipeline around small networks, with a LoRA where one is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

from morelli.generators.zoo.pipelines.common import SIZE, chances, noise

if TYPE_CHECKING:
    from numpy.typing import NDArray


def build(
    parts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]:
    """A function from prompts and seeds to pixels."""
    pipeline = StableDiffusionPipeline(
        vae=parts["vae"],
        unet=parts["unet"],
        scheduler=parts["scheduler"],
        text_encoder=parts["text_encoder"],
        tokenizer=parts["tokenizer"],
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    if "lora" in parts:
        pipeline.load_lora_weights(parts["lora"], local_files_only=True, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    side: int = parts["unet"].config.sample_size
    shape = (parts["unet"].config.in_channels, side, side)
    steps, guidance = int(settings["steps"]), float(settings["guidance"])

    def run(prompts: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        chance = chances(seeds)
        made: Any = pipeline(
            prompt=list(prompts),
            height=SIZE,
            width=SIZE,
            num_inference_steps=steps,
            guidance_scale=guidance,
            latents=noise(shape, chance),
            generator=chance,  # ancestral samplers add noise at every step
            output_type="np",
        )
        return (made.images * 255).round().astype(np.uint8)

    return run
