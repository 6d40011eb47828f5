"""Diffusion on pixels that are folded into channels (pixel unshuffle), by a U-Net that predicts the clean picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.nn.functional as F
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from morelli.generators.zoo.pipelines.common import FOLD, SIZE, chances, guide, guided_states, noise, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PixelDiffusionPipeline(DiffusionPipeline):
    """Text to pixels with a `diffusers.UNet2DConditionModel` at a quarter of the side.

    Parameters
    ----------
    unet, scheduler, text_encoder, tokenizer
        Networks and scheduler of diffusers and transformers.
    """

    def __init__(self, unet: Any, scheduler: Any, text_encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer)

    def __call__(
        self, prompts: Sequence[str], seeds: Sequence[int], steps: int = 20, guidance: float = 3.0
    ) -> NDArray[np.uint8]:
        """Pictures, shape (n, 64, 64, 3), uint8, one for each prompt and seed."""
        states = guided_states(self.tokenizer, self.text_encoder, prompts)
        self.scheduler.set_timesteps(steps)
        chance = chances(seeds)
        x = noise((3 * FOLD**2, SIZE // FOLD, SIZE // FOLD), chance) * self.scheduler.init_noise_sigma
        # Ancestral samplers add noise at every step; others do not ask for any.
        more = {"generator": chance} if "generator" in signature(self.scheduler.step).parameters else {}
        for t in self.scheduler.timesteps:
            both = self.scheduler.scale_model_input(x, t).repeat(2, 1, 1, 1)
            clean = guide(self.unet(both, t, encoder_hidden_states=states).sample, guidance)
            x = self.scheduler.step(clean.clamp(-1.1, 1.1), t, x, **more).prev_sample
        return to_pixels(F.pixel_shuffle(x, FOLD))


def build(
    parts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]:
    """A function from prompts and seeds to pixels."""
    pipeline = PixelDiffusionPipeline(**parts)
    steps, guidance = int(settings["steps"]), float(settings["guidance"])
    return lambda prompts, seeds: pipeline(prompts, seeds, steps, guidance)
