"""The signal chain: images to spectra, as one frozen value that weights remember."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from morelli.encoders.weights import short_hash
from morelli.errors import WeightsError
from morelli.fingerprint.residual import load_residual
from morelli.fingerprint.spectrum import spectrum


@dataclass(frozen=True, slots=True)
class SignalChain:
    """Residual, spectrum and its form.

    Attributes
    ----------
    residual : str
        One of `morelli.fingerprint.residual.RESIDUALS`.
    log, shift, standardise : bool
        As in `morelli.fingerprint.spectrum.spectrum`.
    side : int or None
        Side of the spectrum; None leaves the residual's.
    """

    residual: str = "denoiser"
    log: bool = False
    shift: bool = False
    standardise: bool = False
    side: int | None = 128

    def __call__(self, images: Tensor) -> Tensor:
        """Spectra of images (n, 3, h, w), float32 in 0–1: (n, 3, side, side), float32.

        Raises
        ------
        ArrayError, ImageTooSmallError
            As `morelli.fingerprint.residual.Residual` says.
        """
        return self.spectrum(load_residual(self.residual)(images))

    def spectrum(self, residual: Tensor) -> Tensor:
        """The chain's second half, for callers that have looked at the residual."""
        return spectrum(residual, log=self.log, shift=self.shift, standardise=self.standardise, side=self.side)

    def describe(self) -> dict[str, Any]:
        """All that decides the spectra, for weights files and hashes."""
        return {**asdict(self), "residual_revision": load_residual(self.residual).revision}

    @property
    def key(self) -> str:
        """16 hexadecimal digits that change with anything in `describe`."""
        return short_hash(self.describe())


#: As published: raw magnitude of the 17 × 64 denoiser's residual, resized 94 → 128 by nearest neighbour.
PUBLISHED = SignalChain("denoiser-17x64")
#: What was measured best for training-free attribution (docs/fingerprint.md).
DEFAULT = SignalChain("median", log=True)


def check_chain(chain: SignalChain, trained: dict[str, Any], path: str) -> None:
    """Refuse weights that were trained on another chain's spectra.

    Raises
    ------
    WeightsError
        Names the differences.
    """
    mine = chain.describe()
    if mine != trained:
        names = sorted(name for name in mine.keys() | trained.keys() if mine.get(name) != trained.get(name))
        said = "; ".join(f"{name} is {mine.get(name)!r}, trained with {trained.get(name)!r}" for name in names)
        raise WeightsError(
            f"was trained with another signal chain: {said}.", argument=path, fix="Use the chain in the file's header."
        )
