"""An encoder that runs where an engine's workers are: files go out, vectors come back, the cache stays here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from morelli.encoders.base import Encoder, kept_as
from morelli.encoders.cache import Cache
from morelli.encoders.embed import Embedded, PictureInfo, Source, embed
from morelli.encoders.joined import JoinedEncoder
from morelli.engine.base import Answer, Engine
from morelli.errors import EngineError, MorelliError
from morelli.images.load import Limits, Picture
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = Mapping[str, NDArray[np.float32]]

E = TypeVar("E", bound=Encoder)


def place(encoder: E, engine: Engine | None) -> E | PlacedEncoder | JoinedEncoder:
    """The encoder as it runs on an engine: itself on one that works in this process.

    Of joined encoders each part runs there, as each has a cache of its own.
    """
    if engine is None or not engine.remote:
        return encoder
    if isinstance(encoder, JoinedEncoder):
        return JoinedEncoder([place(part, engine) for part in encoder.parts])
    return PlacedEncoder(encoder, engine)


def placed_like(encoder: Encoder, other: E) -> E | PlacedEncoder | JoinedEncoder:
    """Another encoder, where this one runs."""
    if isinstance(encoder, JoinedEncoder):
        return placed_like(encoder.parts[0], other)
    return PlacedEncoder(other, encoder.engine) if isinstance(encoder, PlacedEncoder) else other


@dataclass(frozen=True, eq=False)
class PlacedEncoder:
    """An encoder on an engine. `embed` spreads pictures over the engine's workers; all else runs in this process.

    Pictures that can be read give the vectors that the encoder gives here. Files are read by the workers, which must
    find them under the same paths.

    Attributes
    ----------
    encoder : Encoder
        Picklable.
    engine : Engine
    """

    encoder: Encoder
    engine: Engine

    @property
    def stamp(self) -> EncoderStamp:
        return self.encoder.stamp

    @property
    def kept_as(self) -> EncoderStamp:
        """As the encoder says."""
        return kept_as(self.encoder)

    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        """As the encoder does, here."""
        return self.encoder.prepare(pixels)

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
        """As the encoder does, here."""
        return self.encoder.encode(prepared)

    def embed_many(
        self,
        sources: Sequence[Source],
        *,
        transform: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None,
        cache: Cache | None,
        batch: int,
        progress: Callable[[int, int], None] | None,
        on_error: Literal["raise", "collect"],
        limits: Limits,
        side_work: Callable[[Picture], Any] | None,
    ) -> Embedded:
        """As `morelli.encoders.embed.embed`, whose parameters these are.

        A part of ``batch`` pictures is one item of work. Where a worker is lost with a part, its pictures are tried
        one by one, so that only the culprit is without vectors, and that one has a named error.
        """
        stamp = self.kept_as
        known = cache.contents(stamp) if cache is not None else frozenset()
        job = _Job(self.encoder, transform, batch, limits, side_work, known)
        gathered = _Gathered(stamp, cache, len(sources), progress, on_error)
        parts = [range(at, min(at + batch, len(sources))) for at in range(0, len(sources), batch)]
        again = self._run(job, sources, parts, gathered)
        if again:
            # What the cache said it had and had not is among them: now nothing is taken as known.
            self._run(replace(job, known=frozenset()), sources, [range(i, i + 1) for i in again], gathered)
        return gathered.result()

    def _run(self, job: _Job, sources: Sequence[Source], parts: Sequence[range], gathered: _Gathered) -> list[int]:
        """Do some parts; the sources that must be tried again on their own."""
        again: list[int] = []
        items = ([sources[i] for i in part] for part in parts)
        with closing(self.engine.map(_embed_part, items, shared=job)) as answers:
            for answer in answers:
                again += gathered.take(parts[answer.index], answer)
        return again


@dataclass(frozen=True, eq=False)
class _Job:
    """What all parts have in common. ``known`` are the contents whose vectors are at hand where they are wanted."""

    encoder: Encoder
    transform: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None
    batch: int
    limits: Limits
    side_work: Callable[[Picture], Any] | None
    known: frozenset[str]


@dataclass(frozen=True, eq=False)
class _Part:
    """A part's embeddings, and which of its pictures have placeholders in their stead."""

    made: Embedded
    placeholders: frozenset[str]


