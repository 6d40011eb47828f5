"""How much of an encoder a defence knows: what begins as a surrogate does is no honest test.

A name does not tell. ``fingerprint`` holds, as the vector ``fingerprint/input``, the very spectrum that
``residual-spectrum`` is, and one of its networks reads nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from morelli.encoders.specs import split_joined

if TYPE_CHECKING:
    from morelli.defence.surrogate import Surrogate
    from morelli.encoders.base import Encoder

Overlap = Literal["in", "shares its front end", "outside"]
#: One is the other, or they have a part in common.
IN: Overlap = "in"
#: They look at the same numbers: spectra of one residual, or layers of one network.
SHARED: Overlap = "shares its front end"
OUTSIDE: Overlap = "outside"


def overlap(one: Encoder | Surrogate, other: Encoder | Surrogate) -> Overlap:
    """What two encoders have in common.

    Parameters
    ----------
    one, other : Encoder or Surrogate
        Of a surrogate its encoder counts. Joined encoders, and fingerprints of several networks, count by their parts.

    Returns
    -------
    {"in", "shares its front end", "outside"}
        "in": they have a part in common. "shares its front end": a fingerprint in each takes the spectrum of the same
        residual, whatever tiles, scaling and network follow; or both read one network of the transformers library, at
        whatever layers. "outside": neither.
    """
    mine, theirs = list(_parts(one)), list(_parts(other))
    if not _names(mine).isdisjoint(_names(theirs)):
        return IN
    return OUTSIDE if _fronts(mine).isdisjoint(_fronts(theirs)) else SHARED


def overlap_with(encoder: Encoder | Surrogate, ensemble: Sequence[Encoder | Surrogate]) -> Overlap:
    """The most that an encoder has in common with one of an ensemble; "outside" of an empty one."""
    found = {overlap(encoder, each) for each in ensemble}
    return IN if IN in found else SHARED if SHARED in found else OUTSIDE


def share_a_name(one: str, other: str) -> bool:
    """Whether two encoders' ids, ``A`` or ``A+B``, name one encoder; `overlap` may find one where they do not."""
    return not set(split_joined(one)).isdisjoint(split_joined(other))


def _plain(encoder: Encoder | Surrogate) -> Encoder | Surrogate:
    """What a surrogate is of, or what another encoder only wraps: it has the same id."""
    within: Any = getattr(encoder, "encoder", None)
    same = getattr(getattr(within, "stamp", None), "encoder", None) == encoder.stamp.encoder
    return _plain(within) if same else encoder


def _parts(encoder: Encoder | Surrogate) -> Iterator[Encoder | Surrogate]:
    """The encoder and, of one that is made of others, those."""
    plain = _plain(encoder)
    yield plain
    # Of what is not loaded nothing can be.
    if "morelli.encoders.joined" in sys.modules:
        from morelli.encoders.joined import JoinedEncoder

        if isinstance(plain, JoinedEncoder):
            for part in plain.parts:
                yield from _parts(part)
    if "morelli.fingerprint.several" in sys.modules:
        from morelli.fingerprint.several import SeveralFingerprints

        if isinstance(plain, SeveralFingerprints):
            yield from plain.parts.values()


def _names(parts: Sequence[Encoder | Surrogate]) -> set[str]:
    return {name for part in parts for name in split_joined(part.stamp.encoder)}


def _fronts(parts: Sequence[Encoder | Surrogate]) -> set[tuple[str, ...]]:
    """What encoders do to pixels before anything that is their own, where others may do the same."""
    found: set[tuple[str, ...]] = set()
    if "morelli.fingerprint.encoders" in sys.modules:
        from morelli.fingerprint.encoders import Fingerprint, ResidualSpectrum

        for part in parts:
            if isinstance(part, ResidualSpectrum | Fingerprint):
                whole = isinstance(part, Fingerprint) and not part.extractor.chain.transform
                found.add(("picture" if whole else "spectrum", part.residual.name, part.residual.revision))
    if "morelli.encoders.transformers_vision" in sys.modules:
        from morelli.encoders.transformers_vision import TransformersEncoder

        found |= {("network", part.stamp.revision) for part in parts if isinstance(part, TransformersEncoder)}
    return found
