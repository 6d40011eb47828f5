"""Encoders, each read once: those of the product, the zoo's mini-CLIP, and two networks of the registry."""

from __future__ import annotations

import sys

from benchmarks.defence.tapped import TAPS, tapped_encoder

from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import load_encoder
from morelli.errors import WeightsError
from morelli.inversion.checkpoint import find_zoo_part

#: The image tower of the mini-CLIP that the built-in models come with.
MINI_CLIP = "mini-clip"


class Networks:
    """Encoders by name, and the cache of their embeddings.

    A name is what `morelli.encoders.catalogue.load_encoder` takes, "mini-clip", or one of
    `benchmarks.defence.tapped.TAPS`.
    """

    def __init__(self) -> None:
        self.cache = EmbeddingCache()
        self._made: dict[str, Encoder] = {}

    def __getitem__(self, name: str) -> Encoder:
        if name not in self._made:
            self._made[name] = _load(name)
        return self._made[name]


def _load(name: str) -> Encoder:
    if name == MINI_CLIP:
        return load_encoder(str(find_zoo_part("clip")))
    return tapped_encoder(name) if name in TAPS else load_encoder(name)


def default_surrogates() -> list[str]:
    """Two networks of different families; without the mini-CLIP's weights, which is told, the first alone."""
    try:
        find_zoo_part("clip")
    except WeightsError as error:
        print(f"no surrogate {MINI_CLIP}: {error}", file=sys.stderr)
        return ["efficientnet-lite0"]
    return ["efficientnet-lite0", MINI_CLIP]
