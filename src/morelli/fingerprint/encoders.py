"""Fingerprints as encoders: any gallery holds them, any attributor compares them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from morelli.encoders.weights import short_hash
from morelli.errors import UnknownNameError, WeightsError
from morelli.fingerprint.chain import DEFAULT
from morelli.fingerprint.denoiser import WEIGHTS
from morelli.fingerprint.extractor import LAYERS, Extractor, load_extractor
from morelli.fingerprint.log_spectrum import CHANNELS, FLOOR, log_spectrum, vector_size
from morelli.fingerprint.residual import flat_image, is_flat, load_residual
from morelli.fingerprint.several import SeveralFingerprints
from morelli.fingerprint.windows import ACROSS, SIDE, Pixels, Small, grid_windows, nine_windows
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Side of the tiles of ``residual-spectrum`` (docs/fingerprint.md has others).
TILE = 32
#: The layer before the network, and the most numbers that it is a vector of unless it is asked for.
INPUT, LONGEST = "input", 8192
Windows = Literal["grid", "nine", "centre"]
# What says how `grid_windows` cuts, for the preprocessing's hash.
_GRID = [SIDE, "grid to the edges", ACROSS]
# Windows that one run of a network takes; bounds memory, not accuracy.
_RUN = 36
#: SHA-256 of the extractors that are shipped.
SHIPPED: dict[str, str] = {
    "fingerprint": "b089976878eeda53ecbfb37047e3e93d3322f1bc60dd12511d94d564c3db39d0",
    "fingerprint-wavelet": "a79daff7274c416c3b5bc1a35b5fa49144a6bbea16058d695fa245fba989ea26",
}
#: The word for each part's vectors in the encoder ``fingerprint``, and the part's file.
PARTS: dict[str, str] = {"fingerprint": "fingerprint", "wavelet": "fingerprint-wavelet"}


class _Windowed:
    """Common ground: windows, their residual, and an image without one refused by name."""

    #: ``encode`` may run in several threads at once.
    side_by_side = True
    _stamp: EncoderStamp

    def __init__(self, residual: str, small: Small = "resize") -> None:
        self.residual = load_residual(residual)
        self.small: Small = small

    def _words(self) -> dict[str, Any]:
        """What decides the residuals, for the preprocessing's hash."""
        return {
            "windows": [SIDE, "3x3", self.small],
            "residual": [self.residual.name, self.residual.revision],
            "scaling": "v / 255",
        }

    @property
    def stamp(self) -> EncoderStamp:
        """Identity of the vectors; the revision is that of the weights that make them."""
        return self._stamp

    def prepare(self, pixels: Pixels) -> Pixels:
        """Windows of one image: (m, 128, 128, 3), uint8, m ≤ 9.

        Raises
        ------
        ImageTooSmallError
            A side is below 16 pixels.
        """
        return nine_windows(pixels, small=self.small)

    def _residuals(self, windows: Pixels) -> Tensor:
        """Residuals of one image's windows that have one: (k, 3, h, w), k ≥ 1."""
        images = torch.from_numpy(np.ascontiguousarray(windows)).permute(0, 3, 1, 2).contiguous().float() / 255
        residuals = self.residual(images)
        flat = is_flat(residuals)
        if bool(flat.all()):
            raise flat_image()
        return residuals[~flat] if bool(flat.any()) else residuals


class ResidualSpectrum(_Windowed):
    """The training-free fingerprint: what a median filter takes away, as a mean logarithmic spectrum.

    Keeps the contract of `morelli.encoders.base.Encoder`; one vector, ``residual/spectrum``.

    Parameters
    ----------
    residual : str
        One of `morelli.fingerprint.residual.RESIDUALS`.
    tile : int
        As in `morelli.fingerprint.log_spectrum.log_spectrum`.
    """

    def __init__(self, residual: str = DEFAULT.residual, tile: int = TILE) -> None:
        super().__init__(residual)
        self.tile = tile
        words = {
            **self._words(),
            "windows": _GRID,
            "tile": tile,
            "floor": FLOOR,
            "channels": CHANNELS,
            "level": "removed",
            "flat": "left out",
        }
        self._stamp = EncoderStamp(
            "residual-spectrum",
            short_hash(words["residual"]),
            short_hash(words),
            {"residual/spectrum": vector_size(tile)},
        )

    def prepare(self, pixels: Pixels) -> Pixels:
        """Windows of one image: (m, 128, 128, 3), uint8, m ≤ 64: a spectrum is the sharper, the more it is a mean of.

        Raises
        ------
        ImageTooSmallError
            A side is below 16 pixels.
        """
        return grid_windows(pixels)

    def encode(self, prepared: Sequence[Pixels]) -> dict[str, NDArray[np.float32]]:
        """Vectors of a batch of prepared images: (n, d), float32.

        Raises
        ------
        FlatImageError
            An image is flat.
        """
        with torch.inference_mode():
            rows = [log_spectrum(self._residuals(windows), self.tile).numpy() for windows in prepared]
        return {"residual/spectrum": np.stack(rows) if rows else np.empty((0, vector_size(self.tile)), np.float32)}


