"""Pictures become answers one by one, and one that cannot be answered does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from morelli.encoders.variants import source_name
from morelli.errors import MorelliError

if TYPE_CHECKING:
    from morelli.encoders.embed import Source
    from morelli.encoders.variants import Variants

#: Called with the stage ("learning", then "identifying"), how much is done and how much there is.
Progress = Callable[[str, int, int], None]

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """A source without a verdict, and what was wrong with it."""

    image: str
    error: MorelliError


def answers(
    sources: Sequence[Source],
    embedded: Iterable[Variants | MorelliError],
    judge: Callable[[str, Variants], T],
    progress: Progress | None,
) -> Iterator[T | Failure]:
    """What the judge says of each source, in order; a `Failure` where there are no vectors or it refuses.

    Parameters
    ----------
    sources : sequence of Path, str, bytes or Picture
    embedded : iterable of Variants or MorelliError
        One a source: its vectors, or what was wrong with it.
    judge : callable
        ``judge(name, variants)``.
    progress : callable or None
    """
    for number, (source, found) in enumerate(zip(sources, embedded, strict=True)):
        name = source_name(source)
        try:
            answer = Failure(name, found) if isinstance(found, MorelliError) else judge(name, found)
        except MorelliError as error:
            answer = Failure(name, error)
        if progress is not None:
            progress("identifying", number + 1, len(sources))
        yield answer
