"""The teacher: from what the segmenter sees in latents to the scene's attributes, counts and relation among them.

The generator of the GAN is taught by it what captions ask for (AC-GAN with a fixed classifier), and the other models of
latents by what it reads in what they make themselves (`training.zoo.recipes.own`). It learns from the latents of drawn
pictures alone, is frozen then, and has nothing to do with the reader that measures agreement.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.data import GRID, IGNORED
from training.zoo.recipe import Player, Step
from training.zoo.recipes.clip import AttributeReader, attribute_loss
from training.zoo.recipes.segmenter import FILE, KINDS, LATENT_WIDTH, LatentSegmenter
from training.zoo.recipes.vae import LATENT_SIDE

from morelli.generators.zoo.world import SHAPES

WIDTH, FEATURES = 64, 192
COUNTS = 0.5
"""Weight of the counts of the shapes that are there, beside the mean over all attributes."""
SIGHT = sum(KINDS) * (GRID // LATENT_SIDE) ** 2 + LATENT_WIDTH
"""Channels of what the segmenter of latents sees: its scores, folded to the latents' positions, and its features."""


def sight(segmenter: Any, latents: Tensor) -> Tensor:
    """The segmenter's class scores and features, shape (n, SIGHT, 8, 8)."""
    features = segmenter.features(latents)
    return torch.cat([segmenter.leave(features), features], dim=1)


class Teacher(nn.Module):
    """What a segmenter sees (n, SIGHT, 8, 8) to class scores of attributes (n, len(attributes), classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(SIGHT, WIDTH, 3, padding=1),
                *(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2)),
            ]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(8, WIDTH) for _ in range(3)])
        self.think = nn.Linear(WIDTH * LATENT_SIDE**2 // 4, FEATURES)
        self.read = AttributeReader(FEATURES)

    def forward(self, seen: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            seen = F.silu(norm(conv(seen)))
        return self.read(F.silu(self.think(F.max_pool2d(seen, 2).flatten(1))))


def taught_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the attributes, and over the counts of the shapes that are there once more.

    Most attributes are counts of shapes that are not there, which anybody gets right; without the second part a GAN
    draws what the captions name and as much of it as it likes.
    """
    counts = slice(0, 3 * len(SHAPES), 3)
    there = torch.where(labels[:, counts] > 0, labels[:, counts], IGNORED)
    return attribute_loss(scores, labels) + COUNTS * attribute_loss(scores[:, counts], there)


def load_teacher(folder: Path) -> Teacher:
    """The trained network, fp32."""
    from safetensors.torch import load_file

    net = Teacher()
    net.load_state_dict(load_file(folder / FILE))
    return net


class TeacherRecipe(LatentSegmenter):
    """Learns from the latents of drawn pictures, noisy ones among them, through the frozen segmenter."""

    name = "teacher"
    needs = ("vae", "latent-segmenter")

    def build(self) -> dict[str, nn.Module]:
        return {"teacher": Teacher()}

    def players(self) -> tuple[Player, ...]:
        return (Player("teacher", ("teacher",), lr=2e-3),)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        labels = torch.from_numpy(self.context.pictures.attributes[step.rows]).long().to(self.context.device)
        with torch.no_grad():
            seen = sight(self.context.latent_segmenter, self.seen(step))
        return {"loss": taught_loss(nets["teacher"](seen), labels)}
