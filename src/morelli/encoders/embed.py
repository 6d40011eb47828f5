"""Many pictures become embeddings: decoding ahead in threads, the network in batches, the cache in between."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from morelli.encoders.base import Encoder, kept_as
from morelli.encoders.cache import Cache
from morelli.errors import ArrayError, InputError, MorelliError
from morelli.images.load import Limits, Picture, load_image
from morelli.images.pixels import check_pixels, content_hash
from morelli.types import EncoderStamp

Source = Path | str | bytes | Picture
Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What is kept of a picture once its pixels are gone.

    Attributes
    ----------
    content : str
        Content hash of the pixels as decoded.
    embedded_content : str
        Content hash of the pixels that the encoder saw; differs from ``content`` where a transform changed them.
    sha256 : str
        SHA-256 of the file's bytes.
    width, height : int
        Pixels as decoded.
    format, name : str
        As in `Picture`.
    side : object
        What ``side_work`` returned, or None.
    """

    content: str
    embedded_content: str
    sha256: str
    width: int
    height: int
    format: str
    name: str
    side: Any = None


@dataclass
class Embedded:
    """Embeddings of those pictures that could be read and encoded.

    Attributes
    ----------
    vectors : dict of str to ndarray, shape (n, d), float32
        One entry for each named vector of the encoder.
    pictures : list of PictureInfo, length n
        In the order of the rows of ``vectors``.
    rows : ndarray, shape (n,), int64
        Which source each row is; ascending.
    errors : list of (int, MorelliError)
        The other sources, in order, and what was wrong with each.
    """

    vectors: dict[str, NDArray[np.float32]]
    pictures: list[PictureInfo]
    rows: NDArray[np.int64]
    errors: list[tuple[int, MorelliError]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(slots=True)
class _Read:
    """A picture as a thread hands it over: with vectors from the cache, or prepared for the network."""

    info: PictureInfo
    vectors: Vectors | None = None
    prepared: Any = None


def embed(
    encoder: Encoder,
    sources: Sequence[Source],
    *,
    transform: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    cache: Cache | None = None,
    batch: int = 16,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_error: Literal["raise", "collect"] = "collect",
    limits: Limits = Limits(),
    side_work: Callable[[Picture], Any] | None = None,
) -> Embedded:
    """Embed pictures, in order, with as many in memory as one batch and the threads need.

    Parameters
    ----------
    encoder : Encoder
        What turns pixels into vectors.
    sources : sequence of Path, str, bytes or Picture
        Files, files' bytes, or pictures that are decoded already.
    transform : callable, optional
        Changes the pixels between decoding and the encoder: a degradation, one size for all. Called in threads.
    cache : EmbeddingCache, optional
        Asked and filled; None: neither.
    batch : int
        Pictures a run of the network.
    workers : int, optional
        Threads that decode and prepare; by default one for each processor that this process may use, at most 8.
    progress : callable, optional
        Called in this thread as ``progress(done, total)`` whenever a picture is finished, failed ones too.
    on_error : {"collect", "raise"}
        What to do about a picture that cannot be read or encoded.
    limits : Limits
        Passed to ``load_image``.
    side_work : callable, optional
        Called in a thread with each decoded `Picture`; its result is kept as ``PictureInfo.side``.

    Raises
    ------
    MorelliError
        With ``on_error="raise"``: the first thing wrong, in the order of the sources within a batch.
    ArrayError
        The encoder's arrays do not have the names and shapes of its stamp.
    InputError
        ``batch`` or ``workers`` is below 1.
    """
    if batch < 1 or (workers is not None and workers < 1):
        raise InputError("must be 1 or more.", argument="batch" if batch < 1 else "workers")
    elsewhere = getattr(encoder, "embed_many", None)
    if elsewhere is not None:  # an encoder that spreads pictures itself: see `morelli.encoders.across`
        given = {"transform": transform, "cache": cache, "batch": batch, "progress": progress}
        return elsewhere(sources, **given, on_error=on_error, limits=limits, side_work=side_work)
    if getattr(encoder, "side_by_side", False):
        from morelli.encoders.split import SplitEncoder

        encoder = SplitEncoder(encoder)
    workers = _default_workers() if workers is None else workers
    read = _Reader(encoder, transform, cache, limits, side_work)
    run = _Run(encoder, cache, len(sources), progress, on_error)
    waiting: list[tuple[int, _Read]] = []
    # Closed by hand: a traceback would otherwise keep the generator, and with it the threads, alive.
    with closing(_ahead(read, sources, workers, window=batch + 2 * workers)) as results:
        for index, result in results:
            if isinstance(result, MorelliError):
                run.fail(index, result)
            elif result.vectors is not None:
                run.keep(index, result.info, result.vectors)
            else:
                waiting.append((index, result))
                if len(waiting) == batch:
                    run.encode(waiting)
                    waiting = []
    if waiting:
        run.encode(waiting)
    return run.result()


def _default_workers() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, usable)


