"""Pictures and spectra that are made once and kept in a bank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morelli.fingerprint.chain import SignalChain
from morelli.fingerprint.learn.bank import Bank
from morelli.fingerprint.learn.pictures import Pictures
from morelli.fingerprint.learn.views import LiveViews
from morelli.fingerprint.windows import SIDE

Integers = NDArray[np.int64]


class PixelBank:
    """Pictures kept as 8-bit pixels; see `morelli.fingerprint.learn.pictures.Pictures`."""

    def __init__(self, pictures: Pictures, slots: int, folder: Path) -> None:
        self.names, self.groups, self.limit = pictures.names, pictures.groups, slots
        self.bank = Bank(
            folder,
            "pixels",
            pictures.pixels,
            classes=len(pictures.names),
            slots=slots,
            shape=(3, SIDE, SIDE),
            dtype="uint8",
            key=[pictures.digest],
        )
        self.digest = self.bank.digest

    def pixels(self, classes: Integers, slots: Integers) -> Tensor:
        """See `Pictures.pixels`."""
        return self.bank.take(classes, slots)


class SpectraBank:
    """Spectra kept; see `morelli.fingerprint.learn.views.Views`."""

    def __init__(self, views: LiveViews, slots: int, folder: Path) -> None:
        self.names, self.groups, self.limit, self.chain = views.names, views.groups, slots, views.chain
        dtype = spectra_type(views.chain)
        self.bank = Bank(
            folder,
            "spectra",
            lambda classes, slots: views.spectra(classes, slots).to(getattr(torch, dtype)),
            classes=len(views.names),
            slots=slots,
            shape=views.chain.shape,
            dtype=dtype,
            key=[views.digest],
        )
        self.digest = self.bank.digest

    def spectra(self, classes: Integers, slots: Integers, step: int = 0) -> Tensor:
        """See `Views.spectra`."""
        return self.bank.take(classes, slots).float()


def spectra_type(chain: SignalChain) -> str:
    """Half precision where values are small: logarithms or standardised ones. Raw magnitudes pass its range."""
    return "float16" if chain.transform and (chain.log or chain.standardise) else "float32"


def entry_bytes(chain: SignalChain, kind: str) -> int:
    """Bytes of one slot of one class: 8-bit pixels, or spectra."""
    if kind == "pixels":
        return 3 * SIDE * SIDE
    return int(np.prod(chain.shape)) * np.dtype(spectra_type(chain)).itemsize
