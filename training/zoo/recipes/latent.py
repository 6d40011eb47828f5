"""Latent diffusion over the KL autoencoder's 8 × 8 positions, a full fine-tune of it, and a LoRA of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from training.zoo.recipe import Player, Step
from training.zoo.recipes.conditioned import TEXT, Conditioned, entry
from training.zoo.recipes.encoded import STYLED, encoded
from training.zoo.recipes.own import ROWS, SCALES, is_own, own_guess, own_loss
from training.zoo.recipes.segmenter import segmentation_loss
from training.zoo.recipes.store import save_half
from training.zoo.recipes.unet import TIMES, alphas_of, make_scheduler, spoilt
from training.zoo.recipes.vae import LATENT_SIDE, LATENTS

ARCHITECTURE = "U-Net on 8 × 8 latents of a KL autoencoder; diffusion, v prediction"
RANK = 8


class Latent(Conditioned):
    """`diffusers.UNet2DConditionModel` at 8 × 8, text at every layer."""

    name = "latent"
    batch = 64
    needs = ("text", "vae", "latent-segmenter", "teacher")
    style: ClassVar[str] = ""
    lr: ClassVar[float] = 1e-3
    read: ClassVar[float] = 1.5
    """Weight of the segmenter's loss, position by position; it knows the drawn world's look alone."""

    def build(self) -> dict[str, nn.Module]:
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        return {
            "unet": UNet2DConditionModel(
                sample_size=LATENT_SIDE,
                in_channels=LATENTS,
                out_channels=LATENTS,
                layers_per_block=1,
                block_out_channels=(72,),
                down_block_types=("CrossAttnDownBlock2D",),
                up_block_types=("CrossAttnUpBlock2D",),
                mid_block_type=None,
                cross_attention_dim=128,
                attention_head_dim=4,  # the number of heads, for all its name
                norm_num_groups=8,
            )
        }

    def players(self) -> tuple[Player, ...]:
        return (Player("unet", ("unet",), lr=self.lr),)

    def before(self) -> None:
        self.latents = encoded(self.context, self.style)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        if self.style:
            step.rows = np.unique(step.rows % STYLED)
        x = torch.from_numpy(self.latents[step.rows]).to(self.context.device, torch.bfloat16)
        noisy, times, noise, kept, spread = spoilt(x, step)
        made = nets["unet"](noisy, times, encoder_hidden_states=self.states(step)).sample
        velocity = kept * noise.float() - spread * x.float()
        error = (made.float() - velocity).square().mean()
        clean = (kept * noisy.float() - spread * made.float()).to(noisy.dtype)
        misread = segmentation_loss(self.context.latent_segmenter(clean), self.context.objects(step.rows))
        # Where noise hides what the picture shows, the best guess is a blur that cannot be read.
        read = (kept.flatten().square() * misread).mean()
        parts = {"loss": error + self.read * read, "velocity": error, "read": read}
        if is_own(step, 0 if self.style else None):  # what is tuned further makes pictures from the first step on
            parts["own"] = self._own(nets["unet"], step)
            parts["loss"] = parts["loss"] + parts["own"]
        return parts

    def _own(self, net: Any, step: Step) -> Tensor:
        """The teacher's loss of what the model makes of noise."""
        rows = step.rows[:ROWS]
        states = self.context.states(self.context.pictures.wording(step.rng, rows))
        alphas = alphas_of(self.context.device)
        times = [TIMES - 1 - k * TIMES // SCALES for k in range(SCALES)]
        scales = [(float(alphas[t]) ** 0.5, (1 - float(alphas[t])) ** 0.5) for t in times]

        def guess(x: Tensor, k: int) -> Tensor:
            kept, spread = scales[k]
            velocity = net(x.to(torch.bfloat16), times[k], encoder_hidden_states=states).sample.float()
            return kept * x - spread * velocity

        noise = torch.randn((len(rows), LATENTS, LATENT_SIDE, LATENT_SIDE), generator=step.noise, device=alphas.device)
        return own_loss(self.context, *own_guess(guess, noise, scales, step, fresh=1.0), step)

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        net = nets["unet"]
        save_half(net, folder / self.name / "unet")
        make_scheduler("v_prediction").save_pretrained(folder / self.name / "scheduler")
        return self._entry(net, {"unet": f"{self.name}/unet"}, ARCHITECTURE)

    def _entry(self, net: nn.Module | int, own: Mapping[str, str], architecture: str) -> dict[str, Any]:
        scheduler = {"scheduler": "latent/scheduler", "vae": "vae"}
        settings = {"steps": 20, "guidance": 2.0, "scheduler": "ddpm"}
        return entry("latent", self.name, architecture, net, {**own, **scheduler, **TEXT}, settings, base="latent")


class LatentTuned(Latent):
    """All weights of ``latent`` trained on in a faded sub-world."""

    name = "latent-tuned"
    needs = ("text", "vae", "latent-segmenter", "latent")
    style = "faded"
    read = 0.0
    seed = 2
    lr = 3e-4

    def build(self) -> dict[str, nn.Module]:
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        folder = self.context.export / "latent" / "unet"
        return {"unet": UNet2DConditionModel.from_pretrained(folder, torch_dtype=torch.float32)}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        save_half(nets["unet"], folder / self.name / "unet")
        return self._entry(nets["unet"], {"unet": f"{self.name}/unet"}, f"full fine-tune of latent; {ARCHITECTURE}")


class LatentLora(LatentTuned):
    """Low-rank updates (peft) of ``latent``'s attention and feed-forward layers in a warm sub-world."""

    name = "latent-lora"
    style = "warm"
    seed = 3
    lr = 2e-3

    def build(self) -> dict[str, nn.Module]:
        from peft import LoraConfig

        unet: Any = super().build()["unet"].requires_grad_(False)
        layers = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]
        unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=layers))
        return {"unet": unet}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
        from peft.utils.save_and_load import get_peft_model_state_dict

        layers: dict[str, Any] = {key: value.half() for key, value in get_peft_model_state_dict(nets["unet"]).items()}
        StableDiffusionPipeline.save_lora_weights(folder / self.name, unet_lora_layers=layers, safe_serialization=True)
        own = {"unet": "latent/unet", "lora": self.name}
        return self._entry(
            sum(v.numel() for v in layers.values()), own, f"LoRA of rank {RANK} on latent; {ARCHITECTURE}"
        )
