"""The pixel U-Nets: diffusion over pixels folded 4 × 4 into channels, predicting the clean picture."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.recipe import Player, Step
from training.zoo.recipes.conditioned import TEXT, Conditioned, entry
from training.zoo.recipes.segmenter import segmentation_loss
from training.zoo.recipes.store import save_half

from morelli.generators.zoo.pipelines.common import FOLD, SIZE

TIMES = 1000
LEAST_VARIANCE = 0.05
"""Noise variance under which the loss is not weighted higher."""
READ = 0.2
"""Weight of the segmenter's loss."""
_CONV, _TEXT, _UP_TEXT, _UP = "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"


def make_scheduler(prediction: str) -> Any:
    """The cosine noise schedule, and the sampler that its model is shipped with."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=TIMES,
        beta_schedule="squaredcos_cap_v2",
        prediction_type=cast("Any", prediction),
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        steps_offset=1,  # without effect on trailing steps; Stable Diffusion's pipeline asks for it
    )


@cache
def alphas_of(device: torch.device) -> Tensor:
    """Share of the picture in the variance at each of the `TIMES`, shape (TIMES,)."""
    return make_scheduler("sample").alphas_cumprod.to(device)


def spoilt(x: Tensor, step: Step) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Noisy ``x`` with its times, noise, and the two scales, each shape (n, 1, 1, 1)."""
    alphas = alphas_of(x.device)
    times = (step.uniform(len(x), x.device) * TIMES).long()
    kept = alphas[times][:, None, None, None]
    noise = step.normal_like(x)
    return (kept.sqrt() * x + (1 - kept).sqrt() * noise).to(x.dtype), times, noise, kept.sqrt(), (1 - kept).sqrt()


class Unet(Conditioned):
    """`diffusers.UNet2DConditionModel` at 16 × 16 and 8 × 8, text at 8 × 8."""

    name = "unet"
    batch = 64
    needs = ("text", "segmenter")

    def build(self) -> dict[str, nn.Module]:
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        channels = 3 * FOLD**2
        return {
            "unet": UNet2DConditionModel(
                sample_size=SIZE // FOLD,
                in_channels=channels,
                out_channels=channels,
                layers_per_block=1,
                block_out_channels=(56, 64),
                down_block_types=(_CONV, _TEXT),
                up_block_types=(_UP_TEXT, _UP),
                mid_block_type=None,
                cross_attention_dim=128,
                attention_head_dim=4,  # the number of heads, for all its name
                norm_num_groups=8,
            )
        }

    def players(self) -> tuple[Player, ...]:
        return (Player("unet", ("unet",), lr=1e-3),)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        x = F.pixel_unshuffle(self.context.pixels(step.rows), FOLD)
        noisy, times, _, kept, spread = spoilt(x, step)
        made = nets["unet"](noisy, times, encoder_hidden_states=self.states(step)).sample
        error = (made.float() - x.float()).square().mean(dim=(1, 2, 3))
        # An error of the clean picture, weighted as the error of the velocity that it implies.
        weight = 1 / spread.flatten().square().clamp(min=LEAST_VARIANCE)
        misread = segmentation_loss(
            self.context.segmenter(F.pixel_shuffle(made, FOLD)), self.context.objects(step.rows)
        )
        # Where noise hides what the picture shows, the best guess is a blur that cannot be read.
        read = (kept.flatten().square() * misread).mean()
        loss = (weight * error).mean() + READ * read
        return {"loss": loss, "clean": error.mean(), "read": read}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        net = nets["unet"]
        architecture = "U-Net on pixels folded 4 × 4 into channels; diffusion, clean-picture prediction"
        save_half(net, folder / self.name / "unet")
        make_scheduler("sample").save_pretrained(folder / self.name / "scheduler")
        own = {"unet": f"{self.name}/unet", "scheduler": f"{self.name}/scheduler"}
        settings = {"steps": 20, "guidance": 1.5, "scheduler": "ddpm"}
        return entry("pixel", self.name, architecture, net, {**own, **TEXT}, settings)


class UnetB(Unet):
    """The same from another seed: other weights to begin with, another order of the pictures, other noise."""

    name = "unet-b"
    seed = 1
