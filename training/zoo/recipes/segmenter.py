"""The segmenter: which shape, colour and texture each position of a picture shows.

The pixel models are asked that their pictures be read rightly, position by position, beside being close in pixels: a
star and a circle differ little in squared error, and a network that sees pictures by the hundred thousand, not by the
hundred million, learns the difference late from it. The segmenter sees drawn pictures only and is thrown away
afterwards. It has nothing to do with the reader that measures agreement, which no model is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.data import split_code
from training.zoo.recipe import Player, Recipe, Step

from morelli.generators.zoo.pipelines.common import FOLD
from morelli.generators.zoo.world import COLOURS, SHAPES, TEXTURES

KINDS = (len(SHAPES) + 1, len(COLOURS), len(TEXTURES))
WIDTH, BLOCKS = 48, 3
THERE = 3.0
"""Weight of a position with an object, beside 1 of an empty one."""
NOISE, BLUR = 0.25, 0.5
"""Most noise, in units of -1 to 1, and the part of the pictures that are blurred: what it reads later is unfinished."""
FILE = "model.safetensors"


class Block(nn.Module):
    """Residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(8, width) for _ in range(2)])
        self.convs = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps to feature maps of the same shape."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.silu(norm(y)))
        return x + y


class Segmenter(nn.Module):
    """Pictures (n, 3, 64, 64), -1 to 1, to class scores (n, sum(KINDS), 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3 * FOLD**2, WIDTH, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(WIDTH) for _ in range(BLOCKS)))
        self.leave = nn.Conv2d(WIDTH, sum(KINDS), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(F.silu(self.blocks(self.enter(F.pixel_unshuffle(x, FOLD)))))


def segmentation_loss(scores: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy of each picture, shape (n,).

    Parameters
    ----------
    scores : Tensor, shape (n, sum(KINDS), 16, 16)
    codes : Tensor, shape (n, 16, 16), int64
        As `training.zoo.data.map_objects` gives them.
    """
    shape, colour, texture = scores.float().split(KINDS, dim=1)
    wanted = split_code(codes)
    there = (codes > 0).float()
    weight = 1 + (THERE - 1) * there
    what = F.cross_entropy(shape, wanted[0], reduction="none") * weight
    how = sum(
        F.cross_entropy(part, want, reduction="none") for part, want in zip((colour, texture), wanted[1:], strict=True)
    )
    return what.sum((1, 2)) / weight.sum((1, 2)) + (how * there).sum((1, 2)) / (1 + there.sum((1, 2)))


def load_segmenter(folder: Path) -> Segmenter:
    """The trained network, fp32."""
    from safetensors.torch import load_file

    net = Segmenter()
    net.load_state_dict(load_file(folder / FILE))
    return net


class SegmenterRecipe(Recipe):
    """`Segmenter` on drawn pictures, noisy and blurred ones among them."""

    name = "segmenter"
    batch = 64

    def build(self) -> dict[str, nn.Module]:
        return {"segmenter": Segmenter()}

    def players(self) -> tuple[Player, ...]:
        return (Player("segmenter", ("segmenter",), lr=2e-3),)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        x, codes = self.context.pixels(step.rows), self.context.objects(step.rows)
        blurred = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
        chosen = step.uniform(len(x), x.device)[:, None, None, None] < BLUR
        level = NOISE * step.uniform(len(x), x.device)[:, None, None, None] ** 2
        seen = torch.where(chosen, blurred, x) + level.to(x.dtype) * step.normal_like(x)
        scores = nets["segmenter"](seen)
        loss = segmentation_loss(scores, codes).mean()
        shapes, wanted = scores[:, : KINDS[0]].argmax(1), split_code(codes)[0]
        right = (shapes == wanted)[codes > 0].float().mean()
        return {"loss": loss, "shapes": right}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        from safetensors.torch import save_file

        (folder / self.name).mkdir(parents=True, exist_ok=True)
        save_file(nets["segmenter"].state_dict(), folder / self.name / FILE)
        return {}
