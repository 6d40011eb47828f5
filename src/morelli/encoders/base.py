"""The contract that every encoder keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from morelli.types import EncoderStamp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class Encoder(Protocol):
    """Pixels in, named vectors out.

    The work is split so that decoding and resampling (threads) overlap with the network (main thread).
    """

    @property
    def stamp(self) -> EncoderStamp:
        """Identity of the embeddings that this encoder makes; ``stamp.dims`` names and sizes the vectors."""
        ...

    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        """Views of one image, ready for the network; thread-safe, no network in it.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3), uint8
            sRGB.
        """
        ...

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Embeddings of a batch of prepared images: name → array of shape (n, ``stamp.dims[name]``), float32.

        The result for one image does not depend on the others in its batch.
        """
        ...


def kept_as(encoder: Encoder) -> EncoderStamp:
    """The stamp under which a cache keeps an encoder's embeddings: its own, unless its ``kept_as`` is another one.

    Embeddings that may be compared need not be the same numbers: of a network that runs in two precisions, nobody who
    asks for one may get what the other computed.
    """
    found = getattr(encoder, "kept_as", None)
    return found if isinstance(found, EncoderStamp) else encoder.stamp
