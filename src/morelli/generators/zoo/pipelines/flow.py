"""Rectified flow by a transformer over the positions of an autoencoder's latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from morelli.generators.zoo.pipelines.common import chances, guide, guided_states, noise, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES = 1000
NO_SIZES: dict[str, None] = {"resolution": None, "aspect_ratio": None}


class FlowTransformerPipeline(DiffusionPipeline):
    """Text to latents with a `diffusers.PixArtTransformer2DModel`, latents to pixels with an autoencoder.

    The transformer predicts the flow's velocity, noise minus latents (Liu et al. 2023, eq. 1, with time reversed).

    Parameters
    ----------
    transformer, scheduler, vae, text_encoder, tokenizer
        Networks and scheduler of diffusers and transformers.
    """

    def __init__(self, transformer: Any, scheduler: Any, vae: Any, text_encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer, scheduler=scheduler, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer
        )

    def __call__(
        self, prompts: Sequence[str], seeds: Sequence[int], steps: int = 20, guidance: float = 3.0
    ) -> NDArray[np.uint8]:
        """Pictures, shape (n, 64, 64, 3), uint8, one for each prompt and seed."""
        states = guided_states(self.tokenizer, self.text_encoder, prompts)
        self.scheduler.set_timesteps(steps)
        side, channels = self.transformer.config.sample_size, self.transformer.config.in_channels
        x = noise((channels, side, side), chances(seeds))
        for t in self.scheduler.timesteps:
            both = self.transformer(
                x.repeat(2, 1, 1, 1),
                encoder_hidden_states=states,
                timestep=t.expand(2 * len(x)),
                added_cond_kwargs=NO_SIZES,
            ).sample
            x = self.scheduler.step(guide(both, guidance), t, x).prev_sample
        return to_pixels(self.vae.decode(x / self.vae.config.scaling_factor).sample)


def build(
    parts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]:
    """A function from prompts and seeds to pixels."""
    pipeline = FlowTransformerPipeline(**parts)
    steps, guidance = int(settings["steps"]), float(settings["guidance"])
    return lambda prompts, seeds: pipeline(prompts, seeds, steps, guidance)
