"""The rectified-flow transformer over latents, one token a position, with a decoder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from training.zoo.recipe import Player, Step
from training.zoo.recipes.conditioned import TEXT, Conditioned, entry
from training.zoo.recipes.encoded import encoded
from training.zoo.recipes.own import ROWS, SCALES, is_own, own_guess, own_loss
from training.zoo.recipes.segmenter import segmentation_loss
from training.zoo.recipes.store import save_half
from training.zoo.recipes.vae import LATENT_SIDE, LATENTS

from morelli.generators.zoo.pipelines.flow import NO_SIZES, TIMES

SHIFT = 0.4
"""Centre of the logit-normal noise levels: what a picture shows is decided where there is more noise than picture."""
READ = 2.0
"""Weight of the segmenter's loss."""


class Dit(Conditioned):
    """`diffusers.PixArtTransformer2DModel`, 4 layers of width 128."""

    name = "dit"
    batch = 64
    needs = ("text", "vae", "vae-b", "latent-segmenter", "teacher")

    def build(self) -> dict[str, nn.Module]:
        from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel

        return {
            "transformer": PixArtTransformer2DModel(
                num_attention_heads=4,
                attention_head_dim=32,
                in_channels=LATENTS,
                out_channels=LATENTS,
                num_layers=4,
                cross_attention_dim=128,
                sample_size=LATENT_SIDE,
                patch_size=1,
                caption_channels=128,
                interpolation_scale=1,
                use_additional_conditions=False,
            )
        }

    def players(self) -> tuple[Player, ...]:
        return (Player("transformer", ("transformer",), lr=1e-3),)

    def before(self) -> None:
        self.latents = encoded(self.context)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        x = torch.from_numpy(self.latents[step.rows]).to(self.context.device, torch.float32)
        level = torch.randn(len(x), generator=step.noise, device=x.device) + SHIFT
        sigma = level.sigmoid()[:, None, None, None]
        noise = step.normal_like(x)
        noisy = (1 - sigma) * x + sigma * noise
        made = nets["transformer"](
            noisy.to(torch.bfloat16),
            encoder_hidden_states=self.states(step),
            timestep=sigma.flatten() * TIMES,
            added_cond_kwargs=NO_SIZES,
        ).sample
        error = (made.float() - (noise - x)).square().mean()
        clean = (noisy - sigma * made.float()).to(torch.bfloat16)
        misread = segmentation_loss(self.context.latent_segmenter(clean), self.context.objects(step.rows))
        # Where noise hides what the picture shows, the best guess is a blur that cannot be read.
        read = ((1 - sigma.flatten()).square() * misread).mean()
        parts = {"loss": error + READ * read, "velocity": error, "read": read}
        if is_own(step):
            parts["own"] = self._own(nets["transformer"], step)
            parts["loss"] = parts["loss"] + parts["own"]
        return parts

    def _own(self, net: Any, step: Step) -> Tensor:
        """The teacher's loss of what the model makes of noise."""
        rows, device = step.rows[:ROWS], self.context.device
        states = self.context.states(self.context.pictures.wording(step.rng, rows))
        scales = [(k / SCALES, 1 - k / SCALES) for k in range(SCALES)]

        def guess(x: Tensor, k: int) -> Tensor:
            sigma = torch.full((len(x),), scales[k][1], device=device)
            velocity = net(
                x.to(torch.bfloat16),
                encoder_hidden_states=states,
                timestep=sigma * TIMES,
                added_cond_kwargs=NO_SIZES,
            ).sample.float()
            return x - scales[k][1] * velocity

        noise = torch.randn((len(rows), LATENTS, LATENT_SIDE, LATENT_SIDE), generator=step.noise, device=device)
        return own_loss(self.context, *own_guess(guess, noise, scales, step, fresh=0.0), step)

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

        net = nets["transformer"]
        architecture = "transformer over 8 × 8 latents of a KL autoencoder, decoder of its own; rectified flow"
        save_half(net, folder / self.name / "transformer")
        FlowMatchEulerDiscreteScheduler(num_train_timesteps=TIMES).save_pretrained(folder / self.name / "scheduler")
        own = {"transformer": f"{self.name}/transformer", "scheduler": f"{self.name}/scheduler", "vae": "vae-b"}
        settings = {"steps": 20, "guidance": 3.0, "scheduler": "euler-flow"}
        return entry("flow", self.name, architecture, net, {**own, **TEXT}, settings)
