"""A sampler that is ancestral where there is nothing but noise, and deterministic where the picture is nearly done."""

from __future__ import annotations

from typing import Any

from diffusers.schedulers.scheduling_ddim import DDIMScheduler


class AnnealedScheduler(DDIMScheduler):
    """DDIM whose η falls with the noise: η = 1 − ᾱ at a time's own signal level ᾱ.

    New noise at high levels lets a sampler correct what it placed wrongly; at low levels it costs shapes, because a
    small network does not find back to them. Song et al., *Denoising diffusion implicit models* (2021), equation 16,
    have η between 0 (DDIM) and 1 (DDPM) for all times; Karras et al. (2022) bound the levels at which noise is added.
    """

    def step(self, model_output: Any, timestep: Any, sample: Any, eta: float = 0.0, **options: Any) -> Any:
        """As DDIM's; ``eta`` is taken from the time, whatever is asked for."""
        return super().step(model_output, timestep, sample, eta=1 - float(self.alphas_cumprod[timestep]), **options)