class Fingerprint(_Windowed):
    """A trained extractor over spectra; the mean of its features over an image's windows, not normalised.

    Keeps the contract of `morelli.encoders.base.Encoder`; a vector ``fingerprint/LAYER`` for each layer.

    Parameters
    ----------
    extractor : Extractor
        With its signal chain.
    name : str
        What ``load_encoder`` takes for it.
    small : {"resize", "crop"}
        What becomes of images below 128 px.
    windows : {"grid", "nine", "centre"}
        All windows side by side, up to 64; nine as published; or the middle one of them alone.
    layers : sequence of str, optional
        Of the extractor's, and ``input``, the mean spectrum that it is shown. By default all of them; ``input`` where
        it has `LONGEST` numbers at most and the extractor more than one layer.

    Raises
    ------
    UnknownNameError
        The extractor has no such layer.
    """

    def __init__(
        self,
        extractor: Extractor,
        name: str,
        small: Small = "resize",
        windows: Windows = "grid",
        layers: Sequence[str] | None = None,
    ) -> None:
        super().__init__(extractor.chain.residual, small)
        sizes = {INPUT: prod(extractor.chain.shape), **LAYERS[extractor.name]}
        if layers is None:
            whole = sizes[INPUT] <= LONGEST and len(sizes) > 2
            layers = [layer for layer in sizes if layer != INPUT or whole]
        self.layers = tuple(layers)
        for layer in self.layers:
            if layer not in sizes:
                raise UnknownNameError("layer", layer, sizes)
        self.extractor, self.windows = extractor, windows
        extractor.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        words = {**self._words(), "chain": extractor.chain.describe(), "mean": "plain", "flat": "left out"}
        if windows != "nine":
            words["windows"] = [*_GRID, small] if windows == "grid" else [SIDE, "centre", small]
        dims = {f"fingerprint/{layer}": sizes[layer] for layer in self.layers}
        self._stamp = EncoderStamp(name, extractor.revision, short_hash(words), dims)

    def prepare(self, pixels: Pixels) -> Pixels:
        """Windows of one image: (m, 128, 128, 3), uint8, m ≤ 64, 9 or 1.

        Raises
        ------
        ImageTooSmallError
            A side is below 16 pixels.
        """
        if self.windows == "grid":
            return grid_windows(pixels, small=self.small)
        windows = super().prepare(pixels)
        return windows if self.windows == "nine" else windows[len(windows) // 2][None]

    def encode(self, prepared: Sequence[Pixels]) -> dict[str, NDArray[np.float32]]:
        """Features of a batch of prepared images: (n, d), float32.

        Raises
        ------
        FlatImageError
            An image is flat.
        """
        out = {name: np.empty((len(prepared), size), np.float32) for name, size in self._stamp.dims.items()}
        with torch.inference_mode():
            spectra = [self.extractor.chain.spectrum(self._residuals(windows)) for windows in prepared]
            if not spectra:
                return out
            runs = [{INPUT: part.flatten(1), **self.extractor.layers(part)} for part in torch.cat(spectra).split(_RUN)]
            for layer in self.layers:
                features = torch.cat([run[layer] for run in runs])
                for row, own in enumerate(features.split([len(part) for part in spectra])):
                    out[f"fingerprint/{layer}"][row] = own.mean(0).numpy()
        return out


def residual_spectrum() -> ResidualSpectrum:
    """The encoder ``residual-spectrum``."""
    return ResidualSpectrum()


def fingerprint(file: str = "") -> Fingerprint | SeveralFingerprints:
    """The encoder ``fingerprint``, or with a file of the user's own ``fingerprint@FILE``.

    The shipped one has two parts, over the residuals of a median and of a wavelet filter.

    Raises
    ------
    WeightsError
        The file is absent or no extractor; without a file: none is shipped.
    """
    if file:
        return own_fingerprint(file)
    return SeveralFingerprints(shipped_parts(), "fingerprint")


def fingerprint_as_published(file: str = "") -> Fingerprint:
    """The encoder ``fingerprint-as-published``: ResNet-50 over raw spectra of the 17 × 64 denoiser's residual.

    Raises
    ------
    WeightsError
        As `fingerprint`.
    """
    name = "fingerprint-as-published"
    return own_fingerprint(file, name, "nine") if file else _shipped(name, "nine")


def shipped_parts() -> dict[str, Fingerprint]:
    """The parts of the shipped ``fingerprint``, each an encoder by itself.

    Raises
    ------
    WeightsError
        The package carries none.
    """
    return {word: _shipped(part, "grid") for word, part in PARTS.items()}


def own_fingerprint(file: str | Path, name: str = "fingerprint", windows: Windows = "grid") -> Fingerprint:
    """An extractor of the user's own as the encoder ``NAME@FILE``.

    Raises
    ------
    WeightsError
        The file is absent or no extractor.
    """
    path = Path(file).expanduser().resolve()
    return Fingerprint(load_extractor(path), f"{name}@{path}", windows=windows)


def _shipped(name: str, windows: Windows) -> Fingerprint:
    if name not in SHIPPED:
        fix = f"Take residual-spectrum, which needs none, or name a file of your own: --encoder {name}@FILE."
        raise WeightsError("this version carries no weights for it.", argument=name, fix=fix)
    return Fingerprint(load_extractor(WEIGHTS / f"{name}.safetensors", SHIPPED[name]), name, windows=windows)
