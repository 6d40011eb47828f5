"""A frozen encoder's vectors of pictures, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder

_BATCH = 16


@lru_cache(maxsize=2)
def _encoder(spec: str) -> Encoder:
    # Every fold makes attributors anew, and reading weights takes longer than many a fold.
    from morelli.encoders.catalogue import load_encoder

    return load_encoder(spec)


def encode_pictures(spec: str, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """All named vectors of an encoder, side by side in the stamp's order: shape (n, sum of d).

    Raises
    ------
    UnknownNameError, WeightsError, MissingExtraError
        As ``load_encoder``.
    """
    encoder = _encoder(spec)
    parts = []
    for start in range(0, len(images), _BATCH):
        found = encoder.encode([encoder.prepare(image) for image in images[start : start + _BATCH]])
        parts.append(np.concatenate([found[name] for name in encoder.stamp.dims], axis=1))
    return np.concatenate(parts) if parts else np.empty((0, sum(encoder.stamp.dims.values())), np.float32)
