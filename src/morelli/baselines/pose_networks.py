"""POSE's network, its pairs of convolutions that open the space, and its losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, mse_loss

from morelli.baselines.four_stage import WIDTHS, FourStage
from morelli.fingerprint.learn.losses import batch_hard

FEATURES, DROPPED, SHARPEN = 512, 0.2, 10.0
NEAR, NEAREST, APART = 0.01, 0.05, 1e-4


class PoseNetwork(nn.Module):
    """Pictures (n, 3, side, side) in −1 to 1: their cosine transforms through four stages to 512 features.

    Parameters
    ----------
    side : int
        A multiple of 16.
    classes : int
        Known models.
    """

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("basis", cosine_basis(side), persistent=False)
        self.body = FourStage()
        self.embed = nn.Linear(WIDTHS[-1] * (side // 16) ** 2, FEATURES)
        self.head = nn.Sequential(nn.Dropout(DROPPED), nn.Linear(FEATURES, classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, 512) and logits (n, classes)."""
        basis = self.get_buffer("basis")
        # In float32: bfloat16 would lose the high frequencies beside the mean.
        with torch.autocast(x.device.type, enabled=False):
            spectrum = basis @ x @ basis.T
        features = self.embed(self.body(spectrum).flatten(1))
        return features, self.head(features)


def cosine_basis(side: int) -> Tensor:
    """The orthonormal matrix of the discrete cosine transform (type II): (side, side), a frequency a row."""
    place = torch.arange(side, dtype=torch.float64)
    basis = torch.cos(math.pi * place[:, None] * (2 * place + 1) / (2 * side)) * math.sqrt(2 / side)
    basis[0] /= math.sqrt(2)
    return basis.float()


def expansion() -> nn.Module:
    """Two linear 3 × 3 convolutions, 3 → 32 → 3."""
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 3, 3, padding=1))


def expansion_loss(
    network: nn.Module,
    known: Tensor,
    opened: Tensor,
    older: Tensor | None,
    autocast: Callable[[], AbstractContextManager[object]],
) -> Tensor:
    """What a pair is trained by: stay near the picture, near its features, and away from an earlier pair's.

    The first pair has the mean squared error alone. Cosines to the known are not followed below a distance of 0.05.
    """
    loss = mse_loss(opened, known)
    if older is None:
        return loss
    with frozen(network), untracked(network), autocast():
        with torch.no_grad():
            of_known, of_older = network(known)[0].float(), network(older)[0].float()
        of_opened = network(opened)[0].float()
    away = (1 - cosine_similarity(of_known, of_opened).mean()).clamp_min(NEAREST)
    return loss + NEAR * away + APART * cosine_similarity(of_opened, of_older).mean()


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """A network whose weights gather no gradients: those of its inputs take half as long."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


@contextmanager
def untracked(network: nn.Module) -> Iterator[None]:
    """A network whose normalisation layers keep nothing of what they see: it is not what they will be asked about."""
    layers = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    kept = [each.momentum for each in layers]
    for each in layers:
        each.momentum = 0.0
    try:
        yield
    finally:
        for each, momentum in zip(layers, kept, strict=True):
            each.momentum = momentum


def pose_loss(
    features: Tensor, logits: Tensor, opened: list[Tensor], targets: Tensor, margin: float
) -> dict[str, Tensor]:
    """Cross-entropy over ten times the softmax of the logits (a double softmax, as published), and triplets.

    Parameters
    ----------
    features, logits : Tensor, shapes (n, 512) and (n, classes)
        Of known pictures.
    opened : list of Tensor, shape (n, 512)
        Features of the same pictures through pairs of convolutions. Each set is compared with the known ones on its
        own, and passes for a class of its own next to each known one.
    targets : Tensor, shape (n,)
    margin : float
        Of the triplets.
    """
    attribution = cross_entropy(logits.softmax(1) * SHARPEN, targets)
    both = torch.cat([targets, targets + logits.shape[1]])
    triplet = torch.stack([batch_hard(torch.cat([features, each]), both, margin) for each in opened]).sum()
    return {"loss": attribution + triplet, "attribution": attribution, "triplet": triplet}
