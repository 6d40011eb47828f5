"""Generators without a model, whose images depend on prompt and seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.generators.base import Generated


def noise(*what: object, size: int = 32) -> NDArray[np.uint8]:
    """Pixels that follow from what they are asked for."""
    start = int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:8], "little")
    return np.random.default_rng(start).integers(0, 256, (size, size, 3), dtype=np.uint8)


class FakeGenerator:
    """Counts what it is asked for; ``break_at`` gives the pixels of a seed, or raises."""

    family = "fakes"
    base = ""
    revision = "r1"
    hosted = False
    host: str | None = None

    def __init__(self, model: str = "fake", batch: int = 1, **settings: Any) -> None:
        self.id = f"test:{model}"
        self.model = model
        self.batch = batch
        self.settings = settings
        self.calls: list[tuple[str, int, int]] = []
        self.break_at: dict[int, Callable[[], NDArray[np.uint8]]] = {}

    def generate(self, prompt: str, count: int, seed: int) -> Sequence[Generated]:
        self.calls.append((prompt, count, seed))
        return [self._one(prompt, seed + i) for i in range(count)]

    def _one(self, prompt: str, seed: int) -> Generated:
        pixels = self.break_at[seed]() if seed in self.break_at else noise(self.model, prompt, seed)
        return Generated(pixels, self.model, self.family, self.revision, prompt, seed, dict(self.settings))

    @property
    def made(self) -> int:
        return sum(count for _, count, _ in self.calls)
