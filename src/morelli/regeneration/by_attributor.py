"""Likeness as an attributor sees it: the candidates are references of the query's prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.base import Attributor
from morelli.attribution.calibration import CalibrationPair
from morelli.attribution.catalogue import load_attributor
from morelli.attribution.learned import Learned
from morelli.attribution.leave_out import refit
from morelli.attribution.likelihood import LikelihoodAttributor
from morelli.attribution.nearest import coordinates
from morelli.attribution.persist import statistics_key
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.embed import embed
from morelli.gallery.view import GalleryView
from morelli.images.load import Picture
from morelli.regeneration.candidates import Candidates
from morelli.regeneration.matching import CLEAN, Matching
from morelli.regeneration.similarity import Compared
from morelli.regeneration.stopwatch import Stopwatch
from morelli.types import EncoderStamp, LabelledEmbeddings, Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors


@dataclass(frozen=True, eq=False)
class Background:
    """A gallery's references with their embeddings: what statistics are learnt from.

    Attributes
    ----------
    path : str
    version : int
        Of the gallery.
    references : tuple of Reference
    data : LabelledEmbeddings
        Of the same rows.
    """

    path: str
    version: int
    references: tuple[Reference, ...]
    data: LabelledEmbeddings

    @cached_property
    def row(self) -> dict[str, int]:
        """Row of each picture, by the hash of its pixels."""
        return {reference.content: row for row, reference in enumerate(self.references)}


def read_background(gallery: str | Path | GalleryView, encoder: Encoder) -> Background:
    """What a gallery holds under an encoder.

    Raises
    ------
    MissingGalleryError, EmptyGalleryError, GalleryMismatchError
        There is no gallery, nothing is in it, or nothing of that encoder.
    """
    view = gallery if isinstance(gallery, GalleryView) else GalleryView.open(gallery)
    view.require(encoder.stamp)
    return Background(view.path, view.version, *view.embeddings(encoder.stamp.encoder))


class ByAttributor:
    """Scores of an attributor with the candidates as references.

    With a background its statistics, and where they allow it a calibration, come from there. Without one the candidates
    themselves tell how far seeds scatter, which takes two a model, and nothing is calibrated.

    Parameters
    ----------
    method : str
        The attributor's name: "fused", "plda", …
    encoder : Encoder
    background : Background, optional
        Under the same encoder.
    cache : EmbeddingCache, optional
    folder : Path, optional
        Of the cache in which what is learnt from the background is kept; by default `default_folder`.
    on_learn : callable
        Called before something is learnt from the background, which may take a minute.
    match : bool
        Have the candidates go through what the query seems to have gone through (`Matching`), for attributors that
        learn. A background with degraded copies tells what that does to embeddings; then nothing is matched.
    """

    def __init__(
        self,
        method: str,
        encoder: Encoder,
        background: Background | None = None,
        *,
        cache: EmbeddingCache | None = None,
        folder: Path | None = None,
        on_learn: Callable[[], None] = lambda: None,
        match: bool = True,
    ) -> None:
        self.name = method
        self.encoder = encoder
        self.background = background
        self.cache = cache
        self.on_learn = on_learn
        self._folder = default_folder() if folder is None else folder
        self._blank = load_attributor(method)
        self._matching = Matching(encoder, cache) if match else None
        self._last: tuple[tuple[str, ...], Vectors] | None = None

    @property
    def stamp(self) -> EncoderStamp:
        """Of the encoder."""
        return self.encoder.stamp

    @property
    def gallery(self) -> tuple[str, int] | None:
        """Path and version of the background's gallery."""
        return None if self.background is None else (self.background.path, self.background.version)

    @property
    def least(self) -> int:
        """Two where the candidates alone tell how far seeds scatter."""
        return 2 if self.background is None and isinstance(self._blank, LikelihoodAttributor) else 1

    def compare(self, queries: Sequence[Picture], candidates: Candidates, watch: Stopwatch) -> Compared:
        """The attributor's scores; distances are those of the space in which it compares.

        Raises
        ------
        NotEnoughReferencesError
            The candidates, with the background, do not allow this attributor.
        """
        with watch("embed"):
            mine, theirs = self._embed(queries, candidates)
        first = {name: values[:1] for name, values in mine.items()}
        with watch("score"):
            references = _references(theirs, candidates)
            attributor, calibration, notes = self._fitted(references, candidates.prompt, queries[0].content)
        kind, references = self._matched(attributor, first, candidates, references, watch)
        if kind:
            notes += (f"The picture looks as after {kind}, and was compared with fresh images after the same.",)
        with watch("score"):
            return Compared(
                attributor.scores(mine, references, candidates.prompt),
                _distances(attributor, first, references),
                calibration,
                attributor.is_degraded(mine),
                notes,
            )

    def _embed(self, queries: Sequence[Picture], candidates: Candidates) -> tuple[Vectors, Vectors]:
        """Of the queries and of the candidates; those of the last candidates are kept, as queries may share them."""
        contents = tuple(image.content for image in candidates.images)
        if self._last is not None and self._last[0] == contents:
            return embed(self.encoder, queries, cache=self.cache, on_error="raise").vectors, self._last[1]
        # In one go, so that batches are full.
        sources = [*queries, *(image.path for image in candidates.images)]
        vectors = embed(self.encoder, sources, cache=self.cache, on_error="raise").vectors
        count = len(queries)
        theirs = {name: values[count:] for name, values in vectors.items()}
        self._last = contents, theirs
        return {name: values[:count] for name, values in vectors.items()}, theirs

    def _matched(
        self,
        attributor: Attributor,
        query: Vectors,
        candidates: Candidates,
        references: LabelledEmbeddings,
        watch: Stopwatch,
    ) -> tuple[str, LabelledEmbeddings]:
        """What the query seems to have gone through, and the candidates after the same."""
        if (
            self._matching is None
            or not isinstance(attributor, LikelihoodAttributor)
            or attributor.conditions_ is not None
        ):
            return CLEAN, references
        with watch("embed"):
            kind = self._matching.find(query, candidates, references.vectors)
            if kind == CLEAN:
                return kind, references
            return kind, _references(self._matching.embed(candidates, kind), candidates)

    def _fitted(
        self, references: LabelledEmbeddings, prompt: str, content: str
    ) -> tuple[Attributor, CalibrationPair | None, tuple[str, ...]]:
        held = self.background
        if held is None or self._learned is None:
            return self._blank.clone().fit(None), None, ()
        k = int(np.median(np.unique(references.models, return_counts=True)[1]))
        attributor, calibration = self._learned.get(k, references, prompt, self.on_learn)
        row = held.row.get(content)
        if row is None:
            return attributor, calibration, ()
        known = held.references[row]
        note = f"This very picture is a reference of {known.model} ({known.name}); it was left out."
        return refit(attributor, held.data.take(np.arange(len(held.data)) != row)), calibration, (note,)

    @cached_property
    def _learned(self) -> Learned | None:
        held = self.background
        if held is None:
            return None
        contents = [reference.content for reference in held.references]
        key = statistics_key(self._blank, held.data, contents, self.encoder.stamp)
        return Learned(self._blank, held.data, self._folder / "statistics" / f"{key}.npz")


def _references(vectors: Vectors, candidates: Candidates) -> LabelledEmbeddings:
    families = np.array([candidates.families[model] for model in candidates.labels])
    return LabelledEmbeddings(
        dict(vectors), candidates.labels, np.full(len(candidates.images), candidates.prompt), families
    )


def _distances(attributor: Attributor, query: Vectors, references: LabelledEmbeddings) -> NDArray[np.float64]:
    """Of one query to each reference, where the attributor compares: shape (references,)."""
    if isinstance(attributor, LikelihoodAttributor):
        return attributor.nearness(query, references)[0]
    here, there = coordinates(attributor, query), coordinates(attributor, references.vectors)
    return np.linalg.norm(there - here, axis=1).astype(np.float64)
