"""The conditional GAN, over latents, with a decoder that was trained against a critic of patches.

The critic scores latents against their captions (projection, Miyato & Koyama 2018) and their surroundings for
themselves; captions of other pictures count as false. It sees through the frozen segmenter of latents too: features
that were learnt beforehand let it tell what matters from the first step on (projected GANs, Sauer et al. 2021). The
generator is asked to be read rightly by frozen teachers (AC-GAN), one of latents and one of the pictures that the
decoder makes of them. The gradient penalty on drawn pictures' latents is taken by finite differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.recipe import Player, Step
from training.zoo.recipes.conditioned import TEXT, Conditioned, entry
from training.zoo.recipes.encoded import encoded
from training.zoo.recipes.own import shown_loss
from training.zoo.recipes.store import save_half
from training.zoo.recipes.teacher import SIGHT, sight, taught_loss
from training.zoo.recipes.vae import LATENTS

from morelli.generators.zoo.pipelines.gan import GanGenerator

WIDTH, FEATURES = 96, 192
PENALTY, NUDGE, PENALTY_EVERY = 50.0, 0.05, 4
TAUGHT = 5.0
"""Weight of the teacher's loss."""
HAZE = 0.3
"""Most noise on what the teacher reads, in units of the latents' spread."""
SHOWN = 10.0
"""Weight of the picture teacher's loss, beside its own."""


class Block(nn.Module):
    """Residual block of the critic."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps to feature maps of the same shape."""
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))


class Critic(nn.Module):
    """Scores of latents given their text, and of each position's surroundings."""

    def __init__(self, text_width: int = 128) -> None:
        super().__init__()
        self.enter = nn.Conv2d(LATENTS, WIDTH, 3, padding=1)
        self.look = nn.Conv2d(SIGHT, WIDTH, 1)
        self.blocks = nn.ModuleList([Block(WIDTH) for _ in range(2)])
        self.patch = nn.Conv2d(WIDTH, 1, 1)
        self.last = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, stride=2)
        self.whole = nn.Linear(WIDTH * 16, FEATURES)
        self.real = nn.Linear(FEATURES, 1)
        self.project = nn.Linear(text_width, FEATURES)

    def features(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of surroundings (n, 1, 8, 8) and features of the whole (n, FEATURES), of latents and their `sight`."""
        x = self.enter(x) + self.look(seen)
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(x, 0.2)
        whole = F.leaky_relu(self.last(x), 0.2).flatten(1)
        return self.patch(x), F.leaky_relu(self.whole(whole), 0.2)

    def whole_score(self, features: Tensor, summary: Tensor) -> Tensor:
        """Score of latents with their text, shape (n,)."""
        return self.real(features)[:, 0] + (features * self.project(summary)).sum(1) / FEATURES**0.5


class Gan(Conditioned):
    """`GanGenerator` against `Critic`."""

    name = "gan"
    batch = 64
    needs = ("text", "vae", "vae-b", "latent-segmenter", "teacher", "picture-teacher")

    def build(self) -> dict[str, nn.Module]:
        return {"network": GanGenerator(), "critic": Critic()}

    def players(self) -> tuple[Player, ...]:
        kept = {"betas": (0.0, 0.99), "weight_decay": 0.0}
        return (Player("critic", ("critic",), lr=5e-4, **kept), Player("network", ("network",), lr=5e-4, **kept))

    def before(self) -> None:
        self.latents = encoded(self.context)

    def _made(self, nets: Mapping[str, Any], step: Step, states: Tensor) -> Tensor:
        shape = nets["network"].config
        size = (len(states), shape.noise_channels, shape.side, shape.side)
        z = torch.randn(size, generator=step.noise, device=states.device).to(states.dtype)
        return nets["network"](z, states)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        states = self.context.states(self.captions(step)[0])  # none dropped
        return self._judge(nets, step, states) if player == "critic" else self._make(nets, step, states)

    def _judge(self, nets: Mapping[str, Any], step: Step, states: Tensor) -> dict[str, Tensor]:
        critic, summary, segmenter = nets["critic"], states[:, -1], self.context.latent_segmenter
        drawn = torch.from_numpy(self.latents[step.rows]).to(self.context.device, torch.bfloat16)
        with torch.no_grad():
            both = torch.cat([drawn, self._made(nets, step, states)])
            seen = sight(segmenter, both)
        patches, features = critic.features(both, seen)
        drawn_patch, made_patch = (each.float() for each in patches.chunk(2))
        drawn_features, made_features = features.chunk(2)
        right = critic.whole_score(drawn_features, summary).float()
        false = critic.whole_score(made_features, summary).float()
        other = critic.whole_score(drawn_features, summary.roll(1, 0)).float()
        whole = F.softplus(-right).mean() + (F.softplus(false).mean() + 0.5 * F.softplus(other).mean())
        patch = F.softplus(-drawn_patch).mean() + F.softplus(made_patch).mean()
        smooth = right.new_zeros(())
        if step.number % PENALTY_EVERY == 0:
            nudged = drawn + NUDGE * step.normal_like(drawn)
            with torch.no_grad():
                nudged_seen = sight(segmenter, nudged)
            nudged_patch, nudged_features = critic.features(nudged, nudged_seen)
            near = critic.whole_score(nudged_features, summary).float()
            smooth = (right - near).square().mean() + (drawn_patch - nudged_patch.float()).square().mean()
        loss = whole + patch + PENALTY_EVERY * PENALTY * smooth
        return {"loss": loss, "whole": whole, "patch": patch, "smooth": smooth}

    def _make(self, nets: Mapping[str, Any], step: Step, states: Tensor) -> dict[str, Tensor]:
        critic = nets["critic"]
        made = self._made(nets, step, states)
        seen = sight(self.context.latent_segmenter, made)
        patches, features = critic.features(made, seen)
        whole = F.softplus(-critic.whole_score(features, states[:, -1]).float()).mean()
        patch = F.softplus(-patches.float()).mean()
        labels = torch.from_numpy(self.context.pictures.attributes[step.rows]).long().to(self.context.device)
        # Read under noise, as the teacher learnt to: what only a clean look takes for a shape is not one to others.
        spread = HAZE * step.uniform(len(made), made.device)[:, None, None, None].to(made.dtype)
        hazy = sight(self.context.latent_segmenter, made + spread * step.normal_like(made))
        read = taught_loss(self.context.teacher(hazy), labels)
        shown = shown_loss(self.context, self.context.decoded(made), step)
        loss = whole + patch + TAUGHT * read + SHOWN * shown
        return {"loss": loss, "whole": whole, "patch": patch, "read": read, "shown": shown}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        net = nets["network"]
        save_half(net, folder / self.name)
        architecture = "one pass from noise to 8 × 8 latents, a KL autoencoder's decoder; GAN, projection critic"
        return entry("gan", self.name, architecture, net, {"network": self.name, "vae": "vae-b", **TEXT}, {})