@dataclass(eq=False)
class _Known:
    """Stands in for the cache at a worker: answers for contents that are known, with vectors of zeros."""

    known: frozenset[str]
    asked: set[str] = field(default_factory=set)

    def get(self, stamp: EncoderStamp, contents: Sequence[str]) -> dict[str, dict[str, NDArray[np.float32]]]:
        found = self.known.intersection(contents)
        self.asked |= found
        return {content: {name: np.zeros(d, np.float32) for name, d in stamp.dims.items()} for content in found}

    def put(self, stamp: EncoderStamp, entries: Mapping[str, Vectors]) -> None:
        """What is new is kept where the parts come together."""

    def contents(self, stamp: EncoderStamp) -> frozenset[str]:
        return self.known


def _embed_part(job: _Job, part: Sequence[Source]) -> _Part:
    """What a worker does: one part's pictures, read ahead by one thread."""
    stand_in = _Known(job.known)
    made = embed(
        job.encoder,
        part,
        transform=job.transform,
        cache=stand_in,
        batch=job.batch,
        workers=1,
        limits=job.limits,
        side_work=job.side_work,
    )
    return _Part(made, frozenset(stand_in.asked))


class _Gathered:
    """Parts' embeddings put together in the order of the sources; what is new goes into the cache at once."""

    def __init__(
        self,
        stamp: EncoderStamp,
        cache: Cache | None,
        total: int,
        progress: Callable[[int, int], None] | None,
        on_error: Literal["raise", "collect"],
    ) -> None:
        self._stamp, self._cache, self._total = stamp, cache, total
        self._progress, self._on_error = progress, on_error
        self._kept: dict[int, tuple[PictureInfo, Vectors]] = {}
        self._errors: dict[int, MorelliError] = {}

    def take(self, part: range, answer: Answer[_Part]) -> list[int]:
        """Keep a part; the sources in it that must be tried again."""
        if isinstance(answer.error, EngineError):
            if len(part) > 1:
                return list(part)
            self._fail(part[0], answer.error)
            return []
        found = (
            answer.get()
        )  # any other error is the encoder's, whatever the picture: it ends the work as it would here
        for row, error in found.made.errors:
            self._fail(part[row], error)
        return self._keep(part, found)

    def _keep(self, part: range, found: _Part) -> list[int]:
        held = self._held(found.placeholders)
        fresh: dict[str, Vectors] = {}
        again = []
        for row, (number, info) in enumerate(zip(found.made.rows, found.made.pictures, strict=True)):
            index, content = part[int(number)], info.embedded_content
            vectors: Vectors
            if content in found.placeholders:
                if content not in held:  # the entry is damaged, or another process has started the cache anew
                    again.append(index)
                    continue
                vectors = held[content]
            else:
                vectors = fresh[content] = {name: values[row].copy() for name, values in found.made.vectors.items()}
            self._kept[index] = (info, vectors)
            self._step()
        if self._cache is not None and fresh:
            self._cache.put(self._stamp, fresh)
        return again

    def _held(self, contents: frozenset[str]) -> Mapping[str, Vectors]:
        return self._cache.get(self._stamp, sorted(contents)) if self._cache is not None and contents else {}

    def _fail(self, index: int, error: MorelliError) -> None:
        if self._on_error == "raise":
            raise error
        self._errors[index] = error
        self._step()

    def _step(self) -> None:
        if self._progress is not None:
            self._progress(len(self._kept) + len(self._errors), self._total)

    def result(self) -> Embedded:
        rows = sorted(self._kept)
        if len(rows) + len(self._errors) != self._total:
            raise EngineError(f"{self._total} pictures were sent out and {len(rows)} came back.", argument="engine")
        vectors = {
            name: np.stack([self._kept[i][1][name] for i in rows]) if rows else np.empty((0, d), np.float32)
            for name, d in self._stamp.dims.items()
        }
        pictures = [self._kept[i][0] for i in rows]
        return Embedded(vectors, pictures, np.array(rows, dtype=np.int64), sorted(self._errors.items()))
