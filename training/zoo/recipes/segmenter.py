"""The segmenter: which shape, colour and texture each position of a picture shows.

The diffusion models are asked that their pictures be read rightly, position by position, beside being close to the
drawn ones: a star and a circle differ little in squared error, and a network that sees pictures by the hundred
thousand, not by the hundred million, learns the difference late from it. Segmenters see drawn pictures or their latents
alone, and are thrown away afterwards. They have nothing to do with the reader that measures agreement, which no model
is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.data import GRID, split_code
from training.zoo.recipe import Player, Recipe, Step
from training.zoo.recipes.encoded import encoded
from training.zoo.recipes.vae import LATENT_SIDE, LATENTS

from morelli.generators.zoo.pipelines.common import FOLD
from morelli.generators.zoo.world import COLOURS, SHAPES, TEXTURES

KINDS = (len(SHAPES) + 1, len(COLOURS), len(TEXTURES))
BLOCKS, PIXEL_WIDTH, LATENT_WIDTH = 3, 48, 64
NOISE, BLUR = 0.25, 0.5
"""Most noise, in units of the input, and the part of the pictures that are blurred: what it is to read is a draft."""
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
    """Pictures or latents to class scores.

    Parameters
    ----------
    channels : int
        Of the input.
    fold : int
        Input pixels a side that make one position of the feature maps.
    spread : int
        Positions a side of the answer that one position of the feature maps gives.
    width : int
    """

    def __init__(self, channels: int, fold: int, spread: int, width: int) -> None:
        super().__init__()
        self.fold, self.spread = fold, spread
        self.enter = nn.Conv2d(channels * fold**2, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(BLOCKS)))
        self.leave = nn.Conv2d(width, sum(KINDS) * spread**2, 1)

    def features(self, x: Tensor) -> Tensor:
        """Inputs (n, channels, h, w) to feature maps (n, width, h / fold, w / fold)."""
        return F.silu(self.blocks(self.enter(F.pixel_unshuffle(x, self.fold))))

    def scores(self, features: Tensor) -> Tensor:
        """Feature maps to scores (n, sum(KINDS), h / fold * spread, w / fold * spread)."""
        return F.pixel_shuffle(self.leave(features), self.spread)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.features(x))


def make_segmenter(name: str) -> Segmenter:
    """The untrained network of a part: "segmenter" reads pixels, "latent-segmenter" latents of unit spread."""
    return (
        Segmenter(3, FOLD, 1, PIXEL_WIDTH)
        if name == "segmenter"
        else Segmenter(LATENTS, 1, GRID // LATENT_SIDE, LATENT_WIDTH)
    )


def segmentation_loss(scores: Tensor, codes: Tensor) -> Tensor:
    """Mean negative log-likelihood of what a position shows, shape (n,), in nats.

    No class weighs more than it comes: an uncertain network would fill the gaps between objects with objects otherwise,
    and three of them become a bar.

    Parameters
    ----------
    scores : Tensor, shape (n, sum(KINDS), 16, 16)
    codes : Tensor, shape (n, 16, 16), int64
        As `training.zoo.data.map_objects` gives them.
    """
    shape, colour, texture = scores.float().split(KINDS, dim=1)
    what, hue, pattern = split_code(codes)
    how = F.cross_entropy(colour, hue, reduction="none") + F.cross_entropy(texture, pattern, reduction="none")
    return (F.cross_entropy(shape, what, reduction="none") + (codes > 0) * how).mean((1, 2))


class PatchReader(nn.Module):
    """Class scores of every position from a vision transformer's states; thrown away after training.

    Parameters
    ----------
    width : int
        Of the states.
    side : int
        Patches along a side of the picture.
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side, self.spread = side, GRID // side
        self.read = nn.Linear(width, sum(KINDS) * self.spread**2)

    def loss(self, states: Tensor, codes: Tensor) -> Tensor:
        """Mean `segmentation_loss` of states (n, 1 + side², width), the class token's first, which is left out."""
        grid = self.read(states[:, 1:]).transpose(1, 2).unflatten(2, (self.side, self.side))
        return segmentation_loss(F.pixel_shuffle(grid, self.spread), codes).mean()


def load_segmenter(folder: Path) -> Segmenter:
    """The trained network in a folder that is called as the part is, fp32."""
    from safetensors.torch import load_file

    net = make_segmenter(folder.name)
    net.load_state_dict(load_file(folder / FILE))
    return net


class PixelSegmenter(Recipe):
    """Learns from drawn pictures, noisy and blurred ones among them."""

    name = "segmenter"
    batch = 64

    def build(self) -> dict[str, nn.Module]:
        return {"segmenter": make_segmenter(self.name)}

    def players(self) -> tuple[Player, ...]:
        return (Player("segmenter", ("segmenter",), lr=2e-3),)

    def seen(self, step: Step) -> Tensor:
        """What is to be read."""
        x = self.context.pixels(step.rows)
        blurred = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
        chosen = step.uniform(len(x), x.device)[:, None, None, None] < BLUR
        return self.noisy(torch.where(chosen, blurred, x), step)

    @staticmethod
    def noisy(x: Tensor, step: Step) -> Tensor:
        """With noise of a level of its own for each row."""
        level = NOISE * step.uniform(len(x), x.device)[:, None, None, None] ** 2
        return x + level.to(x.dtype) * step.normal_like(x)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        codes = self.context.objects(step.rows)
        scores = nets["segmenter"](self.seen(step))
        shapes, wanted = scores[:, : KINDS[0]].argmax(1), split_code(codes)[0]
        right = (shapes == wanted)[codes > 0].float().mean()
        return {"loss": segmentation_loss(scores, codes).mean(), "shapes": right}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        from safetensors.torch import save_file

        (folder / self.name).mkdir(parents=True, exist_ok=True)
        (net,) = nets.values()
        save_file(net.state_dict(), folder / self.name / FILE)
        return {}


class LatentSegmenter(PixelSegmenter):
    """Learns from the latents of drawn pictures, noisy ones among them."""

    name = "latent-segmenter"
    needs = ("vae",)

    def before(self) -> None:
        self.latents = encoded(self.context)

    def seen(self, step: Step) -> Tensor:
        return self.noisy(torch.from_numpy(self.latents[step.rows]).to(self.context.device, torch.bfloat16), step)
