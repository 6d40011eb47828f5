"""The rectified-flow transformer on pixels, one token a patch of 8 × 8, predicting the clean picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from training.zoo.recipe import Player, Step
from training.zoo.recipes.conditioned import TEXT, Conditioned, entry
from training.zoo.recipes.store import save_half

from morelli.generators.zoo.pipelines.common import SIZE
from morelli.generators.zoo.pipelines.flow import NO_SIZES, TIMES

LEAST_SIGMA = 0.2
"""Noise level under which the loss is not weighted higher."""
SHIFT = 0.6
"""Centre of the logit-normal noise levels: what a picture shows is decided where there is more noise than picture."""


class Dit(Conditioned):
    """`diffusers.PixArtTransformer2DModel`, 4 layers of width 128."""

    name = "dit"
    batch = 64

    def build(self) -> dict[str, nn.Module]:
        from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel

        return {
            "transformer": PixArtTransformer2DModel(
                num_attention_heads=4,
                attention_head_dim=32,
                in_channels=3,
                out_channels=3,
                num_layers=4,
                cross_attention_dim=128,
                sample_size=SIZE,
                patch_size=8,
                caption_channels=128,
                interpolation_scale=1,
                use_additional_conditions=False,
            )
        }

    def players(self) -> tuple[Player, ...]:
        return (Player("transformer", ("transformer",), lr=1e-3),)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        x = self.context.pixels(step.rows)
        level = torch.randn(len(x), generator=step.noise, device=x.device) + SHIFT
        sigma = level.sigmoid()[:, None, None, None]
        noisy = ((1 - sigma) * x + sigma * step.normal_like(x)).to(x.dtype)
        made = nets["transformer"](
            noisy,
            encoder_hidden_states=self.states(step),
            timestep=sigma.flatten() * TIMES,
            added_cond_kwargs=NO_SIZES,
        ).sample
        error = (made.float() - x.float()).square().mean(dim=(1, 2, 3))
        weight = 1 / sigma.flatten().clamp(min=LEAST_SIGMA).square()
        return {"loss": (weight * error).mean(), "clean": error.mean()}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

        net = nets["transformer"]
        architecture = "transformer over 8 × 8 patches of pixels; rectified flow, clean-picture prediction"
        save_half(net, folder / self.name / "transformer")
        FlowMatchEulerDiscreteScheduler(num_train_timesteps=TIMES).save_pretrained(folder / self.name / "scheduler")
        own = {"transformer": f"{self.name}/transformer", "scheduler": f"{self.name}/scheduler"}
        settings = {"steps": 20, "guidance": 3.0, "scheduler": "euler-flow"}
        return entry("flow", self.name, architecture, net, {**own, **TEXT}, settings)
