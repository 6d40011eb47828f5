"""Fresh images, degraded as the query seems to be.

A query that was compressed, blurred or made noisy on its way lacks what fresh images still have, and has what they do
not. But fresh images are at hand as pixels: what happened to the query can be done to them too. A query that lies among
the fresh images as held-out ones of their own do is compared as it is, and nothing more is computed. For any other the
likeliest of some degradations is found, and all fresh images go through it before they are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.bank import Bank, BankSettings, Labels, fit_bank, view_groups
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.copies import choose_sample
from morelli.encoders.embed import embed
from morelli.images.degrade import degrade
from morelli.images.pixels import content_hash
from morelli.regeneration.candidates import Candidates
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors

    Pixels = NDArray[np.uint8]

#: What a picture may have gone through: each kind at a few strengths, and usual chains. Finer than
#: `morelli.encoders.copies.CONDITIONS`, whose effect is learnt once a gallery: here it is looked at, image by image.
FAMILY = (
    "jpeg:92",
    "jpeg:82",
    "jpeg:70",
    "jpeg:55",
    "webp:80",
    "blur:0.5",
    "blur:0.7",
    "blur:1",
    "blur:1.4",
    "noise:2",
    "noise:4",
    "noise:8",
    "crop:0.95",
    "crop:0.85",
    "blur:0.7+jpeg:80",
    "noise:4+jpeg:80",
    "blur:0.7+noise:4+jpeg:80",
)
#: As it comes.
CLEAN = ""
# Fresh images of all models together that go through the whole family.
_SAMPLE = 24
# A model's images, and all images, below which scatter cannot be told.
_LEAST_OF_MODEL, _LEAST = 3, 16
# A query that is stranger than this share of held-out fresh images may be degraded.
_TYPICAL = 0.9


class Matching:
    """Finds what a query went through, and has candidates go through it.

    Parameters
    ----------
    encoder : Encoder
    cache : EmbeddingCache, optional
    settings : BankSettings
        Constants of the covariance estimates.
    """

    def __init__(
        self, encoder: Encoder, cache: EmbeddingCache | None = None, settings: BankSettings = BankSettings()
    ) -> None:
        self.encoder, self.cache, self.settings = encoder, cache, settings
        self._last: tuple[tuple[str, ...], _Known] | None = None

    def find(self, query: Vectors, candidates: Candidates, vectors: Vectors) -> str:
        """What a query went through, as `morelli.images.degrade` has it; `CLEAN` where nothing speaks for anything.

        Parameters
        ----------
        query : mapping of str to ndarray, shape (1, d)
            The query's embedding.
        candidates : Candidates
        vectors : mapping of str to ndarray, shape (c, d)
            The candidates' embeddings.

        Raises
        ------
        ImageError
            A candidate's file cannot be read any more.
        """
        counts = np.unique(candidates.labels, return_counts=True)[1]
        if counts.min() < _LEAST_OF_MODEL or counts.sum() < _LEAST:
            return CLEAN
        known = self._of(candidates)
        if known.typical is None:
            known.typical = Typical(vectors, candidates.labels, self.settings)
        if not known.typical.is_strange(query):
            return CLEAN
        if known.family is None:
            known.family = self._family(candidates, vectors)
        return known.family.likeliest(query)

    def embed(self, candidates: Candidates, kind: str) -> dict[str, NDArray[np.float32]]:
        """The candidates' embeddings after a degradation; the noise of each is its own, the same in every run."""
        known = self._of(candidates).embedded
        if kind not in known:
            known[kind] = self._embed(candidates, np.arange(len(candidates.images)), kind)
        return known[kind]

    def _embed(self, candidates: Candidates, rows: NDArray[np.intp], kind: str) -> dict[str, NDArray[np.float32]]:
        paths = [candidates.images[row].path for row in rows]
        return embed(self.encoder, paths, transform=_through(kind), cache=self.cache, on_error="raise").vectors

    def _of(self, candidates: Candidates) -> _Known:
        contents = tuple(image.content for image in candidates.images)
        if self._last is None or self._last[0] != contents:  # queries of one prompt come one after another
            self._last = contents, _Known()
        return self._last[1]

    def _family(self, candidates: Candidates, vectors: Vectors) -> _Family:
        contents = [image.content for image in candidates.images]
        rows = choose_sample(candidates.labels.tolist(), contents, _SAMPLE)
        parts = {CLEAN: {name: values[rows] for name, values in vectors.items()}}
        parts |= {kind: self._embed(candidates, rows, kind) for kind in FAMILY}
        return _Family(parts, self.settings)


