"""A classifier, and learnt model fingerprints (baseline ``yu``)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.baselines.network import NetworkAttributor
from morelli.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from morelli.baselines.loop import Learner

    Pixels = NDArray[np.uint8]
    Step = Callable[[int, np.random.Generator], dict[str, float]]

#: Published images shown in training, by form.
IMAGES = {"classifier": 100_000_000, "fingerprint": 25_000_000}
BATCH, RATE, BETAS, AVERAGE = 32, 1e-3, (0.0, 0.99), 0.999
REBUILD, ADVERSARIAL, PENALTY, DRIFT = 20.0, 0.1, 10.0, 1e-3


class Yu(NetworkAttributor):
    """Yu, Davis and Fritz, *Attributing Fake Images to GANs* (2019), in both of its forms.

    "classifier" is a ProGAN discriminator from 128 to 4 pixels (`yu_networks.Classifier`) with one output a model,
    trained by cross-entropy. "fingerprint" rebuilds the picture through a 4 × 4 latent; what is missing is the
    picture's fingerprint, the weights of one convolution as large as the picture are the models', and a logit is
    their inner product; loss: cross-entropy + 20 · L1 of the rebuilding + 0.1 · a Wasserstein critic, ProGAN's
    discriminator (penalty 10, drift 1e-3); what is kept is an average of the weights over time (0.999). Both: Adam at
    1e-3 (their configuration names 1.5e-3 for 1,024 pixels alone) with β = (0, 0.99), batches of 32, mirrored pictures,
    100 and 25 million of them, at one resolution throughout.

    As their program has it, the classifier keeps no average. Deviations: the average begins over short stretches of
    the training, which grow to the published length, so that short trainings are not dominated by their random
    beginning; pictures are resized bilinearly.

    Parameters
    ----------
    form : {"classifier", "fingerprint"}
    steps : int, optional
        None: as many as the published number of pictures makes.
    batch : int
    rate : float
        Learning rate.
    cooldown : float
        Share of the steps, the last ones, over which the rate falls to zero; 0 as published.
    side : int
        A power of two, 8 or more; 128 as published.
    seed : int
    device, precision : str
    checkpoint : str, optional
    """

    published_batch = BATCH
    published_form = (("side", 128), ("rate", RATE), ("cooldown", 0.0))

    def __init__(
        self,
        form: str = "classifier",
        steps: int | None = None,
        batch: int = BATCH,
        rate: float = RATE,
        cooldown: float = 0.0,
        side: int = 128,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        checkpoint: str | None = None,
    ) -> None:
        self.form, self.steps, self.batch, self.rate = form, steps, batch, rate
        self.cooldown, self.side = cooldown, side
        self.seed, self.device, self.precision, self.checkpoint = seed, device, precision, checkpoint

    def fit(self, images: Sequence[Pixels], models: NDArray[np.str_]) -> Self:
        """Train on pictures."""
        if self.form not in IMAGES:
            raise UnknownNameError("form of yu", self.form, IMAGES)
        if self.side < 8 or self.side & (self.side - 1):
            raise InputError(f"must be a power of two, 8 or more; got {self.side}.", argument="side")
        return super().fit(images, models)

    def _published_steps(self, pictures: int, classes: int) -> int:
        return IMAGES[self.form] // BATCH

    def _tensor(self, images: Sequence[Pixels]) -> Tensor:
        from morelli.baselines.shapes import stack_squares

        return stack_squares(images, self.side)

    def _learner(self, x: Tensor, labels: NDArray[np.intp], classes: int, steps: int) -> Learner:
        import torch

        from morelli.baselines.loop import Learner
        from morelli.baselines.yu_networks import Classifier, Critic, FingerprintNetwork

        targets = torch.from_numpy(labels.astype(np.int64)).to(self.device_)
        kind = Classifier if self.form == "classifier" else FingerprintNetwork
        live: nn.Module = kind(self.side, classes).to(self.device_)
        optimisers: dict[str, torch.optim.Optimizer] = {"live": self._adam(live)}
        modules: dict[str, nn.Module] = {"network": live}
        if self.form == "classifier":
            step = self._classify(live, optimisers["live"], x, targets)
        else:
            # The average is what is kept and scored.
            modules = {"network": copy.deepcopy(live).requires_grad_(False), "live": live}
            modules["critic"] = Critic(self.side).to(self.device_)
            optimisers["critic"] = self._adam(modules["critic"])
            step = self._fingerprint(modules, optimisers, x, targets)
        return Learner(modules, optimisers, step, self.cooldown)

    def _adam(self, module: nn.Module) -> torch.optim.Optimizer:
        from morelli.baselines.loop import adam

        return adam(module.parameters(), self.rate, BETAS)

    def _classify(self, network: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, targets: Tensor) -> Step:
        from torch.nn.functional import cross_entropy

        from morelli.baselines.loop import descend

        def step(number: int, rng: np.random.Generator) -> dict[str, float]:
            inputs, y = self._batch(x, targets, number, rng)
            with self.autocast():
                _, logits = network(inputs)
            loss = cross_entropy(logits.float(), y)
            descend(optimiser, loss, number)
            return {"loss": float(loss.detach())}

        return step

    def _fingerprint(self, modules: dict[str, nn.Module], optimisers: dict, x: Tensor, targets: Tensor) -> Step:
        from torch.nn.functional import cross_entropy, l1_loss

        from morelli.baselines.loop import descend
        from morelli.baselines.yu_networks import FingerprintNetwork, critic_loss

        live, critic = modules["live"], modules["critic"]
        assert isinstance(live, FingerprintNetwork)  # noqa: S101 - as `_learner` made it

        def step(number: int, rng: np.random.Generator) -> dict[str, float]:
            inputs, y = self._batch(x, targets, number, rng)
            with self.autocast():
                rebuilt = live.rebuild(inputs)
            rebuilt = rebuilt.float()
            # In float32: the penalty needs gradients of gradients.
            judged = critic_loss(critic, inputs, rebuilt.detach(), PENALTY, DRIFT)
            descend(optimisers["critic"], judged, number)
            parts = {
                "attribution": cross_entropy(live.logits(inputs - rebuilt), y),
                "rebuilding": l1_loss(rebuilt, inputs),
                "adversarial": -critic(rebuilt).mean(),
            }
            loss = parts["attribution"] + REBUILD * parts["rebuilding"] + ADVERSARIAL * parts["adversarial"]
            descend(optimisers["live"], loss, number)
            follow(modules["network"], live, number)
            return {"loss": float(loss.detach())} | {name: float(value.detach()) for name, value in parts.items()}

        return step

    def _batch(self, x: Tensor, targets: Tensor, number: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        import torch

        from morelli.baselines.loop import epoch_rows
        from morelli.baselines.shapes import signed

        rows = epoch_rows(len(x), self.batch, number, self.seed)
        inputs = signed(x[rows])
        turn = torch.from_numpy(rng.random(len(rows)) < 0.5).to(inputs.device)
        return torch.where(turn[:, None, None, None], inputs.flip(-1), inputs), targets[rows]

    def _read(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        from morelli.baselines.shapes import signed

        features, logits = network(signed(x))
        return features.flatten(1), logits.log_softmax(1)


def follow(average: nn.Module, live: nn.Module, number: int) -> None:
    """Move an average of the weights: over about the last ninth of the steps, and at most the last thousand."""
    import torch

    share = min(AVERAGE, (1 + number) / (10 + number))
    with torch.no_grad():
        for mine, theirs in zip(average.parameters(), live.parameters(), strict=True):
            mine.lerp_(theirs, 1 - share)
