"""DNA-Det: patches, contrast, and transforms learnt first (baseline ``dna-det``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from morelli.baselines.network import NetworkAttributor
from morelli.errors import InputError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from morelli.baselines.loop import Learner

    Pixels = NDArray[np.uint8]

SIDE, ENLARGED = 128, 512
EACH, CROPS, EPOCHS = 16, 16, 30
PRE_EPOCHS, PRE_BATCH, PRE_RATE, PRE_DECAY_EVERY = 50, 128, 1e-4, 500
RATE, DECAY, DECAY_EVERY, BALANCE_RATE = 1e-3, 0.9, 2500, 0.01


class DnaDet(NetworkAttributor):
    """Yang et al., *Deepfake Network Architecture Attribution* (2022), with the constants of its public program.

    A four-stage network over 64-pixel patches of the picture, which is brought to 128 pixels and enlarged to 512.
    First it learns to tell 170 transforms of pictures apart (`transforms`; 50 epochs in batches of 128, Adam at 1e-4,
    × 0.9 every 500 steps). Then, with new heads, it learns the models: 16 pictures of each a step; Adam at 1e-3, × 0.9
    every 2,500 steps, 30 epochs (the constants for LSUN and pictures in the wild; for faces the rate is 1e-4). Both
    stages take 16 patches of each picture, cross-entropy and supervised contrast (temperature 0.07), balanced by learnt
    weights.

    Deviations: a picture's score is the mean over 16 patches of a grid, a quarter of the enlarged picture, where their
    program reads all of it at once; cross-entropy is over logits, where their program hands it probabilities; pictures
    are resized bilinearly, the centre square of those that are no squares; pictures of fewer than 128 pixels, which
    they had none of, are not enlarged; all patches of a step pass through the
    network together; the learnt weights are Adam's alone, at a rate that does not fall; the last step is kept, where
    their program keeps the best by pictures held out; models' pictures are drawn at random, not in epochs; the
    transforms are learnt on the training pictures, brought to 128 pixels whole, not on cuts of photographs, and five of
    Pillow's ways of resampling stand for OpenCV's; the second quality of a double compression is
    129 − the first, where theirs were drawn once.

    Parameters
    ----------
    steps : int, optional
        Of both stages together, dealt to them as the published ones are, but a third of a budget to the transforms at
        most; None: the published epochs.
    batch : int
        Pictures of each model a step.
    crops : int
        Patches a picture in training. Where a picture has room for one alone, so many times as many pictures take
        their place.
    rate : float
        Learning rate of the second stage.
    side : int, optional
        Pixels a side that pictures are brought to, 64 or more. None: 128, or the median shorter side of the training
        pictures where that is less, but 64 at least.
    enlarged : int, optional
        Pixels a side that patches are then taken from, 64 or more. None: 512 of 128, and smaller pictures as they are.
        Of a picture of 64 pixels a patch of 512 shows eight by eight, in which there is nothing to find.
    seed : int
    device, precision : str
    checkpoint : str, optional
    """

    published_batch = EACH
    published_form = (("crops", CROPS), ("rate", RATE), ("side", SIDE), ("enlarged", ENLARGED))

    def __init__(
        self,
        steps: int | None = None,
        batch: int = EACH,
        crops: int = CROPS,
        rate: float = RATE,
        side: int | None = None,
        enlarged: int | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        checkpoint: str | None = None,
    ) -> None:
        self.steps, self.batch, self.crops, self.rate = steps, batch, crops, rate
        self.side, self.enlarged = side, enlarged
        self.seed, self.device, self.precision, self.checkpoint = seed, device, precision, checkpoint

    def _check(self) -> None:
        from morelli.baselines.dna_network import PATCH

        super()._check()
        for name, pixels in (("side", self.side), ("enlarged", self.enlarged)):
            if pixels is not None and pixels < PATCH:
                raise InputError(f"must be {PATCH} or more; got {pixels}.", argument=name)
        if self.crops < 1:
            raise InputError(f"must be 1 or more; got {self.crops}.", argument="crops")

    def _prepare(self, images: Sequence[Pixels]) -> None:
        from morelli.baselines.dna_network import PATCH

        whole = int(np.median([min(image.shape[:2]) for image in images]))
        own = max(PATCH, min(SIDE, whole))
        self.side_ = own if self.side is None else self.side
        usual = ENLARGED if self.side_ >= SIDE else self.side_
        self.enlarged_ = usual if self.enlarged is None else self.enlarged
        alone = self.enlarged_ == PATCH
        self.batch_, self.crops_ = (self.batch * self.crops, 1) if alone else (self.batch, self.crops)

    def _stages(self, pictures: int, classes: int) -> tuple[int, int]:
        """Published steps of both stages."""
        return PRE_EPOCHS * max(1, pictures // PRE_BATCH), EPOCHS * max(1, pictures // (EACH * classes))

    def _published_steps(self, pictures: int, classes: int) -> int:
        return sum(self._stages(pictures, classes))

    def _first_steps(self, steps: int, pictures: int, classes: int) -> int:
        """How many of the steps learn transforms: the published share, and of fewer steps a third at most."""
        before, after = self._stages(pictures, classes)
        return before if steps >= before + after else min(round(steps * before / (before + after)), steps // 3)

    def _tensor(self, images: Sequence[Pixels]) -> Tensor:
        from morelli.baselines.shapes import stack_squares

        return stack_squares(images, self.side_)

    def _learner(self, x: Tensor, labels: NDArray[np.intp], classes: int, steps: int) -> Learner:
        from morelli.baselines.dna_network import DnaNetwork
        from morelli.baselines.loop import Learner
        from morelli.baselines.transforms import TRANSFORMS

        network = DnaNetwork(classes).to(self.device_)
        # Its body is the network's; its heads are left behind.
        first = DnaNetwork(len(TRANSFORMS), network.body).to(self.device_)
        optimisers = {
            f"{stage}{part}": optimiser
            for stage, each, rate in (("first ", first, PRE_RATE), ("", network, self.rate))
            for part, optimiser in _optimisers(each, rate).items()
        }
        before = self._first_steps(steps, len(x), classes)

        def step(number: int, rng: np.random.Generator) -> dict[str, float]:
            if number < before:
                return self._first(first, optimisers, x, number, rng)
            return self._second(network, optimisers, x, labels, number - before, rng)

        return Learner({"network": network, "first": first}, optimisers, step)

    def _first(
        self, network: nn.Module, optimisers: dict, x: Tensor, number: int, rng: np.random.Generator
    ) -> dict[str, float]:
        """A step of learning which transform a patch went through."""
        import torch

        from morelli.baselines.loop import epoch_rows, set_rate
        from morelli.baselines.transforms import TRANSFORMS, apply_transform

        size = min(PRE_BATCH, len(x), PRE_BATCH * self.batch_ // EACH or 1)
        rows = epoch_rows(len(x), size, number, self.seed)
        kinds = rng.integers(len(TRANSFORMS), size=len(rows))
        pictures = [each.permute(1, 2, 0).cpu().numpy() for each in x[rows]]
        changed = np.stack([apply_transform(p, int(k), rng) for p, k in zip(pictures, kinds.tolist(), strict=True)])
        inputs = torch.from_numpy(changed).permute(0, 3, 1, 2).to(x.device)
        set_rate(optimisers["first network"], PRE_RATE * DECAY ** (number // PRE_DECAY_EVERY))
        ours = optimisers["first network"], optimisers["first balance"]
        parts = self._descend(network, ours, inputs, torch.from_numpy(kinds).to(x.device), number, rng)
        return {f"transforms, {name}": value for name, value in parts.items()}

    def _second(
        self,
        network: nn.Module,
        optimisers: dict,
        x: Tensor,
        labels: NDArray[np.intp],
        number: int,
        rng: np.random.Generator,
    ) -> dict[str, float]:
        """A step of learning the models."""
        import torch

        from morelli.baselines.loop import balanced_rows, set_rate

        set_rate(optimisers["network"], self.rate * DECAY ** (number // DECAY_EVERY))
        rows = balanced_rows(labels, self.batch_, rng)
        y = torch.from_numpy(labels[rows].astype(np.int64)).to(x.device)
        return self._descend(network, (optimisers["network"], optimisers["balance"]), x[rows], y, number, rng)

    def _descend(
        self,
        network: nn.Module,
        optimisers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
        pictures: Tensor,
        targets: Tensor,
        number: int,
        rng: np.random.Generator,
    ) -> dict[str, float]:
        """A step down both losses, over patches of pictures with these classes."""
        from morelli.baselines.dna_network import dna_loss, patches
        from morelli.baselines.loop import descend

        with self.autocast():
            _, logits, projected = network(patches(pictures, self.crops_, rng, self.enlarged_))
        y = targets.repeat_interleave(self.crops_)
        parts = dna_loss(logits.float(), projected.float(), y, network.get_parameter("balance"))
        optimisers[1].zero_grad(set_to_none=True)
        descend(optimisers[0], parts["loss"], number)
        optimisers[1].step()
        return {name: float(value.detach()) for name, value in parts.items()}

    def _read(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        from morelli.baselines.dna_network import grid_patches

        shown, count = grid_patches(x, self.enlarged_)
        features, logits, _ = network(shown)
        means = [part.unflatten(0, (len(x), count)).mean(1) for part in (features, logits.log_softmax(1))]
        return means[0], means[1]


def _optimisers(network: nn.Module, rate: float) -> dict[str, torch.optim.Optimizer]:
    """One for the network, and one for the weights that balance its losses."""
    from morelli.baselines.loop import adam

    balance = network.get_parameter("balance")
    others = [each for each in network.parameters() if each is not balance]
    return {"network": adam(others, rate), "balance": adam([balance], BALANCE_RATE)}