@dataclass
class _Known:
    """What was learnt of some candidates, as far as it was needed."""

    typical: Typical | None = None
    family: _Family | None = None
    embedded: dict[str, dict[str, NDArray[np.float32]]] = field(default_factory=dict)


class _Family:
    """Which degradation an embedding shows: classes are degradations, noise is what images differ by.

    Parameters
    ----------
    parts : mapping of str to vectors
        The same n images after each degradation.
    settings : BankSettings
    """

    def __init__(self, parts: Mapping[str, Vectors], settings: BankSettings) -> None:
        first = next(iter(parts.values()))
        joined = {name: np.concatenate([part[name] for part in parts.values()]) for name in first}
        count = len(next(iter(first.values())))
        kinds = np.repeat(list(parts), count)
        images = np.tile([f"image {row}" for row in range(count)], len(parts))
        self.bank: Bank = fit_bank(
            LabelledEmbeddings(joined, kinds, images, kinds), view_groups(tuple(joined)), settings
        )
        self._references, self._labels = self.bank.project(joined), Labels(kinds, images)

    def likeliest(self, query: Vectors) -> str:
        """The likeliest degradation of one query."""
        models = self.bank.models
        layers = self.bank.free_scores(self.bank.project(query), self._references, self._labels, models)
        return str(models[layers.mean(axis=0)[0].argmax()])


class Typical:
    """How far held-out images of models lie from the models: what is farther than most of them is strange.

    Distances are Mahalanobis' under what seeds change, to the nearest model's mean, averaged over views. Each image is
    held out once, with one of every other model.

    Parameters
    ----------
    vectors : mapping of str to ndarray, shape (c, d)
    labels : ndarray of str, shape (c,)
        Three images of each model at least.
    settings : BankSettings
    """

    def __init__(self, vectors: Vectors, labels: NDArray[np.str_], settings: BankSettings) -> None:
        turn = np.empty(len(labels), dtype=np.intp)
        for model in np.unique(labels):
            turn[labels == model] = np.arange((labels == model).sum())
        self._folds: list[_Distances] = []
        held: list[NDArray[np.float64]] = []
        for fold in range(int(turn.max()) + 1):
            kept = turn != fold
            bank = fit_bank(_labelled(vectors, labels, kept), view_groups(tuple(vectors)), settings)
            distances = _Distances(bank, {name: values[kept] for name, values in vectors.items()}, labels[kept])
            held.append(distances({name: values[~kept] for name, values in vectors.items()}))
            self._folds.append(distances)
        self._limit = float(np.quantile(np.concatenate(held), _TYPICAL))

    def is_strange(self, query: Vectors) -> bool:
        """Whether a query, arrays of shape (1, d), lies farther from every model than most held-out images do."""
        return float(np.median([distances(query)[0] for distances in self._folds])) > self._limit


class _Distances:
    """Squared distances to the nearest model's mean, shape (n,)."""

    def __init__(self, bank: Bank, vectors: Vectors, labels: NDArray[np.str_]) -> None:
        self._bank = bank
        self._means = {
            name: np.stack([z[labels == model].mean(axis=0) for model in np.unique(labels)])
            for name, (_, z) in bank.project(vectors).items()
        }

    def __call__(self, vectors: Vectors) -> NDArray[np.float64]:
        found = self._bank.project(vectors)
        parts = [
            ((found[name][1][:, None] - means[None]) ** 2).mean(axis=2).min(axis=1)
            for name, means in self._means.items()
        ]
        return np.mean(parts, axis=0)


def _labelled(vectors: Vectors, labels: NDArray[np.str_], rows: NDArray[np.bool_]) -> LabelledEmbeddings:
    models = labels[rows]
    return LabelledEmbeddings(
        {name: values[rows] for name, values in vectors.items()}, models, np.full(len(models), "prompt"), models
    )


def _through(kind: str) -> Callable[[Pixels], Pixels]:
    return lambda pixels: degrade(pixels, kind, seed=int(content_hash(pixels)[:8], 16))
