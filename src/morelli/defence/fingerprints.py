"""The fingerprints with gradients: windows, residuals, spectra and networks are torch's already, and run without here.

What is left to do is to cut the windows of an image that is a tensor, and to take the means with their gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from morelli.defence.linear import resized
from morelli.errors import NotDifferentiableError
from morelli.fingerprint.encoders import INPUT, Fingerprint, ResidualSpectrum
from morelli.fingerprint.highpass import MARGIN
from morelli.fingerprint.lattice import VECTORS, ResidualLattice, mean_block, part_edges, whole_blocks
from morelli.fingerprint.log_spectrum import log_spectrum
from morelli.fingerprint.residual import Residual, flat_image, is_flat
from morelli.fingerprint.several import SeveralFingerprints, part_name
from morelli.fingerprint.windows import SIDE, check_size, enlarged, grid_starts, positions
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    Encoder = ResidualSpectrum | Fingerprint | SeveralFingerprints | ResidualLattice

#: The encoders that `FingerprintSurrogate` takes.
FINGERPRINTS = (ResidualSpectrum, Fingerprint, SeveralFingerprints, ResidualLattice)


class FingerprintSurrogate:
    """Differentiable form of a fingerprint; keeps the contract of `morelli.defence.surrogate.Surrogate`.

    Parameters
    ----------
    encoder : ResidualSpectrum, Fingerprint, SeveralFingerprints or ResidualLattice

    Raises
    ------
    NotDifferentiableError
        Its residual has no gradient (Open Image Denoise), or small images are padded and not enlarged.
    """

    def __init__(self, encoder: Encoder) -> None:
        parts = encoder.parts.values() if isinstance(encoder, SeveralFingerprints) else [encoder]
        for part in (each for each in parts if not isinstance(each, ResidualLattice)):
            if not part.residual.smooth or getattr(part, "small", "resize") != "resize":
                reason = "padding" if part.residual.smooth else f"the residual {part.residual.name}"
                raise NotDifferentiableError(
                    f"no gradient flows through the encoder {encoder.stamp.encoder}, because of {reason}.",
                    argument="surrogate",
                    fix="Take residual-spectrum, or the defence canonical, which needs no gradients.",
                )
        self.encoder = encoder

    @property
    def stamp(self) -> EncoderStamp:
        return self.encoder.stamp

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Named vectors of one image (3, h, w) of levels 0–255: name → shape (d,).

        Raises
        ------
        ImageTooSmallError
            A side is below 16 pixels, of a lattice 32.
        FlatImageError
            The image has no residual.
        """
        encoder = self.encoder
        if isinstance(encoder, ResidualLattice):
            found = mean_block(_parts(pixels))
            return {name: found[part].flatten() for name, part in VECTORS.items()}
        if isinstance(encoder, ResidualSpectrum):
            residuals = _residuals(encoder.residual, windows(pixels, "grid"))
            return {"residual/spectrum": log_spectrum(residuals, encoder.tile)}
        if isinstance(encoder, Fingerprint):
            return _features(encoder, windows(pixels, encoder.windows))
        look = next(iter(encoder.parts.values())).windows
        shown = windows(pixels, look)
        return {
            part_name(word, name): vector
            for word, part in encoder.parts.items()
            for name, vector in _features(part, shown).items()
        }


def windows(pixels: Tensor, look: str) -> Tensor:
    """What `Fingerprint.prepare` cuts out of an image (3, h, w), with gradients: (m, 3, 128, 128).

    Parameters
    ----------
    pixels : Tensor
        Levels 0–255.
    look : {"grid", "nine", "centre"}

    Raises
    ------
    ImageTooSmallError
        A side is below 16 pixels.
    """
    height, width = pixels.shape[-2:]
    check_size(height, width)
    if min(height, width) < SIDE:
        rows, columns, size = enlarged(height, width, SIDE)
        pixels = resized(pixels[:, rows, columns], *size, "bicubic")
    height, width = pixels.shape[-2:]
    pick = grid_starts if look == "grid" else positions
    starts = list(dict.fromkeys((top, left) for top in pick(height) for left in pick(width)))
    if look == "centre":
        starts = [starts[len(starts) // 2]]
    return torch.stack([pixels[:, top : top + SIDE, left : left + SIDE] for top, left in starts])


def _residuals(residual: Residual, shown: Tensor) -> Tensor:
    """Residuals of those windows (m, 3, h, w), levels 0–255, that have one."""
    found = residual.function(shown.contiguous() / 255)
    held = ~is_flat(found.detach())
    if not bool(held.any()):
        raise flat_image()
    return found[held]


def _features(encoder: Fingerprint, shown: Tensor) -> dict[str, Tensor]:
    spectra = encoder.extractor.chain.spectrum(_residuals(encoder.residual, shown))
    runs = {INPUT: spectra.flatten(1), **encoder.extractor.layers(spectra)}
    return {f"fingerprint/{layer}": runs[layer].mean(0) for layer in encoder.layers}


def _parts(pixels: Tensor) -> Iterator[Tensor]:
    """What a lattice's means are over, of one picture (3, h, w)."""
    height, width = whole_blocks(*pixels.shape[-2:])
    around = pad(pixels[None, :, :height, :width], (MARGIN,) * 4, mode="reflect")[0]
    for top, bottom in part_edges(height):
        for left, right in part_edges(width):
            yield around[..., top : bottom + 2 * MARGIN, left : right + 2 * MARGIN]