def _ahead(
    read: Callable[[Source], _Read | MorelliError], sources: Sequence[Source], workers: int, window: int
) -> Generator[tuple[int, _Read | MorelliError], None, None]:
    """Results in the order of the sources, at most ``window`` of them under way or waiting."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="morelli-read")
    queue: deque[Future[_Read | MorelliError]] = deque()
    try:
        started = 0
        for index in range(len(sources)):
            while started < len(sources) and len(queue) < window:
                queue.append(pool.submit(read, sources[started]))
                started += 1
            yield index, queue.popleft().result()
    finally:
        # Also on Ctrl-C and on an error: what has not begun is dropped, what has is a matter of milliseconds.
        pool.shutdown(wait=True, cancel_futures=True)


class _Reader:
    """What a thread does with one source."""

    def __init__(
        self,
        encoder: Encoder,
        transform: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None,
        cache: Cache | None,
        limits: Limits,
        side_work: Callable[[Picture], Any] | None,
    ) -> None:
        self._encoder, self._transform, self._cache = encoder, transform, cache
        self._limits, self._side_work = limits, side_work
        self._kept_as = kept_as(encoder)

    def __call__(self, source: Source) -> _Read | MorelliError:
        try:
            return self._read(source)
        except MorelliError as error:
            return error

    def _read(self, source: Source) -> _Read:
        picture = source if isinstance(source, Picture) else load_image(source, limits=self._limits)
        pixels, embedded = picture.pixels, picture.content
        if self._transform is not None:
            pixels = check_pixels(self._transform(pixels), "transform")
            embedded = content_hash(pixels)
        height, width = picture.pixels.shape[:2]
        info = PictureInfo(
            content=picture.content,
            embedded_content=embedded,
            sha256=picture.sha256,
            width=width,
            height=height,
            format=picture.format,
            name=picture.name,
            side=self._side_work(picture) if self._side_work is not None else None,
        )
        if self._cache is not None:
            known = self._cache.get(self._kept_as, [embedded]).get(embedded)
            if known is not None:
                return _Read(info, vectors=known)
        return _Read(info, prepared=self._encoder.prepare(pixels))


class _Run:
    """Results as they come in, and the network's turns."""

    def __init__(
        self,
        encoder: Encoder,
        cache: Cache | None,
        total: int,
        progress: Callable[[int, int], None] | None,
        on_error: Literal["raise", "collect"],
    ) -> None:
        self._encoder, self._cache, self._total = encoder, cache, total
        self._progress, self._on_error = progress, on_error
        self._stamp, self._kept_as = encoder.stamp, kept_as(encoder)
        self._done = 0
        self._kept: dict[int, tuple[PictureInfo, Vectors]] = {}
        self._errors: dict[int, MorelliError] = {}

    def fail(self, index: int, error: MorelliError) -> None:
        if self._on_error == "raise":
            raise error
        self._errors[index] = error
        self._step()

    def keep(self, index: int, info: PictureInfo, vectors: Vectors) -> None:
        self._kept[index] = (info, vectors)
        self._step()

    def encode(self, batch: Sequence[tuple[int, _Read]]) -> None:
        """Run the network; where it refuses a batch, one picture at a time, so that only the culprit fails."""
        try:
            raw = self._encoder.encode([read.prepared for _, read in batch])
        except InputError as error:
            if len(batch) == 1:
                self.fail(batch[0][0], error)
            else:
                for one in batch:
                    self.encode([one])
            return
        arrays = checked(raw, self._stamp, len(batch))
        fresh: dict[str, Vectors] = {}
        for row, (index, read) in enumerate(batch):
            # A copy, so that one kept row does not hold its whole batch in memory.
            vectors = {name: values[row].copy() for name, values in arrays.items()}
            broken = [name for name, values in vectors.items() if not np.isfinite(values).all()]
            if broken:
                message = f"the encoder gives values that are not finite, in {', '.join(broken[:3])}."
                self.fail(index, ArrayError(message, argument=read.info.name))
                continue
            fresh[read.info.embedded_content] = vectors
            self.keep(index, read.info, vectors)
        if self._cache is not None:
            self._cache.put(self._kept_as, fresh)

    def result(self) -> Embedded:
        rows = sorted(self._kept)
        vectors = {
            name: np.stack([self._kept[i][1][name] for i in rows]) if rows else np.empty((0, d), np.float32)
            for name, d in self._stamp.dims.items()
        }
        pictures = [self._kept[i][0] for i in rows]
        return Embedded(vectors, pictures, np.array(rows, dtype=np.int64), sorted(self._errors.items()))

    def _step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def checked(arrays: Mapping[str, NDArray[Any]], stamp: EncoderStamp, n: int) -> dict[str, NDArray[np.float32]]:
    """An encoder's arrays in the stamp's order, float32, if names and shapes are what the stamp says.

    Raises
    ------
    ArrayError
        They are not: the encoder is broken, whatever the picture.
    """
    shapes = {name: np.shape(values) for name, values in arrays.items()}
    wanted = {name: (n, d) for name, d in stamp.dims.items()}
    if shapes != wanted:
        raise ArrayError(f"the encoder {stamp.encoder} must give {wanted}, and gives {shapes}.", argument="encoder")
    return {name: np.asarray(arrays[name], dtype=np.float32) for name in stamp.dims}
