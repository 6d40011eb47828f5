"""RepMix: mixed representations and a compound head (baseline ``repmix``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from morelli.baselines.resnet50 import DEPTHS, RATE, WIDTH, OnResNet50

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from morelli.baselines.loop import Learner

    Pixels = NDArray[np.uint8]

EMBEDDING, ALPHA, CORRUPTED = 256, 0.4, 0.95
DECAY = 0.85
#: Of its own training: eight sources, eleven contents each (Attribution88).
PICTURES = 88 * 12_000


class RepMix(OnResNet50):
    """Bui, Yu and Collomosse, *RepMix: Representation Mixing for Robust Attribution of Synthesized Images* (2022).

    A ResNet-50 whose last feature map is mixed with that of another picture of the batch, with weights from a
    Dirichlet(0.4, 0.4), pooled and brought to 256 numbers. A two-way head tells real from generated; its
    probabilities multiply the attribution's logits, the real class's by p(real), the others by p(generated). Both
    cross-entropies count each of the two labels by its weight. Adam at 1e-4, weight decay 5e-4, rate × 0.85 an epoch,
    30 epochs in batches of 32; random 224-pixel crops of 256, mirrored; 95 % of the pictures go through one of
    ImageNet-C's corruptions (`corruptions`). A picture is scored whole, at 224 pixels.

    Deviations: partners are of the same batch, so that 32 mixed pictures are made of 32, and not of 64; without
    ``real`` among the models there is nothing to detect, and the detection head is left out; the weights begin at
    random without ``pretrained``; two of the published fifteen corruptions (frost, spatter) are missing, the elastic
    one has no affine part, and fog is a sum of enlarged grids; the last step is kept, where their program ends
    early and keeps the best by pictures held out; pictures are resized bilinearly.

    Parameters
    ----------
    steps : int, optional
        None: 30 epochs.
    batch, rate, side, depths, pretrained
        As `ResNetPixels`.
    real : str
        The label of photographs, "" where there are none.
    seed : int
    device, precision : str
    checkpoint : str, optional
    """

    def __init__(
        self,
        steps: int | None = None,
        batch: int = 32,
        rate: float = RATE,
        side: int = 224,
        depths: tuple[int, ...] = DEPTHS,
        pretrained: str | None = None,
        real: str = "",
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        checkpoint: str | None = None,
    ) -> None:
        self.steps, self.batch, self.rate = steps, batch, rate
        self.side, self.depths, self.pretrained = side, depths, pretrained
        self.real, self.seed, self.device, self.precision, self.checkpoint = real, seed, device, precision, checkpoint

    def fit(self, images: Sequence[Pixels], models: NDArray[np.str_]) -> RepMix:
        """Train on pictures; the class called ``real`` is told apart."""
        names = np.unique(models)
        place = np.flatnonzero(names == self.real)
        self.real_ = int(place[0]) if len(place) else None
        return super().fit(images, models)

    def _missing(self) -> list[str]:
        shown = self.steps_ * self.batch
        few = [f"{shown:,} pictures shown instead of {30 * PICTURES:,}"] if shown < 30 * PICTURES else []
        return [*super()._missing(), *few]

    def _learner(self, x: Tensor, labels: NDArray[np.intp], classes: int, steps: int) -> Learner:
        import torch

        from morelli.baselines.corruptions import corrupt_batch
        from morelli.baselines.loop import Learner, adam, descend, epoch_rows, set_rate
        from morelli.baselines.repmix_network import RepMixNetwork, mixed_loss
        from morelli.baselines.resnet50 import random_crops, resnet_body
        from morelli.baselines.shapes import signed

        network = RepMixNetwork(resnet_body(self.depths, self.pretrained), WIDTH, EMBEDDING, classes, self.real_)
        network = network.to(self.device_)
        optimiser = adam(network.parameters(), self.rate, decay=5e-4)
        targets = torch.from_numpy(labels.astype(np.int64)).to(self.device_)
        each = max(1, len(x) // self.batch)

        def step(number: int, rng: np.random.Generator) -> dict[str, float]:
            set_rate(optimiser, self.rate * DECAY ** (number // each))
            rows = epoch_rows(len(x), self.batch, number, self.seed)
            crops = corrupt_batch(random_crops(x[rows], self.side, rng), CORRUPTED, rng)
            partner = torch.from_numpy(rng.permutation(len(rows))).to(self.device_)
            share = torch.from_numpy(rng.dirichlet((ALPHA, ALPHA), len(rows))[:, 0].astype(np.float32))
            share = share.to(self.device_)
            with self.autocast():
                _, logits, detection = network(signed(crops), partner, share)
            mine = targets[rows]
            parts = mixed_loss(logits.float(), detection, mine, mine[partner], share, self.real_)
            descend(optimiser, parts["loss"], number)
            return {name: float(value.detach()) for name, value in parts.items()}

        return Learner({"network": network}, {"optimiser": optimiser}, step)

    def _shown(self, images: Sequence[Pixels]) -> Tensor:
        from morelli.baselines.shapes import stack_squares

        return stack_squares(images, self.side)

    def _read(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        from morelli.baselines.shapes import signed

        features, logits, _ = network(signed(x))
        return features, logits.log_softmax(1)
