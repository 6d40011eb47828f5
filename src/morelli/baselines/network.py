"""What the trained networks share: budget, device, checkpoint, and scores in batches."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from morelli.attribution.image import ImageAttributor
from morelli.baselines.labels import encode_labels, require_fitted
from morelli.errors import InputError
from morelli.images.pixels import content_hash

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from morelli.baselines.loop import Learner

    Pixels = NDArray[np.uint8]
    Labels = NDArray[np.intp]

# Pictures a run of the network when scoring.
_BATCH = 32


class NetworkAttributor(ImageAttributor):
    """A network trained on pictures. Subclasses say how; this class trains, keeps and asks it.

    Attributes
    ----------
    network_ : Module
        Trained, in evaluation mode.
    curve_ : Curve
        Losses over the training.
    steps_, published_steps_ : int
        Steps that were made, and that the published recipe makes on as many pictures: its epochs, where it counts in
        epochs, which on the papers' own many pictures are more steps.
    """

    #: Pictures a step, as published; what a subclass's parameter ``batch`` stands for is in its docstring.
    published_batch: int
    #: Parameters of the network's form and of its training, and their published values: any other counts as
    #: under-trained.
    published_form: tuple[tuple[str, Any], ...]
    #: Whose steps a full training is counted in.
    recipe = "published"

    steps: int | None
    batch: int
    seed: int
    device: str
    precision: str
    checkpoint: str | None

    @abstractmethod
    def _published_steps(self, pictures: int, classes: int) -> int:
        """Steps of the published recipe on so many pictures."""

    @abstractmethod
    def _tensor(self, images: Sequence[Pixels]) -> Tensor:
        """Pictures as the network's uint8 input (n, 3, side, side), before any scaling or augmentation."""

    def _shown(self, images: Sequence[Pixels]) -> Tensor:
        """Pictures to score, as `_tensor` unless they are brought to another size than those that are learnt from."""
        return self._tensor(images)

    @abstractmethod
    def _learner(self, x: Tensor, labels: Labels, classes: int, steps: int) -> Learner:
        """Fresh modules and optimisers; the module "network" is what is kept. torch is seeded before the call."""

    @abstractmethod
    def _read(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, d) and scores (n, classes) of a batch of uint8 inputs, on the device."""

    def _prepare(self, images: Sequence[Pixels]) -> None:
        """Decide what depends on the training pictures, into attributes that end in ``_``, before anything else."""

    def _origin(self) -> str:
        """Revision of the weights that the training begins from; "" of random ones."""
        return ""

    def _missing(self) -> list[str]:
        """What beside steps, batch and form the training lacks."""
        return []

    def fit(self, images: Sequence[Pixels], models: NDArray[np.str_]) -> Self:
        """Train on pictures.

        Raises
        ------
        InputError
            A budget or a form out of its range, or too few pictures.
        DivergedError
            The loss is no number any more.
        """
        from morelli.baselines.loop import open_journal, train
        from morelli.devices import choose_device

        self._check()
        names, labels = encode_labels(models, len(images))
        self._prepare(images)
        self.device_ = choose_device(self.device)
        self.published_steps_ = self._published_steps(len(images), len(names))
        self.steps_ = self.published_steps_ if self.steps is None else self.steps
        journal = open_journal(self.checkpoint, self._words(images, names, labels)) if self.checkpoint else None
        learner = self._seeded(self._tensor(images), labels, len(names))
        self.curve_ = train(learner, self.steps_, self.seed, journal)
        self.models_, self.network_ = names, learner.modules["network"].eval()
        self.under_trained = self._shortfall()
        return self

    def _seeded(self, x: Tensor, labels: Labels, classes: int) -> Learner:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self._learner(x.to(self.device_), labels, classes, self.steps_)

    def scores(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Scores of n pictures under every model, shape (n, m)."""
        return self._ask(images)[1].astype(np.float64)

    def embed(self, images: Sequence[Pixels]) -> NDArray[np.float32]:
        """The layer before the classification head, shape (n, d), as paper 002 compares networks by."""
        return self._ask(images)[0]

    def _ask(self, images: Sequence[Pixels]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        import torch

        require_fitted(self, "network_")
        out = []
        for start in range(0, len(images), _BATCH):
            x = self._shown(images[start : start + _BATCH]).to(self.device_)
            with torch.inference_mode():
                out.append([part.float().cpu().numpy() for part in self._read(self.network_, x)])
        features, scores = (np.concatenate(parts) for parts in zip(*out, strict=True))
        return features, scores

    def autocast(self) -> torch.autocast:
        """Where convolutions run in bfloat16: by ``precision``, and where "auto" finds that it pays."""
        import torch

        from morelli.devices import wants_bfloat16

        return torch.autocast(
            torch.device(self.device_).type, torch.bfloat16, enabled=wants_bfloat16(self.precision, self.device_)
        )

    def _check(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise InputError(f"must be 1 or more; got {self.steps}.", argument="steps")
        if self.batch < 2:
            raise InputError(f"must be 2 or more; got {self.batch}.", argument="batch")
        rate = getattr(self, "rate", 1.0)
        if not (math.isfinite(rate) and rate > 0):
            raise InputError(f"must be a number above 0; got {rate:g}.", argument="rate")
        cooldown = getattr(self, "cooldown", 0.0)
        if not 0 <= cooldown <= 1:
            raise InputError(f"must lie between 0 and 1; got {cooldown:g}.", argument="cooldown")
        side = getattr(self, "side", None)
        if side is not None and side < 8:
            raise InputError(f"must be 8 or more; got {side}.", argument="side")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise InputError(f"must be auto, float32 or bfloat16; got {self.precision!r}.", argument="precision")

    def _shortfall(self) -> str:
        parts = []
        if self.steps_ < self.published_steps_:
            parts.append(f"{self.steps_:,} of {self.published_steps_:,} {self.recipe} steps")
        if self.batch < self.published_batch:
            parts.append(f"batches of {self.batch} instead of {self.published_batch}")
        parts += [
            f"{name} {_shown(self._taken(name))} instead of {_shown(value)}"
            for name, value in self.published_form
            if self._taken(name) != value
        ]
        return ", ".join([*parts, *self._missing()])

    def _taken(self, name: str) -> Any:
        """A parameter's value, or what was decided in its place."""
        return getattr(self, f"{name}_", getattr(self, name))

    def _words(self, images: Sequence[Pixels], names: NDArray[np.str_], labels: Labels) -> dict[str, Any]:
        """What decides the training, for its checkpoint; pictures by their contents."""
        import inspect

        from morelli.baselines.code import method_version
        from morelli.devices import wants_bfloat16

        arguments = [name for name in inspect.signature(type(self)).parameters if name not in ("checkpoint", "device")]
        return {
            "method": type(self).__name__,
            "code": method_version(type(self)),
            "bfloat16": wants_bfloat16(self.precision, self.device_),
            "begun from": self._origin(),
            "arguments": {name: getattr(self, name) for name in arguments},
            "steps": self.steps_,
            "models": names.tolist(),
            "labels": labels.tolist(),
            "pictures": [content_hash(image) for image in images],
        }


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def epochs(count: int, pictures: int, batch: int) -> int:
    """Steps of so many passes over the pictures, the last batch of each dropped or rounded up to one."""
    return count * max(1, math.floor(pictures / batch))
