"""DNA-Det's network, its patches and its loss."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from morelli.baselines.four_stage import WIDTHS, FourStage
from morelli.baselines.shapes import signed
from morelli.fingerprint.learn.losses import supervised_contrast

PATCH = 64
TEMPERATURE, PROJECTED = 0.07, 128
# Patches of a picture when it is scored: a grid of so many a side, fewer where they would coincide.
_GRID = 4


class DnaNetwork(nn.Module):
    """Patches (n, 3, 64, 64) in −1 to 1 to features (n, 512), logits (n, classes) and projections (n, 128).

    Parameters
    ----------
    classes : int
    body : FourStage, optional
        That it shares with another network.
    """

    def __init__(self, classes: int, body: FourStage | None = None) -> None:
        super().__init__()
        self.body = FourStage() if body is None else body
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(WIDTHS[-1], classes))
        self.project = nn.Sequential(nn.Linear(WIDTHS[-1], WIDTHS[-1]), nn.ReLU(), nn.Linear(WIDTHS[-1], PROJECTED))
        self.balance = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, logits, projections."""
        features = self.body(x).mean(dim=(2, 3))
        return features, self.head(features), self.project(features)


def enlarge(picture: Tensor, side: int) -> Tensor:
    """A picture (3, h, w), uint8, in −1 to 1 at so many pixels a side."""
    return interpolate(signed(picture)[None], (side, side), mode="bilinear", align_corners=False)[0]


def patches(x: Tensor, count: int, rng: np.random.Generator, side: int) -> Tensor:
    """Random patches of pictures (n, 3, h, w), uint8, brought to ``side``: (n · count, 3, 64, 64), one by one."""
    out = []
    # One picture at a time: a batch of them enlarged would take a gigabyte.
    for picture in x:
        large = enlarge(picture, side)
        places = rng.integers(side - PATCH + 1, size=(count, 2)).tolist()
        out += [large[:, top : top + PATCH, left : left + PATCH] for top, left in places]
    return torch.stack(out)


def grid_patches(x: Tensor, side: int) -> tuple[Tensor, int]:
    """Patches on an even grid, and how many a picture: (n · count, 3, 64, 64)."""
    places = sorted({round(i * (side - PATCH) / (_GRID - 1)) for i in range(_GRID)})
    out = []
    for picture in x:
        large = enlarge(picture, side)
        out += [large[:, top : top + PATCH, left : left + PATCH] for top in places for left in places]
    return torch.stack(out), len(places) ** 2


def dna_loss(logits: Tensor, projected: Tensor, targets: Tensor, balance: Tensor) -> dict[str, Tensor]:
    """Σ 0.5/p²·L + log(1 + p²) over cross-entropy and supervised contrast, with a learnt p for each."""
    parts = {
        "attribution": cross_entropy(logits, targets),
        "contrast": supervised_contrast(projected, targets, TEMPERATURE),
    }
    squares = balance.square()
    loss = (0.5 / squares * torch.stack(list(parts.values()))).sum() + (1 + squares).log().sum()
    return {"loss": loss, **parts}
