"""POSE: progressive open-space expansion (baseline ``pose``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.baselines.network import NetworkAttributor
from morelli.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from morelli.baselines.loop import Learner

    Pixels = NDArray[np.uint8]

SIDE, EPOCHS, EACH = 128, 30, 8
RATE, DECAY, DECAY_EVERY, MARGIN = 1e-4, 0.9, 500, 0.3
OPEN_RATE = 1e-2


class Pose(NetworkAttributor):
    """Yang et al., *Progressive Open Space Expansion for Open-Set Model Attribution* (2023).

    A four-stage network over the pictures' cosine transforms. Each epoch adds a pair of linear convolutions whose
    output passes for an unknown model near a known one. In each step the newest pair learns first, against the network
    as it stands; then the network learns the known models by cross-entropy over ten times the *softmax* of the logits,
    as their program has it, and by batch-hard triplets (margin 0.3) to keep the known apart from each other and from
    the open space next to each: the newest pair's pictures, and those of one earlier pair. Network: Adam at 1e-4, × 0.9
    every 500 steps; pairs: Adam at 1e-2; 30 epochs, 8 pictures of each model a step.

    Deviations: the cosine transform is orthonormal; a pair's rate stays as it is; normalisation layers are in training
    mode throughout, where their program leaves them in evaluation mode after the first epoch, and the opened pictures
    have no part in the statistics that are kept; one earlier pair serves both halves of a step; pictures are drawn at
    random, not in epochs, and resized bilinearly.

    Parameters
    ----------
    steps : int, optional
        None: 30 epochs.
    batch : int
        Pictures of each model a step.
    expansions : int
        Epochs, and so pairs; the steps are dealt evenly to them.
    rate : float
        Learning rate of the classifier.
    side : int
        A multiple of 16; 128 as published.
    seed : int
    device, precision : str
    checkpoint : str, optional
    """

    published_batch = EACH
    published_form = (("expansions", EPOCHS), ("side", SIDE), ("rate", RATE))

    def __init__(
        self,
        steps: int | None = None,
        batch: int = EACH,
        expansions: int = EPOCHS,
        rate: float = RATE,
        side: int = SIDE,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        checkpoint: str | None = None,
    ) -> None:
        self.steps, self.batch, self.expansions, self.rate, self.side = steps, batch, expansions, rate, side
        self.seed, self.device, self.precision, self.checkpoint = seed, device, precision, checkpoint

    def fit(self, images: Sequence[Pixels], models: NDArray[np.str_]) -> Self:
        """Train on pictures."""
        if self.expansions < 1:
            raise InputError(f"must be 1 or more; got {self.expansions}.", argument="expansions")
        if self.side < 16 or self.side % 16:
            raise InputError(f"must be a multiple of 16; got {self.side}.", argument="side")
        return super().fit(images, models)

    def _published_steps(self, pictures: int, classes: int) -> int:
        return EPOCHS * max(1, pictures // (EACH * classes))

    def _tensor(self, images: Sequence[Pixels]) -> Tensor:
        from morelli.baselines.shapes import stack_squares

        return stack_squares(images, self.side)

    def _learner(self, x: Tensor, labels: NDArray[np.intp], classes: int, steps: int) -> Learner:
        import torch

        from morelli.baselines.loop import Learner, adam, balanced_rows, descend, set_rate
        from morelli.baselines.pose_networks import PoseNetwork, expansion, expansion_loss, pose_loss, untracked
        from morelli.baselines.shapes import signed

        network = PoseNetwork(self.side, classes).to(self.device_)
        pairs = torch.nn.ModuleList(expansion() for _ in range(self.expansions)).to(self.device_)
        optimisers = {
            "network": adam(network.parameters(), self.rate),
            # One optimiser for all pairs: those without a gradient stay as they are.
            "pairs": adam(pairs.parameters(), OPEN_RATE),
        }
        each = -(-steps // self.expansions)

        def step(number: int, rng: np.random.Generator) -> dict[str, float]:
            set_rate(optimisers["network"], self.rate * DECAY ** (number // DECAY_EVERY))
            rows = balanced_rows(labels, self.batch, rng)
            known, y = signed(x[rows]), torch.from_numpy(labels[rows].astype(np.int64)).to(x.device)
            newest = number // each
            earlier = pairs[int(rng.integers(newest))] if newest else None
            with torch.no_grad():
                older = [] if earlier is None else [earlier(known)]
            moved = expansion_loss(network, known, pairs[newest](known), older[0] if older else None, self.autocast)
            descend(optimisers["pairs"], moved, number)
            with torch.no_grad():
                opened = [pairs[newest](known), *older]
            with self.autocast():
                # One after another: each set is normalised by its own statistics.
                features, logits = network(known)
                with untracked(network):
                    others = [network(each)[0].float() for each in opened]
            parts = pose_loss(features.float(), logits.float(), others, y, MARGIN)
            descend(optimisers["network"], parts["loss"], number)
            return {name: float(value.detach()) for name, value in (parts | {"expansion": moved}).items()}

        return Learner({"network": network, "pairs": pairs}, optimisers, step)

    def _read(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        from morelli.baselines.shapes import signed

        features, logits = network(signed(x))
        return features, logits.log_softmax(1)
