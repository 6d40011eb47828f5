"""Several encoders as one: the named vectors of all of them side by side in one embedding.

An attributor that weighs named vectors by what the background shows (`fused`) then weighs the encoders too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from morelli.encoders.base import Encoder
from morelli.encoders.common import in_common
from morelli.encoders.embed import Embedded, Source, embed
from morelli.encoders.weights import short_hash
from morelli.errors import InputError
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from morelli.encoders.cache import Cache
    from morelli.images.load import Limits, Picture


class JoinedEncoder:
    """Encoders side by side. Keeps the contract of `morelli.encoders.base.Encoder`.

    A part's vector ``view/layer`` is called ``part:view/layer`` here, where ``part`` is the encoder's id with "_" for
    every slash: attributors group vectors by what stands before the first slash, and views of two encoders stay apart.

    Parameters
    ----------
    parts : sequence of Encoder
        Two at least, of different ids; the order is that of the vectors.

    Raises
    ------
    InputError
        Fewer than two, or one of them twice.
    """

    def __init__(self, parts: Sequence[Encoder]) -> None:
        stamps = [part.stamp for part in parts]
        names = [stamp.encoder for stamp in stamps]
        if len(names) < 2 or len({_prefix(name) for name in names}) < len(names):
            raise InputError(
                f"joins two or more different encoders, and here is {'+'.join(names) or 'none'}.",
                argument="encoder",
                fix="Name each once: A+B.",
            )
        self.parts = tuple(parts)
        self._stamp = EncoderStamp(
            "+".join(names),
            short_hash([stamp.revision for stamp in stamps]),
            short_hash([stamp.preprocessing for stamp in stamps]),
            {joined_name(stamp, name): d for stamp in stamps for name, d in stamp.dims.items()},
        )

    @property
    def stamp(self) -> EncoderStamp:
        """Of all parts: ids with "+" between them, and hashes of their revisions and preprocessings."""
        return self._stamp

    @property
    def side_by_side(self) -> bool:
        """Whether ``encode`` may run in several threads at once: where every part's may."""
        return all(getattr(part, "side_by_side", False) for part in self.parts)

    def prepare(self, pixels: NDArray[np.uint8]) -> tuple[Any, ...]:
        """What each part makes of the pixels."""
        return tuple(part.prepare(pixels) for part in self.parts)

    def encode(self, prepared: Sequence[tuple[Any, ...]]) -> dict[str, NDArray[np.float32]]:
        """Named vectors of all parts: name → array of shape (n, d), float32."""
        made = [part.encode([one[number] for one in prepared]) for number, part in enumerate(self.parts)]
        return _merged([part.stamp for part in self.parts], made)

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
        """As `morelli.encoders.embed.embed`, whose parameters these are, one part after another.

        Each part asks and fills the cache under its own stamp: what was embedded for it alone is not embedded again.
        A picture that one part refuses has no embedding; the error is that of the first part that refuses it. Nor has
        a file that changes from one part's reading to the next.
        ``side_work`` is done once.
        """
        counted = _Counted(progress, len(sources), len(self.parts))
        made = [
            embed(
                part,
                sources,
                transform=transform,
                cache=cache,
                batch=batch,
                progress=counted.of_part(number),
                on_error=on_error,
                limits=limits,
                side_work=None if number else side_work,
            )
            for number, part in enumerate(self.parts)
        ]
        kept = in_common(made)
        return replace(kept[0], vectors=_merged([part.stamp for part in self.parts], [one.vectors for one in kept]))


def _prefix(encoder: str) -> str:
    return encoder.replace("/", "_")


def joined_name(stamp: EncoderStamp, vector: str) -> str:
    """What a part's vector is called in the whole."""
    return f"{_prefix(stamp.encoder)}:{vector}"


def _merged(
    stamps: Sequence[EncoderStamp], made: Sequence[Mapping[str, NDArray[Any]]]
) -> dict[str, NDArray[np.float32]]:
    return {
        joined_name(stamp, name): values
        for stamp, vectors in zip(stamps, made, strict=True)
        for name, values in vectors.items()
    }


class _Counted:
    """Progress of the parts as that of the pictures: a picture is done when the last part is."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int, parts: int) -> None:
        self._progress, self._total, self._parts = progress, total, parts

    def of_part(self, number: int) -> Callable[[int, int], None] | None:
        """What one part reports to."""
        if self._progress is None:
            return None
        told = self._progress

        def report(done: int, _: int) -> None:
            told((number * self._total + done) // self._parts, self._total)

        return report
