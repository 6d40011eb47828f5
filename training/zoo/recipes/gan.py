"""The conditional GAN: a projection critic that sees through a frozen segmenter too, and a frozen teacher.

The critic scores whole pictures against their captions (projection, Miyato & Koyama 2018) and patches for themselves;
captions of other pictures count as false. Features that were learnt beforehand let it tell what matters from the first
step on (projected GANs, Sauer et al. 2021). The generator is asked to be read rightly by the teacher (AC-GAN). The
gradient penalty on drawn pictures is taken by finite differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.recipe import Player, Step
from training.zoo.recipes.clip import attribute_loss
from training.zoo.recipes.conditioned import TEXT, Conditioned, entry
from training.zoo.recipes.store import save_half
from training.zoo.recipes.teacher import SIGHT, sight

from morelli.generators.zoo.pipelines.gan import START_SIDE, GanGenerator

WIDTHS = (40, 64, 96)
FEATURES = 192
PENALTY, NUDGE, PENALTY_EVERY = 100.0, 0.02, 4
ATTRIBUTES = 3.0


class Down(nn.Module):
    """Residual block that halves the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (n, inputs, h, w) to (n, outputs, h / 2, w / 2)."""
        y = self.first(F.leaky_relu(F.avg_pool2d(x, 2), 0.2))
        return self.skip(F.avg_pool2d(x, 2)) + self.second(F.leaky_relu(y, 0.2))


class Critic(nn.Module):
    """Scores of pictures given their text, and of patches."""

    def __init__(self, text_width: int = 128) -> None:
        super().__init__()
        self.enter = nn.Conv2d(12, WIDTHS[0], 3, padding=1)  # pixels folded 2 × 2
        self.down = nn.ModuleList([Down(a, b) for a, b in pairwise(WIDTHS)])
        self.look = nn.Conv2d(SIGHT, WIDTHS[1], 1)
        self.patch = nn.Conv2d(WIDTHS[-1], 1, 1)
        self.last = nn.Conv2d(WIDTHS[-1], WIDTHS[-1], 3, padding=1, stride=2)
        self.whole = nn.Linear(WIDTHS[-1] * 16, FEATURES)
        self.real = nn.Linear(FEATURES, 1)
        self.project = nn.Linear(text_width, FEATURES)

    def features(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Patch scores (n, 1, 8, 8) and features of the whole (n, FEATURES) of pictures and the segmenter's `sight`."""
        x = self.enter(F.pixel_unshuffle(x, 2))
        for number, down in enumerate(self.down):
            x = down(x)
            if number == 0:
                x = x + self.look(seen)
        x = F.leaky_relu(x, 0.2)
        whole = F.leaky_relu(self.last(x), 0.2).flatten(1)
        return self.patch(x), F.leaky_relu(self.whole(whole), 0.2)

    def whole_score(self, features: Tensor, summary: Tensor) -> Tensor:
        """Score of a picture with its text, shape (n,)."""
        return self.real(features)[:, 0] + (features * self.project(summary)).sum(1) / FEATURES**0.5


class Gan(Conditioned):
    """`GanGenerator` against `Critic`."""

    name = "gan"
    batch = 32
    needs = ("text", "segmenter", "teacher")

    def build(self) -> dict[str, nn.Module]:
        return {"network": GanGenerator(), "critic": Critic()}

    def players(self) -> tuple[Player, ...]:
        kept = {"betas": (0.0, 0.99), "weight_decay": 0.0}
        return (Player("critic", ("critic",), lr=5e-4, **kept), Player("network", ("network",), lr=5e-4, **kept))

    def _made(self, nets: Mapping[str, Any], step: Step, states: Tensor) -> Tensor:
        shape = (len(states), nets["network"].config.noise_channels, START_SIDE, START_SIDE)
        z = torch.randn(shape, generator=step.noise, device=states.device).to(states.dtype)
        return nets["network"](z, states)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        states = self.context.states(self.captions(step)[0])  # none dropped
        return self._judge(nets, step, states) if player == "critic" else self._make(nets, step, states)

    def _judge(self, nets: Mapping[str, Any], step: Step, states: Tensor) -> dict[str, Tensor]:
        critic, summary = nets["critic"], states[:, -1]
        drawn = self.context.pixels(step.rows)
        with torch.no_grad():
            both = torch.cat([drawn, self._made(nets, step, states)])
            seen = sight(self.context.segmenter, both)
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
            nudged_patch, nudged_features = critic.features(nudged, seen[: len(drawn)])
            near = critic.whole_score(nudged_features, summary).float()
            smooth = (right - near).square().mean() + (drawn_patch - nudged_patch.float()).square().mean()
        loss = whole + patch + PENALTY_EVERY * PENALTY * smooth
        return {"loss": loss, "whole": whole, "patch": patch, "smooth": smooth}

    def _make(self, nets: Mapping[str, Any], step: Step, states: Tensor) -> dict[str, Tensor]:
        critic = nets["critic"]
        made = self._made(nets, step, states)
        seen = sight(self.context.segmenter, made)
        patches, features = critic.features(made, seen)
        whole = F.softplus(-critic.whole_score(features, states[:, -1]).float()).mean()
        patch = F.softplus(-patches.float()).mean()
        labels = torch.from_numpy(self.context.pictures.attributes[step.rows]).long().to(self.context.device)
        read = attribute_loss(self.context.teacher(seen), labels)
        return {"loss": whole + patch + ATTRIBUTES * read, "whole": whole, "patch": patch, "read": read}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        net = nets["network"]
        save_half(net, folder / self.name)
        architecture = "convolutional generator from an 8 × 8 noise map with two text layers; GAN, projection critic"
        return entry("gan", self.name, architecture, net, {"network": self.name, **TEXT}, {})
