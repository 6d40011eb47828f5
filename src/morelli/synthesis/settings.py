"""How synthetic models are trained. No torch here."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from morelli.errors import InputError, UnknownNameError

Policy = Literal["floor", "ceiling"]
Optimiser = Literal["adam", "adamw"]
Schedule = Literal["cosine", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]
#: Paper 002, §III-B: η, mean squared error of images in −1 to 1.
ETA = 0.005


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What decides a model's weights beside its key and the photographs.

    The paper says no more than that η bounds "the minimum reconstruction residual". Both readings are here:

    ``floor``
        Training stops at an error of η, and the loss is max(MSE, η). A model that does not get there within
        ``max_steps`` is kept, and its record says so: some architectures cannot (a last ReLU, sigmoid or InstanceNorm).
    ``ceiling``
        Training uses all ``max_steps``; a model whose error is then above ``ceiling`` is rejected.

    Parameters
    ----------
    policy : {"floor", "ceiling"}
    eta : float
        Mean squared error, images in −1 to 1.
    ceiling : float
        The same unit.
    optimiser : {"adam", "adamw"}
    lr : float
        Of the first step.
    schedule : {"cosine", "constant"}
        The rate falls to zero over ``max_steps``, or stays.
    weight_decay : float
    batch : int
        Crops a step.
    crop : int
        Side of the crops, pixels; a multiple of 4, at least 16.
    max_steps : int
    check_every : int
        Steps from one measurement of the error to the next.
    check_crops : int
        Crops of unseen photographs that the error is measured on.
    width : int
        Channels of the first level.
    precision : {"float32", "bfloat16", "auto"}
        Of convolutions in training; the error is measured in float32. With auto, bfloat16 where the device computes in
        it, so that models of two machines can differ.

    Raises
    ------
    InputError, UnknownNameError
        A value out of range.
    """

    policy: Policy = "floor"
    eta: float = ETA
    ceiling: float = ETA
    optimiser: Optimiser = "adam"
    lr: float = 3e-3
    schedule: Schedule = "cosine"
    weight_decay: float = 0.0
    batch: int = 8
    crop: int = 64
    max_steps: int = 400
    check_every: int = 20
    check_crops: int = 32
    width: int = 32
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, kinds in (
            ("policy", Policy),
            ("optimiser", Optimiser),
            ("schedule", Schedule),
            ("precision", Precision),
        ):
            if getattr(self, name) not in get_args(kinds):
                raise UnknownNameError(name, getattr(self, name), get_args(kinds))
        for name in ("eta", "ceiling", "lr"):
            _need(
                math.isfinite(getattr(self, name)) and getattr(self, name) > 0, name, "must be a number above 0", self
            )
        _need(math.isfinite(self.weight_decay) and self.weight_decay >= 0, "weight_decay", "must be 0 or more", self)
        for name, least in (("batch", 1), ("max_steps", 1), ("check_every", 1), ("check_crops", 2), ("width", 1)):
            _need(getattr(self, name) >= least, name, f"must be {least} or more", self)
        _need(self.crop >= 16 and self.crop % 4 == 0, "crop", "must be a multiple of 4 from 16 on", self)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if self.schedule == "constant":
            return self.lr
        return self.lr * 0.5 * (1 + math.cos(math.pi * step / self.max_steps))

    def as_dict(self) -> dict[str, Any]:
        """All settings by name, for JSON."""
        return asdict(self)


def _need(good: bool, name: str, words: str, settings: TrainingSettings) -> None:
    if not good:
        raise InputError(f"{words}; got {getattr(settings, name)!r}.", argument=name)
