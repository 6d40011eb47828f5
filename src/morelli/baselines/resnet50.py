"""A ResNet-50 on pixels (baseline ``resnet50``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.baselines.labels import NO_RECIPE
from morelli.baselines.network import NetworkAttributor, epochs
from morelli.errors import InputError, MissingExtraError, WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from morelli.baselines.loop import Learner

    Pixels = NDArray[np.uint8]

DEPTHS = (3, 4, 6, 3)
WIDTH, RATE = 2048, 1e-4


class OnResNet50(NetworkAttributor):
    """What trainings that begin from a ResNet-50 of ImageNet share."""

    published_batch = 32
    published_form: tuple[tuple[str, Any], ...] = (("side", 224), ("depths", DEPTHS), ("rate", RATE))
    side: int
    depths: tuple[int, ...]
    pretrained: str | None

    def _published_steps(self, pictures: int, classes: int) -> int:
        return epochs(30, pictures, self.published_batch)

    def _check(self) -> None:
        super()._check()
        if len(self.depths) != len(DEPTHS) or min(self.depths) < 1:
            raise InputError(f"must be {len(DEPTHS)} numbers, each 1 or more.", argument="depths")

    def _origin(self) -> str:
        from morelli.encoders.weights import find_checkpoint

        return find_checkpoint(self.pretrained, local_files_only=True).revision if self.pretrained else ""

    def _missing(self) -> list[str]:
        return [] if self.pretrained else ["no ImageNet weights to begin from"]

    def _tensor(self, images: Sequence[Pixels]) -> Tensor:
        from morelli.baselines.shapes import stack_squares

        return stack_squares(images, round(self.side * 8 / 7))


class ResNetPixels(OnResNet50):
    """The supervised classifier on pixels that paper 000 compares with.

    The paper gives no training, so that it counts as under-trained however long it is. Here, as is common: Adam at
    1e-4, falling to zero over the last tenth of the steps, 30 epochs in batches of 32, random 224-pixel crops of the
    picture brought to 256, mirrored at random; the centre crop when scoring.

    Deviations: without ``pretrained`` the weights begin at random, not at ImageNet's.

    Parameters
    ----------
    steps : int, optional
        None: 30 epochs.
    batch : int
    rate : float
        Learning rate.
    cooldown : float
        Share of the steps, the last ones, over which the rate falls to zero.
    side : int
        Of the crops; pictures are brought to 8/7 of it.
    depths : tuple of int
        Blocks of each stage; of 50 layers as published.
    pretrained : str, optional
        Folder of a ResNet in the transformers layout.
    seed : int
    device, precision : str
    checkpoint : str, optional
        Folder where trainings are kept and gone on with.
    """

    recipe = "usual"

    def __init__(
        self,
        steps: int | None = None,
        batch: int = 32,
        rate: float = RATE,
        cooldown: float = 0.1,
        side: int = 224,
        depths: tuple[int, ...] = DEPTHS,
        pretrained: str | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        checkpoint: str | None = None,
    ) -> None:
        self.steps, self.batch, self.rate, self.cooldown = steps, batch, rate, cooldown
        self.side, self.depths, self.pretrained = side, depths, pretrained
        self.seed, self.device, self.precision, self.checkpoint = seed, device, precision, checkpoint

    def _missing(self) -> list[str]:
        return [*super()._missing(), NO_RECIPE]

    def _learner(self, x: Tensor, labels: NDArray[np.intp], classes: int, steps: int) -> Learner:
        import torch
        from torch.nn.functional import cross_entropy

        from morelli.baselines.loop import Learner, adam, descend, epoch_rows
        from morelli.baselines.shapes import imagenet

        network = torch.nn.ModuleDict(
            {"body": resnet_body(self.depths, self.pretrained), "head": torch.nn.Linear(WIDTH, classes)}
        ).to(self.device_)
        optimiser = adam(network.parameters(), self.rate)
        targets = torch.from_numpy(labels.astype(np.int64)).to(self.device_)

        def step(number: int, rng: np.random.Generator) -> dict[str, float]:
            rows = epoch_rows(len(x), self.batch, number, self.seed)
            with self.autocast():
                inputs = imagenet(random_crops(x[rows], self.side, rng))
                logits = network["head"](pooled(network["body"], inputs))
            loss = cross_entropy(logits.float(), targets[rows])
            descend(optimiser, loss, number)
            return {"loss": float(loss.detach())}

        return Learner({"network": network}, {"optimiser": optimiser}, step, self.cooldown)

    def _read(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        from morelli.baselines.shapes import imagenet

        body, head = network.get_submodule("body"), network.get_submodule("head")
        features = pooled(body, imagenet(centre_crops(x, self.side)))
        return features, head(features).log_softmax(1)


def resnet_body(depths: Sequence[int] = DEPTHS, pretrained: str | None = None) -> nn.Module:
    """transformers' ResNet without a head: a 7 × 7 stem and bottlenecks, 2048 channels at the end.

    Raises
    ------
    MissingExtraError
        transformers is not installed.
    WeightsError
        ``pretrained`` holds no such ResNet.
    """
    try:
        from transformers import ResNetConfig, ResNetModel
    except ImportError as error:
        raise MissingExtraError("transformers", "A ResNet") from error
    if pretrained is None:
        return ResNetModel(ResNetConfig(depths=list(depths)))
    from morelli.encoders.weights import find_checkpoint

    folder = find_checkpoint(pretrained, local_files_only=True).folder
    try:
        model: Any = ResNetModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise WeightsError(f"holds no ResNet: {str(error).splitlines()[0]}", argument=pretrained) from error
    if tuple(model.config.depths) != tuple(depths) or model.config.hidden_sizes[-1] != WIDTH:
        raise WeightsError(
            f"must have stages of {tuple(depths)} blocks and {WIDTH} channels; it has {tuple(model.config.depths)} "
            f"and {model.config.hidden_sizes[-1]}.",
            argument=pretrained,
        )
    return model


def pooled(body: nn.Module, x: Tensor) -> Tensor:
    """Mean of the last feature map, shape (n, 2048)."""
    return body(x).pooler_output.flatten(1)


def random_crops(x: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """A random square of each picture (n, 3, h, w), mirrored half of the time: (n, 3, side, side)."""
    import torch

    tops = rng.integers(x.shape[2] - side + 1, size=len(x)).tolist()
    lefts = rng.integers(x.shape[3] - side + 1, size=len(x)).tolist()
    mirrored = (rng.random(len(x)) < 0.5).tolist()
    places = zip(x, tops, lefts, strict=True)
    parts = [each[:, top : top + side, left : left + side] for each, top, left in places]
    return torch.stack([part.flip(-1) if turn else part for part, turn in zip(parts, mirrored, strict=True)])


def centre_crops(x: Tensor, side: int) -> Tensor:
    """The centre square of each picture."""
    top, left = (x.shape[2] - side) // 2, (x.shape[3] - side) // 2
    return x[:, :, top : top + side, left : left + side]
