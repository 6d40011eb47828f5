"""The VQ autoencoder: 64 × 64 pixels to 16 × 16 codes of 512."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from training.zoo.data import SIZE
from training.zoo.recipe import Player, Recipe, Step
from training.zoo.recipes.store import save_half
from training.zoo.recipes.vae import picture_loss

from morelli.generators.zoo.pipelines.common import FOLD
from morelli.generators.zoo.pipelines.folded import FoldedVQModel

CODES = 512
DEPTH = 8
"""Numbers of one code's vector."""
SETTLED = 100
"""Steps without quantisation, so that the codes begin where the encoder's vectors are."""
REVIVE_EVERY = 50


class Vq(Recipe):
    """`FoldedVQModel`, shrinking by 4, without attention."""

    name = "vq"
    batch = 16

    def build(self) -> dict[str, nn.Module]:
        self.used = torch.zeros(CODES)
        self.vectors = torch.zeros(CODES, DEPTH)
        return {
            "vq": FoldedVQModel(
                in_channels=3 * FOLD**2,
                out_channels=3 * FOLD**2,
                down_block_types=("DownEncoderBlock2D",),
                up_block_types=("UpDecoderBlock2D",),
                block_out_channels=(56,),
                layers_per_block=1,
                latent_channels=DEPTH,
                vq_embed_dim=DEPTH,
                num_vq_embeddings=CODES,
                norm_num_groups=8,
                sample_size=SIZE,
                mid_block_add_attention=False,
            )
        }

    def players(self) -> tuple[Player, ...]:
        return (Player("vq", ("vq",), lr=2e-3, weight_decay=0.0),)

    def precise(self, nets: Mapping[str, Any]) -> None:
        nets["vq"].quantize.float()

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        model = nets["vq"]
        pixels, objects = self.context.pixels(step.rows), self.context.objects(step.rows)
        found = model.encode(pixels).latents
        rows = found.detach().float().permute(0, 2, 3, 1).reshape(-1, DEPTH)
        places = torch.randint(len(rows), (CODES,), generator=step.noise, device=rows.device)
        self.vectors = rows[places].cpu()
        if step.number < SETTLED:
            picture = picture_loss(model.decode(found, force_not_quantize=True).sample, pixels, objects)
            spread = 0.01 * found.float().square().mean()
            return {"loss": picture + spread, "picture": picture}
        codes, commitment, (_, _, chosen) = model.quantize(found.float())
        self.used += torch.bincount(chosen.flatten(), minlength=CODES).cpu()
        made = model.decode(codes.to(found.dtype), force_not_quantize=True).sample
        picture = picture_loss(made, pixels, objects)
        alive = (self.used > 0).float().mean()
        return {"loss": picture + commitment, "picture": picture, "commitment": commitment, "alive": alive}

    @torch.no_grad()
    def after_step(self, nets: Mapping[str, Any], step: int) -> None:
        """Put codes that nothing was mapped to for a while where vectors are (all of them at the beginning)."""
        if step < SETTLED - 1 or (step - SETTLED + 1) % REVIVE_EVERY:
            return
        dead = self.used == 0
        nets["vq"].quantize.embedding.weight[dead] = self.vectors[dead].to(self.context.device)
        self.used.zero_()

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        save_half(nets["vq"], folder / self.name)
        return {}
