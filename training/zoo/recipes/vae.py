"""The KL autoencoder that the latent models share: 64 × 64 pixels to 8 × 8 positions of 16 numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.data import SIZE
from training.zoo.recipe import Player, Recipe, Step
from training.zoo.recipes.store import save_half

from morelli.generators.zoo.pipelines.common import FOLD
from morelli.generators.zoo.pipelines.folded import FoldedAutoencoderKL

LATENTS, LATENT_SIDE = 16, 8
KL_WEIGHT = 1e-4


OBJECTS = 4.0
"""How much more an object's pixels weigh: grounds are larger, and busier, than what the captions tell of."""


def picture_loss(made: Tensor, wanted: Tensor, objects: Tensor) -> Tensor:
    """Mean absolute difference of pixels and of their horizontal and vertical steps, more where objects are.

    The steps keep edges and textures, which a plain difference lets blur.

    Parameters
    ----------
    made, wanted : Tensor, shape (n, 3, h, w)
    objects : Tensor, shape (n, rows, columns)
        Above 0 where objects are; h and w are multiples of it.
    """
    made, wanted = made.float(), wanted.float()
    weight = 1 + OBJECTS * (objects > 0)[:, None].to(made.dtype)
    weight = F.interpolate(weight / weight.mean(), size=made.shape[-2:])
    across = weight[..., 1:] * (made.diff(dim=-1) - wanted.diff(dim=-1)).abs()
    down = weight[..., 1:, :] * (made.diff(dim=-2) - wanted.diff(dim=-2)).abs()
    return (weight * (made - wanted).abs()).mean() + across.mean() + down.mean()


class Vae(Recipe):
    """`FoldedAutoencoderKL`, shrinking by 8, without attention."""

    name = "vae"
    batch = 16

    def build(self) -> dict[str, nn.Module]:
        maker: Any = FoldedAutoencoderKL  # diffusers annotates its tuples as if they had one entry
        return {
            "vae": maker(
                in_channels=3 * FOLD**2,
                out_channels=3 * FOLD**2,
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                block_out_channels=(56, 56),
                layers_per_block=1,
                latent_channels=LATENTS,
                norm_num_groups=8,
                sample_size=SIZE,
                mid_block_add_attention=False,
            )
        }

    def players(self) -> tuple[Player, ...]:
        return (Player("vae", ("vae",), lr=2e-3, weight_decay=0.0),)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        pixels = self.context.pixels(step.rows)
        model = nets["vae"]
        code = model.encode(pixels).latent_dist
        latents = code.mean + code.std * step.normal_like(code.mean)
        made = model.decode(latents).sample
        mean, log_variance = code.mean.float(), code.logvar.float()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        picture = picture_loss(made, pixels, self.context.objects(step.rows))
        return {"loss": picture + KL_WEIGHT * kl, "picture": picture, "kl": kl}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        net = nets["vae"]
        net.register_to_config(scaling_factor=float(f"{1 / self._spread(net):.4g}"))
        save_half(net, folder / self.name)
        return {}

    @torch.no_grad()
    def _spread(self, net: Any) -> float:
        """Standard deviation of the latents: diffusion works on latents of unit spread."""
        rows = self.context.pictures.rows(np.random.default_rng(0), 512)
        pixels = self.context.pixels(rows).float().cpu()
        return float(net.encode(pixels).latent_dist.mean.std())


class VaeB(Vae):
    """The same with another decoder on the same latents: the encoder is ``vae``'s and stays."""

    name = "vae-b"
    needs = ("vae",)
    seed = 1

    def build(self) -> dict[str, nn.Module]:
        nets = super().build()
        net: Any = nets["vae"]
        first: Any = FoldedAutoencoderKL.from_pretrained(self.context.export / "vae", torch_dtype=torch.float32)
        for part in ("encoder", "quant_conv"):
            getattr(net, part).load_state_dict(getattr(first, part).state_dict())
            getattr(net, part).requires_grad_(False)
        return nets
