"""A fingerprint that keeps phases: the mean residual at each place of a lattice of 16 × 16 pixels.

Decoders enlarge their latents in steps of two, three or four times over, so that what their last layers do depends on
where a pixel lies in a block of 8 or 16. A magnitude spectrum (`log_spectrum`) says how strong such a pattern is; the
mean over all blocks says what it looks like, and of a thousand blocks it is known to a thirtieth of what one scatters.
docs/decisions/0011 has the trials. It takes for granted that the picture has its pixels where the model put them: a
crop by other than 16 pixels moves the lattice, and resizing takes it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from morelli.encoders.weights import short_hash
from morelli.errors import ImageTooSmallError
from morelli.fingerprint.highpass import MARGIN, SIGMA, WIDTHS, highpass_residual
from morelli.fingerprint.residual import flat_image, is_flat
from morelli.images.pixels import check_pixels
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

#: Sides of a block in pixels, and how far a residual counts at most, in units of 1/256: an edge is no trace.
PERIOD, MOST = 16, 8.0
#: Least side of a picture, and sides of the parts that are worked on: multiples of the period. A part is looked at with
#: the pixels around it that the filter needs; beyond the picture's border its mirror image lies.
LEAST, PART = 32, 256
# Brightness, red against green, blue against green.
_CHANNELS = ((1 / 3, 1 / 3, 1 / 3), (1.0, -1.0, 0.0), (0.0, -1.0, 1.0))
#: Vectors, and which channels are in each. Apart, so that attributors weigh them apart: where colours were stored at
#: half the size, as JPEG does, they say little.
VECTORS = {"lattice-brightness/mean": slice(0, 1), "lattice-colour/mean": slice(1, 3)}


class ResidualLattice:
    """The encoder ``residual-lattice``: no training, two vectors, of brightness and of differences of colours.

    Keeps the contract of `morelli.encoders.base.Encoder`.
    """

    #: ``encode`` may run in several threads at once.
    side_by_side = True

    def __init__(self) -> None:
        residual = ["binomial", WIDTHS, 3, SIGMA]
        words = {
            "residual": residual,
            "scaling": "v / 255",
            "period": PERIOD,
            "most": MOST,
            "part": [PART, MARGIN, "mirrored"],
            "channels": _CHANNELS,
            "flat": "left out",
        }
        counts = {name: len(range(*part.indices(len(_CHANNELS)))) for name, part in VECTORS.items()}
        dims = {name: count * PERIOD**2 for name, count in counts.items()}
        self._stamp = EncoderStamp("residual-lattice", short_hash(residual), short_hash(words), dims)

    @property
    def stamp(self) -> EncoderStamp:
        """Identity of the vectors; the revision is that of the residual."""
        return self._stamp

    def prepare(self, pixels: Pixels) -> Pixels:
        """The picture without the last rows and columns that fill no block: (h, w, 3), uint8.

        Raises
        ------
        ArrayError
            No picture: another shape or dtype.
        ImageTooSmallError
            A side is below 32 pixels.
        """
        height, width = whole_blocks(*check_pixels(pixels).shape[:2])
        return pixels[:height, :width]

    def encode(self, prepared: Sequence[Pixels]) -> dict[str, NDArray[np.float32]]:
        """Vectors of a batch of prepared images: (n, 256) and (n, 512), float32, in units of 1/256.

        Raises
        ------
        FlatImageError
            An image is flat.
        """
        with torch.inference_mode():
            rows = [mean_block(_parts(pixels)) for pixels in prepared]
        out = {name: np.empty((len(rows), size), np.float32) for name, size in self._stamp.dims.items()}
        for number, found in enumerate(rows):
            for name, part in VECTORS.items():
                out[name][number] = found[part].flatten().numpy()
        return out


def mean_block(parts: Iterable[Tensor]) -> Tensor:
    """The mean block of a picture, channel by channel: (3, 16, 16), float32; gradients flow.

    Parameters
    ----------
    parts : iterable of Tensor, shape (3, h + 14, w + 14)
        Levels 0–255, with `MARGIN` pixels around that belong to their neighbours; h and w multiples of 16.

    Raises
    ------
    FlatImageError
        All of them are flat. Flat ones among others are left out.
    """
    sums, blocks = torch.zeros(len(_CHANNELS), PERIOD, PERIOD, dtype=torch.float64), 0
    for levels in parts:
        residual = highpass_residual(torch.einsum("ij,jhw->ihw", torch.tensor(_CHANNELS), levels * (256 / 255)))
        if not bool(is_flat(residual.detach()[None])):
            found, count = folded_sums(residual)
            sums, blocks = sums + found, blocks + count
    if not blocks:
        raise flat_image()
    return (sums / blocks).float()


def whole_blocks(height: int, width: int) -> tuple[int, int]:
    """Height and width of a picture without the last rows and columns that fill no block.

    Raises
    ------
    ImageTooSmallError
        A side is below 32 pixels.
    """
    if min(height, width) < LEAST:
        raise ImageTooSmallError(
            f"{width} × {height} pixels, and a lattice needs {LEAST} a side.",
            argument="pixels",
            fix="Take it at the size that its model gave it, or an encoder without residual-lattice.",
        )
    return height - height % PERIOD, width - width % PERIOD


def _parts(pixels: Pixels) -> Iterator[Tensor]:
    """A picture in parts of 256 pixels a side and what is left at the right and the bottom, one at a time: levels.

    What a part takes stays in a core's cache. Each has 7 pixels more on every side, of the picture or mirrored.
    What is left is joined to the part before it where it is less than 32 pixels wide.
    """
    around = np.pad(pixels, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="reflect")
    for top, bottom in part_edges(pixels.shape[0]):
        for left, right in part_edges(pixels.shape[1]):
            part = around[top : bottom + 2 * MARGIN, left : right + 2 * MARGIN].transpose(2, 0, 1)
            yield torch.from_numpy(np.ascontiguousarray(part)).float()


def part_edges(extent: int) -> list[tuple[int, int]]:
    """Ends of the parts along one side, which is a multiple of 16 and 32 at least."""
    edges = [*range(0, extent, PART), extent]
    if len(edges) > 2 and extent - edges[-2] < LEAST:
        del edges[-2]
    return list(pairwise(edges))


def folded_sums(residual: Tensor) -> tuple[Tensor, int]:
    """Sums over all blocks of a residual (c, h, w), none beyond ±8: (c, 16, 16), float64; and how many blocks."""
    blocks = residual.clamp(-MOST, MOST).unflatten(-1, (-1, PERIOD)).unflatten(-3, (-1, PERIOD))
    return blocks.sum(dim=(1, 3), dtype=torch.float64), blocks.shape[1] * blocks.shape[3]


def residual_lattice() -> ResidualLattice:
    """The encoder ``residual-lattice``."""
    return ResidualLattice()
