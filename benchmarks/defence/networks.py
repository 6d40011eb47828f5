"""Encoders, each read once."""

from __future__ import annotations

from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import load_encoder


class Networks:
    """Encoders by name, and the cache of their embeddings."""

    def __init__(self) -> None:
        self.cache = EmbeddingCache()
        self._made: dict[str, Encoder] = {}

    def __getitem__(self, name: str) -> Encoder:
        if name not in self._made:
            self._made[name] = load_encoder(name)
        return self._made[name]
