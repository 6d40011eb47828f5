"""Degraded copies of some images, embedded: what attributors learn the effect of compression and resizing from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.encoders.embed import embed
from morelli.errors import InputError
from morelli.images.degrade import parse
from morelli.types import DegradedEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.encoders.embed import Source

    Transform = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

#: What pictures go through on their way, from each kind a common strength (decisions 0005 and 0011).
CONDITIONS = (
    "jpeg:90",
    "jpeg:70",
    "webp:80",
    "resize:0.75",
    "resize:0.75+jpeg:80",
    "blur:0.7",
    "noise:2",
    "crop:0.85~0.98",
    "cut:0.85~0.98",
)
#: Images of which copies are made; 200 measured little better than 60.
SAMPLE = 72


def choose_sample(
    models: Sequence[str], contents: Sequence[str], count: int = SAMPLE, held: Mapping[str, int] = MappingProxyType({})
) -> NDArray[np.intp]:
    """Rows of at most ``count`` images, dealt evenly to the models; the same images give the same choice in any order.

    Parameters
    ----------
    models, contents : sequence of str, length n
        Model and content hash of each image.
    count : int
    held : mapping of str to int
        Images a model has already; they count for its turn, and not for ``count``.

    Returns
    -------
    ndarray of int
        Ascending.

    Raises
    ------
    InputError
        ``count`` is negative.
    """
    if count < 0:
        raise InputError(f"must not be negative; got {count}.", argument="count")
    turn = dict(held)
    place = []
    for row in sorted(range(len(contents)), key=lambda row: contents[row]):
        turn[models[row]] = turn.get(models[row], 0) + 1
        place.append((turn[models[row]], contents[row], row))
    return np.array(sorted(row for _, _, row in sorted(place)[:count]), dtype=np.intp)


def embed_copies(
    encoder: Encoder,
    sources: Sequence[Source],
    rows: NDArray[np.intp],
    *,
    conditions: Sequence[str] = CONDITIONS,
    contents: Sequence[str] | None = None,
    transform: Transform | None = None,
    cache: EmbeddingCache | None = None,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> DegradedEmbeddings | None:
    """Embeddings of each image in each condition; None where there is no image or no condition.

    Parameters
    ----------
    encoder : Encoder
    sources : sequence of Path, str, bytes or Picture, length m
        Those that cannot be read, or be brought to a condition, have no copy there.
    rows : ndarray of int, shape (m,)
        What the copies' ``rows`` say.
    conditions : sequence of str
        Degradations in their text form.
    contents : sequence of str, optional
        Content hash of each source; a file that has another one by now has no copy.
    transform : callable, optional
        Applied before the degradation.
    cache, batch, progress
        As in `embed`.
    """
    total = len(sources) * len(conditions)
    names: list[str] = []
    of: list[NDArray[np.intp]] = []
    vectors: dict[str, list[Any]] = {name: [] for name in encoder.stamp.dims}
    for number, condition in enumerate(conditions):

        def report(done: int, _: int, before: int = number * len(sources)) -> None:
            if progress is not None:
                progress(before + done, total)

        made = embed(
            encoder,
            sources,
            transform=_chained(transform, parse(condition)),
            cache=cache,
            batch=batch,
            progress=report,
        )
        seen = zip(made.rows, made.pictures, strict=True)
        good = np.array([contents is None or contents[row] == info.content for row, info in seen], dtype=np.bool_)
        if good.any():
            names += [condition] * int(good.sum())
            of.append(rows[made.rows[good]])
            for name, values in made.vectors.items():
                vectors[name].append(values[good])
    if not names:
        return None
    joined = {name: np.concatenate(values) for name, values in vectors.items()}
    return DegradedEmbeddings(np.array(names), np.concatenate(of), joined)


def _chained(first: Transform | None, second: Transform) -> Transform:
    return second if first is None else lambda pixels: second(first(pixels))
