"""A picture and degraded copies of it, embedded in one run of the network: what a verdict's stability is told from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import PictureInfo, Source, Vectors, embed
from morelli.errors import MorelliError
from morelli.images.degrade import Degradation
from morelli.images.load import Picture, from_array, load_image


@dataclass(frozen=True, eq=False)
class Variants:
    """Embeddings of one picture and its degraded copies.

    Attributes
    ----------
    info : PictureInfo
        Of the picture itself.
    vectors : dict of str to ndarray, shape (1 + degradations, d), float32
        The picture first.
    """

    info: PictureInfo
    vectors: Vectors


def source_name(source: Source) -> str:
    """What messages call a source: its path, or the picture's own name."""
    if isinstance(source, Picture):
        return source.name
    return "bytes" if isinstance(source, bytes) else str(source)


def embed_variants(
    encoder: Encoder,
    sources: Sequence[Source],
    degradations: Sequence[Degradation] = (),
    cache: EmbeddingCache | None = None,
) -> Iterator[Variants | MorelliError]:
    """One answer a source, in order: its embeddings, or what is wrong with it.

    Degrading one picture overlaps with the network's run on the one before it.

    Parameters
    ----------
    encoder : Encoder
    sources : sequence of Path, str, bytes or Picture
    degradations : sequence of Degradation
    cache : EmbeddingCache, optional
        Asked and filled, for the degraded copies too: a degradation is deterministic.
    """
    with ThreadPoolExecutor(max(len(degradations), 1), thread_name_prefix="morelli-degrade") as pool:
        started: _Started | MorelliError | None = None
        for number in range(len(sources)):
            current = started if started is not None else _start(pool, sources[number], degradations)
            started = _start(pool, sources[number + 1], degradations) if number + 1 < len(sources) else None
            yield current if isinstance(current, MorelliError) else _finish(current, encoder, cache)


@dataclass(slots=True)
class _Started:
    picture: Picture
    copies: list[Future[Picture]]


def _start(pool: ThreadPoolExecutor, source: Source, degradations: Sequence[Degradation]) -> _Started | MorelliError:
    try:
        picture = source if isinstance(source, Picture) else load_image(source)
    except MorelliError as error:
        return error
    return _Started(picture, [pool.submit(_degraded, picture, degradation) for degradation in degradations])


def _degraded(picture: Picture, degradation: Degradation) -> Picture:
    return from_array(degradation(picture.pixels), f"{picture.name} after {degradation.name}")


def _finish(started: _Started, encoder: Encoder, cache: EmbeddingCache | None) -> Variants | MorelliError:
    try:
        pictures = [started.picture, *(copy.result() for copy in started.copies)]
        made = embed(encoder, pictures, cache=cache, on_error="raise")
    except MorelliError as error:
        return error
    return Variants(made.pictures[0], made.vectors)
