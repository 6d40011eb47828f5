"""Likeness of pairs, averaged over a model's candidates: as published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.centroid import unit_vectors
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import embed
from morelli.images.load import Picture, load_image
from morelli.regeneration.candidates import Candidates
from morelli.regeneration.similarity import Compared
from morelli.regeneration.ssim import Moments, match_sizes, moments, similarity
from morelli.regeneration.stopwatch import Stopwatch
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pairwise(ABC):
    """Mean over a model's candidates of the likeness of pairs, which is at most 1."""

    name: str
    least = 1

    @property
    def stamp(self) -> EncoderStamp | None:
        """Pixels are compared, unless a subclass has an encoder."""
        return None

    @property
    def gallery(self) -> tuple[str, int] | None:
        """Nothing is learnt."""
        return None

    @abstractmethod
    def pairs(self, queries: Sequence[Picture], candidates: Candidates, watch: Stopwatch) -> NDArray[np.float64]:
        """Likeness of each of n queries and c candidates: shape (n, c)."""

    def compare(self, queries: Sequence[Picture], candidates: Candidates, watch: Stopwatch) -> Compared:
        """Means by model; a distance is 1 less the likeness."""
        values = self.pairs(queries, candidates, watch)
        return Compared(candidates.means(values), 1.0 - values[0])


class ClipCosine(Pairwise):
    """Cosine of image embeddings: the published measure, with a CLIP's projected features.

    Parameters
    ----------
    encoder : Encoder
        Several named vectors are each taken at unit length, side by side.
    cache : EmbeddingCache, optional
    """

    name = "clip-cosine"

    def __init__(self, encoder: Encoder, cache: EmbeddingCache | None = None) -> None:
        self.encoder = encoder
        self.cache = cache

    @property
    def stamp(self) -> EncoderStamp:
        """Of the encoder."""
        return self.encoder.stamp

    def pairs(self, queries: Sequence[Picture], candidates: Candidates, watch: Stopwatch) -> NDArray[np.float64]:
        """Cosines, −1–1."""
        with watch("embed"):
            sources = [*queries, *(image.path for image in candidates.images)]
            vectors = embed(self.encoder, sources, cache=self.cache, on_error="raise").vectors
        with watch("score"):
            x = unit_vectors(vectors)
            return x[: len(queries)] @ x[len(queries) :].T


class Ssim(Pairwise):
    """Structural similarity of pixels. Where sizes differ, both images are brought to the smaller sides."""

    name = "ssim"

    def pairs(self, queries: Sequence[Picture], candidates: Candidates, watch: Stopwatch) -> NDArray[np.float64]:
        """Indices, −1–1."""
        with watch("score"):
            out = np.empty((len(queries), len(candidates.images)))
            known: list[dict[tuple[int, ...], Moments]] = [{} for _ in queries]
            for column, image in enumerate(candidates.images):
                pixels = load_image(image.path).pixels
                for row, query in enumerate(queries):
                    mine, theirs = match_sizes(query.pixels, pixels)
                    if mine.shape not in known[row]:
                        known[row][mine.shape] = moments(mine)
                    out[row, column] = similarity(known[row][mine.shape], moments(theirs))
            return out


class Hybrid(Pairwise):
    """Weighted mean of the cosine and the structural similarity.

    The paper compares such a hybrid and leaves its weight open: both count alike unless another weight is given.

    Parameters
    ----------
    cosine : ClipCosine
    weight : float
        Of the structural similarity, 0–1.
    """

    name = "hybrid"

    def __init__(self, cosine: ClipCosine, weight: float = 0.5) -> None:
        self.cosine = cosine
        self.weight = weight

    @property
    def stamp(self) -> EncoderStamp:
        """Of the encoder."""
        return self.cosine.encoder.stamp

    def pairs(self, queries: Sequence[Picture], candidates: Candidates, watch: Stopwatch) -> NDArray[np.float64]:
        """Weighted means, −1–1."""
        cosines = self.cosine.pairs(queries, candidates, watch)
        return (1.0 - self.weight) * cosines + self.weight * Ssim().pairs(queries, candidates, watch)
