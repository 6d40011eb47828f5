"""What a model's training recipe says; `training.zoo.loop` does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from training.zoo.context import Context


@dataclass(frozen=True)
class Player:
    """Networks that one loss trains. Most recipes have one; a GAN has two that take turns."""

    name: str
    nets: tuple[str, ...]
    lr: float
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01


@dataclass
class Step:
    """Chance of one training step, a function of (seed, step) alone, so that a resumed run repeats an unbroken one."""

    number: int
    rng: np.random.Generator
    noise: torch.Generator
    rows: Any

    def normal_like(self, x: Tensor) -> Tensor:
        """Standard normal numbers of the shape, type and device of ``x``."""
        return torch.randn(x.shape, generator=self.noise, device=x.device, dtype=torch.float32).to(x.dtype)

    def uniform(self, count: int, device: torch.device) -> Tensor:
        """Shape (count,), float32, 0 to 1."""
        return torch.rand(count, generator=self.noise, device=device)


class Recipe(ABC):
    """One model of the zoo: its networks, its loss, and how it is written to the package's layout."""

    name: ClassVar[str]
    batch: ClassVar[int] = 64
    ema: ClassVar[float] = 0.999
    needs: ClassVar[tuple[str, ...]] = ()
    seed: ClassVar[int] = 0

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def build(self) -> dict[str, nn.Module]:
        """The networks, fp32, freshly drawn weights."""

    @abstractmethod
    def players(self) -> tuple[Player, ...]:
        """Who is trained, in the order of their turns."""

    @abstractmethod
    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        """What a player minimises ("loss"), with other numbers for the log."""

    @abstractmethod
    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Write the networks (fp16) into ``folder/…``; what is returned goes into the manifest.

        Returns
        -------
        dict
            "model" for generators (a catalogue's entry without its training record), empty for other parts.
        """

    def before(self) -> None:  # noqa: B027 - most recipes need nothing
        """Whatever must be ready before the first step, as caches of frozen parts."""

    def precise(self, nets: Mapping[str, Any]) -> None:  # noqa: B027
        """Put those parts of the working copies that cannot bear bf16 back to fp32."""

    def after_step(self, nets: Mapping[str, Any], step: int) -> None:  # noqa: B027
        """Changes to the fp32 weights that no gradient makes."""
