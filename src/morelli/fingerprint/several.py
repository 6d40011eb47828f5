"""Fingerprints of several residuals as one: what one filter leaves in the picture, another takes away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from morelli.encoders.weights import short_hash
from morelli.errors import InputError
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from morelli.fingerprint.encoders import Fingerprint
    from morelli.fingerprint.windows import Pixels


class SeveralFingerprints:
    """Trained extractors over residuals of the same windows, their vectors side by side.

    Keeps the contract of `morelli.encoders.base.Encoder`. A part's vector ``fingerprint/LAYER`` is called
    ``PART/LAYER`` here: attributors group vectors by what stands before the slash.

    Parameters
    ----------
    parts : mapping of str to Fingerprint
        By the word for their vectors. All look at the same windows.
    name : str
        What ``load_encoder`` takes for it.

    Raises
    ------
    InputError
        No part, or parts that look at different windows.
    """

    #: ``encode`` may run in several threads at once.
    side_by_side = True

    def __init__(self, parts: Mapping[str, Fingerprint], name: str) -> None:
        looks = sorted({(part.windows, part.small) for part in parts.values()})
        if len(looks) != 1:
            raise InputError(f"must be one or more that look at the same windows; got {looks}.", argument="parts")
        self.parts = dict(parts)
        stamps = {word: part.stamp for word, part in self.parts.items()}
        self._stamp = EncoderStamp(
            name,
            short_hash([stamp.revision for stamp in stamps.values()]),
            short_hash([stamp.preprocessing for stamp in stamps.values()]),
            {part_name(word, vector): size for word, stamp in stamps.items() for vector, size in stamp.dims.items()},
        )

    @property
    def stamp(self) -> EncoderStamp:
        """Identity of the vectors: hashes of the parts' revisions and preprocessings."""
        return self._stamp

    def prepare(self, pixels: Pixels) -> Pixels:
        """Windows of one image, as each part takes them.

        Raises
        ------
        ImageTooSmallError
            A side is below 16 pixels.
        """
        return next(iter(self.parts.values())).prepare(pixels)

    def encode(self, prepared: Sequence[Pixels]) -> dict[str, NDArray[np.float32]]:
        """Vectors of a batch of prepared images: (n, d), float32.

        Raises
        ------
        FlatImageError
            An image has no residual of one of the kinds.
        """
        return {
            part_name(word, vector): values
            for word, part in self.parts.items()
            for vector, values in part.encode(prepared).items()
        }


def part_name(word: str, vector: str) -> str:
    """What a part's vector is called in the whole."""
    return f"{word}/{vector.partition('/')[2]}"
