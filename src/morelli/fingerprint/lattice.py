"""A fingerprint that keeps phases: the mean residual at each place of a lattice of 16 × 16 pixels.

Decoders enlarge their latents in steps of two, three or four times over, so that what their last layers do depends on
where a pixel lies in a block of 8 or 16. A magnitude spectrum (`log_spectrum`) says how strong such a pattern is; the
mean over all blocks says what it looks like, and of a thousand blocks it is known to a thirtieth of what one scatters.
docs/decisions/0011 has the trials. It takes for granted that the picture has its pixels where the model put them: a
crop by other than 16 pixels moves the lattice, and resizing takes it away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from morelli.encoders.weights import short_hash
from morelli.errors import ImageTooSmallError, InputError
from morelli.fingerprint.residual import flat_image, is_flat, load_residual
from morelli.images.pixels import check_pixels
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

#: Sides of a block in pixels, and how far a residual counts at most, in units of 1/256: an edge is no trace.
PERIOD, MOST = 16, 8.0
#: Least side of a picture, sides of the parts that are worked on, and what is filtered around a part and cut off again:
#: multiples of the period. The wavelet transform wraps round, and where left and right differ it makes an edge, always
#: at the same places of the lattice; beyond the picture's border its mirror image lies.
LEAST, PART, MARGIN = 32, 256, 16
RESIDUAL = "wavelet"
# Brightness, red against green, blue against green.
_CHANNELS = ((1 / 3, 1 / 3, 1 / 3), (1.0, -1.0, 0.0), (0.0, -1.0, 1.0))


class ResidualLattice:
    """The encoder ``residual-lattice``: no training, one vector, ``lattice/mean``.

    Keeps the contract of `morelli.encoders.base.Encoder`.

    Parameters
    ----------
    residual : str
        One of `morelli.fingerprint.residual.RESIDUALS` without a margin.

    Raises
    ------
    InputError
        The residual loses a margin: its places would not be the picture's.
    """

    #: ``encode`` may run in several threads at once.
    side_by_side = True

    def __init__(self, residual: str = RESIDUAL) -> None:
        self.residual = load_residual(residual)
        if self.residual.margin:
            raise InputError(
                f"{residual} loses {self.residual.margin} pixels a side, and the lattice takes none that does.",
                argument="residual",
                fix=f"Take {RESIDUAL}.",
            )
        words = {
            "residual": [self.residual.name, self.residual.revision],
            "scaling": "v / 255",
            "period": PERIOD,
            "most": MOST,
            "part": [PART, MARGIN, "mirrored"],
            "channels": _CHANNELS,
            "flat": "left out",
        }
        dims = {"lattice/mean": len(_CHANNELS) * PERIOD**2}
        self._stamp = EncoderStamp("residual-lattice", short_hash(words["residual"]), short_hash(words), dims)

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
        """Vectors of a batch of prepared images: (n, 768), float32, in units of 1/256.

        Raises
        ------
        FlatImageError
            An image is flat.
        """
        size = self._stamp.dims["lattice/mean"]
        with torch.inference_mode():
            rows = [self._mean(pixels).numpy() for pixels in prepared]
        return {"lattice/mean": np.stack(rows) if rows else np.empty((0, size), np.float32)}

    def _mean(self, pixels: Pixels) -> Tensor:
        """The mean block of one picture, channel by channel: (768,)."""
        total, blocks = torch.zeros(len(_CHANNELS), PERIOD, PERIOD, dtype=torch.float64), 0
        for parts in _parts(pixels):
            residuals = self.residual(parts)[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
            held = residuals[~is_flat(residuals)]
            if len(held):
                sums, count = folded_sums(held)
                total, blocks = total + sums, blocks + count
        if not blocks:
            raise flat_image()
        return (total / blocks).float().flatten()


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
            fix="Leave the image out, or the encoder residual-lattice.",
        )
    return height - height % PERIOD, width - width % PERIOD


def _parts(pixels: Pixels) -> Iterator[Tensor]:
    """A picture in parts of 256 pixels a side and what is left at the right and the bottom, 0–1, a size at a time.

    Each has 16 pixels more on every side, of the picture or mirrored. What is left is joined to the part before it
    where it is less than 32 pixels wide.
    """
    rows, columns = (part_edges(extent) for extent in pixels.shape[:2])
    around = np.pad(pixels, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="reflect")
    same: dict[tuple[int, int], list[Pixels]] = defaultdict(list)
    for top, bottom in rows:
        for left, right in columns:
            part = around[top : bottom + 2 * MARGIN, left : right + 2 * MARGIN]
            same[bottom - top, right - left].append(part)
    for parts in same.values():
        for start in range(0, len(parts), 4):
            stacked = np.ascontiguousarray(np.stack(parts[start : start + 4]))
            yield torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous().float() / 255


def part_edges(extent: int) -> list[tuple[int, int]]:
    """Ends of the parts along one side, which is a multiple of 16 and 32 at least."""
    edges = [*range(0, extent, PART), extent]
    if len(edges) > 2 and extent - edges[-2] < LEAST:
        del edges[-2]
    return list(pairwise(edges))


def folded_sums(residuals: Tensor) -> tuple[Tensor, int]:
    """Sums over all blocks of residuals (n, 3, h, w), none beyond ±8: (3, 16, 16), float64; and how many blocks."""
    turned = torch.einsum("ij,njhw->nihw", torch.tensor(_CHANNELS), residuals).clamp_(-MOST, MOST)
    blocks = turned.unflatten(-1, (-1, PERIOD)).unflatten(-3, (-1, PERIOD))
    return blocks.sum(dim=(0, 2, 4), dtype=torch.float64), len(blocks) * blocks.shape[2] * blocks.shape[4]


def residual_lattice() -> ResidualLattice:
    """The encoder ``residual-lattice``."""
    return ResidualLattice()
