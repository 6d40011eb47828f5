"""Encoders, each read once: those of the product, the zoo's mini-CLIP, and those that are the benchmark's alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.defence.tapped import TAPS, tapped_encoder

from morelli.defence.overlap import OUTSIDE, Overlap, overlap_with
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import load_encoder
from morelli.errors import WeightsError
from morelli.inversion.checkpoint import find_zoo_part

#: The image tower of the mini-CLIP that the built-in models come with.
MINI_CLIP = "mini-clip"
#: The vectors of ``fingerprint`` that come from its wavelet residual alone: of the median's, which
#: ``residual-spectrum`` and the other half of ``fingerprint`` take, there is nothing in them.
WAVELET = "fingerprint-wavelet"


class Networks:
    """Encoders by name, and the cache of their embeddings.

    A name is what `morelli.encoders.catalogue.load_encoder` takes, "mini-clip", "fingerprint-wavelet", or one of
    `benchmarks.defence.tapped.TAPS`.
    """

    def __init__(self) -> None:
        self.cache = EmbeddingCache()
        self._made: dict[str, Encoder] = {}

    def __getitem__(self, name: str) -> Encoder:
        if name not in self._made:
            self._made[name] = _load(name)
        return self._made[name]

    def overlap(self, name: str, surrogates: Sequence[str]) -> Overlap:
        """What an attacker's encoder has in common with the defender's ensemble: its best case, or the honest test."""
        if name in TAPS:  # other packages' networks, which no ensemble has; they need not be installed
            return OUTSIDE
        return overlap_with(self[name], [self[each] for each in surrogates])


def _load(name: str) -> Encoder:
    if name == MINI_CLIP:
        return load_encoder(str(find_zoo_part("clip")))
    if name == WAVELET:
        from morelli.fingerprint.encoders import shipped_parts

        return shipped_parts()["wavelet"]
    return tapped_encoder(name) if name in TAPS else load_encoder(name)


def default_surrogates() -> list[str]:
    """Two networks of different families; without the mini-CLIP's weights, which is told, the first alone."""
    try:
        find_zoo_part("clip")
    except WeightsError as error:
        print(f"no surrogate {MINI_CLIP}: {error}", file=sys.stderr)
        return ["efficientnet-lite0"]
    return ["efficientnet-lite0", MINI_CLIP]
