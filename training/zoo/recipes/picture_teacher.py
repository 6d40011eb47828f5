"""The picture teacher: from pixels to the scene's attributes, counts and relation among them.

A GAN learns what pleases the teacher of latents alone: that one read the captions in its latents more often than in
the drawn pictures' own. What it draws is therefore read again where people look, in the pixels that its decoder makes.
The network is not the reader's that measures agreement, and sees drawn pictures only: as they are, blurred, noisy, and
as the decoder gives them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.data import GRID
from training.zoo.recipe import Player, Step
from training.zoo.recipes.clip import AttributeReader
from training.zoo.recipes.encoded import encoded
from training.zoo.recipes.segmenter import FILE, KINDS, Block, PixelSegmenter, segmentation_loss
from training.zoo.recipes.teacher import taught_loss

STEM, WIDTH, FEATURES = 32, 64, 256
GIVEN_BACK = 0.5
"""Part of the pictures that are shown as the decoder gives them back."""
HAZE = 0.3
"""Most noise on their latents, in units of the latents' spread."""


class PictureTeacher(nn.Module):
    """Pictures (n, 3, 64, 64), -1 to 1, to class scores of attributes (n, len(attributes), classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 5, stride=2, padding=2)
        self.down = nn.Conv2d(STEM, WIDTH, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(WIDTH), Block(WIDTH))
        self.show = nn.Conv2d(WIDTH, sum(KINDS), 1)
        self.gather = nn.Conv2d(WIDTH + sum(KINDS), WIDTH, 3, stride=2, padding=1)
        self.around = nn.Sequential(Block(WIDTH), nn.GroupNorm(8, WIDTH), nn.SiLU())
        self.think = nn.Linear(WIDTH * (GRID // 4) ** 2, FEATURES)
        self.read = AttributeReader(FEATURES)

    def look(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores of attributes, and of every position (n, sum(KINDS), GRID, GRID)."""
        features = F.silu(self.blocks(self.down(F.silu(self.stem(pixels)))))
        shown = self.show(features)
        near = self.around(self.gather(torch.cat([features, shown], dim=1)))
        return self.read(F.silu(self.think(F.max_pool2d(near, 2).flatten(1)))), shown

    def forward(self, pixels: Tensor) -> Tensor:
        return self.look(pixels)[0]


def load_picture_teacher(folder: Path) -> PictureTeacher:
    """The trained network, fp32."""
    from safetensors.torch import load_file

    net = PictureTeacher()
    net.load_state_dict(load_file(folder / FILE))
    return net


class PictureTeacherRecipe(PixelSegmenter):
    """Learns what each position shows and what the whole does."""

    name = "picture-teacher"
    needs = ("vae", "vae-b")

    def build(self) -> dict[str, nn.Module]:
        return {"teacher": PictureTeacher()}

    def players(self) -> tuple[Player, ...]:
        return (Player("teacher", ("teacher",), lr=2e-3),)

    def before(self) -> None:
        self.latents = encoded(self.context)

    def seen(self, step: Step) -> Tensor:
        back = step.rows[: int(GIVEN_BACK * len(step.rows))]
        latents = torch.from_numpy(self.latents[back]).to(self.context.device, torch.bfloat16)
        haze = HAZE * step.uniform(len(back), latents.device)[:, None, None, None].to(latents.dtype)
        with torch.no_grad():
            given = self.context.decoded(latents + haze * step.normal_like(latents))
        drawn = super().seen(step)[len(back) :]
        return torch.cat([self.noisy(given, step), drawn])

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        labels = torch.from_numpy(self.context.pictures.attributes[step.rows]).long().to(self.context.device)
        scores, shown = nets["teacher"].look(self.seen(step))
        read = taught_loss(scores, labels)
        where = segmentation_loss(shown, self.context.objects(step.rows)).mean()
        return {"loss": read + where, "read": read, "where": where}
