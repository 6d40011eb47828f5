"""Claims beside verdicts: what the pixels were found to say is finished before a claim is read, and stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from morelli.errors import MorelliError
from morelli.images.claims.read import read_claims
from morelli.images.load import Picture
from morelli.types import Verdict

T = TypeVar("T")


def with_claims(
    sources: Sequence[str | Path | bytes | Picture], answers: Iterable[T], *, roots: str | None = None
) -> Iterator[T]:
    """Each verdict with the claims of its source; other answers (failures) as they are.

    Parameters
    ----------
    sources : sequence of Path, str, bytes or Picture
    answers : iterable
        One a source, in order.
    roots : str, optional
        As in `read_claims`.
    """
    for source, answer in zip(sources, answers, strict=True):
        yield _attach(source, answer, roots) if isinstance(answer, Verdict) else answer


def _attach(source: str | Path | bytes | Picture, verdict: Verdict, roots: str | None) -> Verdict:
    try:
        found = read_claims(source, roots=roots)
    except MorelliError as error:  # the file went away since its pixels were read
        return replace(verdict, notes=(*verdict.notes, f"Claims not read: {error.message}"))
    if found.sha256 != verdict.sha256:
        return replace(verdict, notes=(*verdict.notes, "Claims not read: the file changed while it was judged."))
    return replace(verdict, claims=tuple(found.claims), claims_read=True, notes=(*verdict.notes, *found.notes))
