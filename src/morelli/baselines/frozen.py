"""A frozen encoder's vectors of pictures, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder


@lru_cache(maxsize=2)
def _encoder(spec: str) -> Encoder:
    # Every fold makes attributors anew, and reading weights takes longer than many a fold.
    from morelli.encoders.catalogue import load_encoder

    return load_encoder(spec)


def encode_pictures(spec: str, images: Sequence[NDArray[np.uint8]], cache: str | None = None) -> NDArray[np.float32]:
    """All named vectors of an encoder, side by side in the stamp's order: shape (n, sum of d).

    Parameters
    ----------
    spec : str
        As ``load_encoder`` takes it.
    images : sequence of ndarray, shape (height, width, 3), uint8
    cache : str, optional
        Folder of an `EmbeddingCache`, which other methods may share: what it knows is not computed again.

    Raises
    ------
    UnknownNameError, WeightsError, MissingExtraError
        As ``load_encoder``.
    """
    from morelli.encoders.cache import EmbeddingCache
    from morelli.encoders.embed import embed
    from morelli.images.load import from_array

    encoder = _encoder(spec)
    if not len(images):
        return np.empty((0, sum(encoder.stamp.dims.values())), np.float32)
    store = None if cache is None else EmbeddingCache(cache)
    try:
        found = embed(encoder, [from_array(image) for image in images], cache=store, on_error="raise")
    finally:
        if store is not None:
            store.close()
    return np.concatenate([found.vectors[name] for name in encoder.stamp.dims], axis=1)
