"""Tiny classes for the tests of learning: made-up pictures that differ by class, and a store that trains in a blink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from morelli.fingerprint.chain import SignalChain
from morelli.fingerprint.learn.settings import LearnSettings
from morelli.synthesis.architectures import select
from morelli.synthesis.photos import Photos, read_photos
from morelli.synthesis.run import Plan, synthesize
from morelli.synthesis.store import Store
from tests.synthesis.samples import quick, write_photos

CHAIN = SignalChain("median", log=True, standardise=True, side=None, tile=32, half=True)


def few(**others: Any) -> LearnSettings:
    """Settings of a run of a few steps."""
    given: dict[str, Any] = {
        "p": 3, "k": 2, "siblings": 2, "slots": 6, "steps": 6, "validate_every": 4, "margin_px": 8,
        "precision": "float32",
    }  # fmt: skip
    return LearnSettings(**(given | others))


class MadeUp:
    """Classes of noise with a fine pattern of their own; every slot has its own noise, the same in all classes."""

    limit = None

    def __init__(self, classes: int = 4, siblings: int = 2, strength: float = 12.0, digest: str = "made-up") -> None:
        self.names = [f"model-{number}" for number in range(classes)]
        self.groups = [f"family-{number // siblings}" for number in range(classes)]
        self.strength, self.digest, self.asked = strength, digest, 0

    def pixels(self, classes: np.ndarray, slots: np.ndarray) -> Tensor:
        self.asked += len(classes)
        out = np.empty((len(classes), 3, 128, 128), np.uint8)
        down, across = np.mgrid[:128, :128]
        for row, (number, slot) in enumerate(zip(classes.tolist(), slots.tolist(), strict=True)):
            noise = np.random.default_rng([slot]).normal(128, 12, (3, 128, 128))
            wave = np.cos(2 * np.pi * (down * (3 + 2 * number) + across * (13 - number)) / 32)
            out[row] = np.clip(np.rint(noise + self.strength * wave), 0, 255)
        return torch.from_numpy(out)


def photos(folder: Path, count: int = 20) -> Photos:
    """Made-up photographs, large enough for crops."""
    return read_photos(write_photos(folder, count, 152, 160), 144)


def store(
    folder: Path, names: str = "000000,000210,001021,010100", seeds: int = 2, source: Photos | None = None
) -> Store:
    """A store of barely trained, narrow models."""
    source = photos(folder / "photos") if source is None else source
    synthesize(Plan(select(names), seeds, together=2), source, folder / "store", quick(max_steps=2))
    return Store(folder / "store")
