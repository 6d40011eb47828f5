"""The reader's network: for each shape a map of where it is, and from it how many, which colour and which texture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morelli.generators.zoo.world import COLOURS, COUNTS, SHAPES, TEXTURES

SIDE = 64  # pixels of the pictures that the reader reads
GRID = 16  # cells along a side of its maps


class _Conv(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _Conv(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class ReaderNet(nn.Module):
    """Maps (n, 3, 64, 64) values 0–1 to what is read of each of the eight shapes.

    Returns of ``forward``, a dict:

    heat : (n, 8, 16, 16), logits of "an object of this shape has its centre here"
    count : (n, 8, 4), logits of none, one, two, three
    colour : (n, 8, 8) and texture : (n, 8, 3), logits; they mean something only where the shape is there
    centroid : (n, 8, 2), x and y of the middle of the shape's objects, 0–1
    """

    def __init__(self, width: int = 64, deep: int = 112, head: int = 96) -> None:
        super().__init__()
        self.stem = nn.Sequential(_Conv(3, 32, 5, 2), _Conv(32, width, 3, 2), _Residual(width))
        self.deep = nn.Sequential(_Conv(width, deep, 3, 2), _Residual(deep), _Residual(deep))
        self.from_stem = nn.Conv2d(width, head, 1)
        self.from_deep = nn.Conv2d(deep, head, 1)
        self.heat = nn.Conv2d(head, len(SHAPES), 1)
        self.look = nn.Conv2d(head, len(SHAPES), 1)
        self.shape = nn.Parameter(torch.randn(len(SHAPES), head) * 0.02)
        self.mix = nn.Sequential(nn.Linear(2 * head + 3, 128), nn.ReLU(inplace=True))
        self.answers = nn.Linear(128, 1 + len(COUNTS) + len(COLOURS) + len(TEXTURES))
        nn.init.constant_(self.heat.bias, -4.0)  # most cells are empty  # type: ignore[arg-type]
        axis = (torch.arange(GRID) + 0.5) / GRID
        places = torch.stack([axis.repeat(GRID), axis.repeat_interleave(GRID)], dim=1)
        self.register_buffer("places", places, persistent=False)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        stem = self.stem(pixels * 4 - 2)
        deep = F.interpolate(self.from_deep(self.deep(stem)), scale_factor=2, mode="nearest")
        features = F.relu(self.from_stem(stem) + deep)
        heat, look = self.heat(features).float(), self.look(features).float()
        weights = heat.sigmoid().flatten(2)
        mass = weights.sum(dim=2, keepdim=True)
        values = features.flatten(2).transpose(1, 2).float()
        pooled = look.flatten(2).softmax(dim=2) @ values
        inner = weights @ values / (mass + 0.1)
        facts = torch.cat([pooled + self.shape, inner, mass, mass.log1p(), weights.amax(2, keepdim=True)], dim=2)
        counts, colours, textures = (
            self.answers(self.mix(facts)).float().split([1 + len(COUNTS), len(COLOURS), len(TEXTURES)], dim=2)
        )
        centroid = (weights @ self.places + 1e-4) / (mass + 2e-4)
        return {"heat": heat, "count": counts, "colour": colours, "texture": textures, "centroid": centroid}
