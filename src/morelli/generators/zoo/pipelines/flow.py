"""Rectified flow on pixels by a transformer over patches that predicts the clean picture.

The clean picture lies near a low-dimensional surface and noise does not, so a narrow transformer can predict the one
and not the other (Li & He 2025, "Back to basics"); the flow's velocity follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from morelli.generators.zoo.pipelines.common import SIZE, guide, guided_states, noise, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES = 1000
SMALLEST = 0.02
"""Noise level under which the velocity is not divided further."""
NO_SIZES: dict[str, None] = {"resolution": None, "aspect_ratio": None}


class FlowTransformerPipeline(DiffusionPipeline):
    """Text to pixels with a `diffusers.PixArtTransformer2DModel`.

    Parameters
    ----------
    transformer, scheduler, text_encoder, tokenizer
        Networks and scheduler of diffusers and transformers.
    """

    def __init__(self, transformer: Any, scheduler: Any, text_encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer
        )

    def __call__(
        self, prompts: Sequence[str], seeds: Sequence[int], steps: int = 20, guidance: float = 3.0
    ) -> NDArray[np.uint8]:
        """Pictures, shape (n, 64, 64, 3), uint8, one for each prompt and seed."""
        states = guided_states(self.tokenizer, self.text_encoder, prompts)
        self.scheduler.set_timesteps(steps)
        x = noise((3, SIZE, SIZE), seeds)
        for t in self.scheduler.timesteps:
            sigma = t / TIMES
            both = self.transformer(
                x.repeat(2, 1, 1, 1),
                encoder_hidden_states=states,
                timestep=t.expand(2 * len(x)),
                added_cond_kwargs=NO_SIZES,
            ).sample
            clean = guide(both, guidance).clamp(-1.1, 1.1)
            x = self.scheduler.step((x - clean) / sigma.clamp(min=SMALLEST), t, x).prev_sample
        return to_pixels(x)


def build(
    parts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]:
    """A function from prompts and seeds to pixels."""
    pipeline = FlowTransformerPipeline(**parts)
    steps, guidance = int(settings["steps"]), float(settings["guidance"])
    return lambda prompts, seeds: pipeline(prompts, seeds, steps, guidance)
