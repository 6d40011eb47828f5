"""The signal chain: images to spectra, as one frozen value that weights remember."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from morelli.encoders.weights import short_hash
from morelli.errors import UnknownNameError, WeightsError
from morelli.fingerprint.parts import in_parts
from morelli.fingerprint.residual import RESIDUALS, load_residual
from morelli.fingerprint.spectrum import half_size, spectrum
from morelli.fingerprint.windows import SIDE


@dataclass(frozen=True, slots=True)
class SignalChain:
    """Residual, spectrum and its form.

    Attributes
    ----------
    residual : str
        One of `morelli.fingerprint.residual.RESIDUALS`.
    log, shift, standardise, tile, half, opponent, floor
        As in `morelli.fingerprint.spectrum.spectrum`.
    side : int or None
        Side of the spectrum; None leaves the residual's, or the tile's.
    transform : bool
        False: the residual itself instead of its spectrum, resized to ``side``; for comparison alone.
    """

    residual: str = "denoiser"
    log: bool = False
    shift: bool = False
    standardise: bool = False
    side: int | None = 128
    tile: int | None = None
    half: bool = False
    opponent: bool = False
    floor: float = 1.0
    transform: bool = True

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
        if not self.transform:
            if self.side is None or tuple(residual.shape[-2:]) == (self.side, self.side):
                return residual
            return interpolate(residual, size=(self.side, self.side), mode="nearest")
        form = partial(
            spectrum,
            log=self.log,
            shift=self.shift,
            standardise=self.standardise,
            side=self.side,
            tile=self.tile,
            half=self.half,
            opponent=self.opponent,
            floor=self.floor,
        )
        return in_parts(form, residual)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the spectrum of one window."""
        side = self.side or self.tile or SIDE - 2 * load_residual(self.residual).margin
        if not self.transform:
            return 3, side, side
        return 6 if self.opponent else 3, *half_size(side, self.half)

    def describe(self) -> dict[str, Any]:
        """All that decides the spectra, for weights files and hashes."""
        return {**asdict(self), "residual_revision": load_residual(self.residual).revision}

    @property
    def key(self) -> str:
        """16 hexadecimal digits that change with anything in `describe`."""
        return short_hash(self.describe())


#: As published: raw magnitude of the 17 × 64 denoiser's residual, resized 94 → 128 by nearest neighbour.
PUBLISHED = SignalChain("denoiser-17x64")
#: The median's residual, logarithmic: the residual that training-free attribution is best with (docs/fingerprint.md).
DEFAULT = SignalChain("median", log=True)
#: What extractors learn from unless told otherwise: none measured better, and it is the smallest to keep
#: (docs/train-fingerprint.md).
LEARNING = SignalChain("median", log=True, standardise=True, side=None, tile=32, half=True, opponent=True, floor=0.05)
#: Name → chain, for commands. A residual's own name is `LEARNING` with that residual.
CHAINS: dict[str, SignalChain] = {
    "default": LEARNING,
    "published": PUBLISHED,
    "whole": replace(LEARNING, tile=None),
    "rgb": SignalChain("none", side=None, transform=False),
    "spectrum": SignalChain("none", log=True),
}


def find_chain(name: str) -> SignalChain:
    """A chain by its name: a key of `CHAINS`, or one of `morelli.fingerprint.residual.RESIDUALS`.

    Raises
    ------
    UnknownNameError
        With the nearest known names.
    """
    if name in CHAINS:
        return CHAINS[name]
    if name not in RESIDUALS:
        raise UnknownNameError("signal chain", name, [*CHAINS, *RESIDUALS])
    return replace(LEARNING, residual=name)


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
