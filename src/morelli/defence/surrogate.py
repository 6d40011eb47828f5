"""Encoders through which gradients flow: what a defence without the attacker's encoder optimises against."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from morelli.errors import InputError, NotDifferentiableError
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    from torch import Tensor

    from morelli.encoders.base import Encoder
    from morelli.encoders.joined import JoinedEncoder


class Surrogate(Protocol):
    """An encoder as a differentiable function, preprocessing included."""

    @property
    def stamp(self) -> EncoderStamp:
        """Of the encoder whose embeddings these are."""
        ...

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Named vectors of one image, each of shape (``stamp.dims[name]``,), float32.

        Parameters
        ----------
        pixels : Tensor, shape (3, height, width), float32, levels 0–255
            On whole numbers the vectors are those of the encoder, to the tolerance of its arithmetic.
        """
        ...


class JoinedSurrogate:
    """Differentiable form of a `morelli.encoders.joined.JoinedEncoder`: those of its parts side by side.

    Raises
    ------
    NotDifferentiableError
        A part has none.
    """

    def __init__(self, encoder: JoinedEncoder) -> None:
        self.encoder = encoder
        self.parts = [load_surrogate(part) for part in encoder.parts]

    @property
    def stamp(self) -> EncoderStamp:
        return self.encoder.stamp

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Named vectors of all parts, called as the joined encoder calls them."""
        from morelli.encoders.joined import joined_name

        return {joined_name(part.stamp, name): vector for part in self.parts for name, vector in part(pixels).items()}


def load_surrogate(encoder: Encoder) -> Surrogate:
    """An encoder's differentiable form.

    Embedded encoders, fingerprints and vision towers of the transformers library have one, and so do several of them
    joined; another encoder may bring its own as a method ``surrogate()``.

    Parameters
    ----------
    encoder : Encoder

    Raises
    ------
    NotDifferentiableError
        It has none, or a part of a joined one has none.
    """
    from morelli.defence.embedded import EmbeddedSurrogate
    from morelli.encoders.embedded import EmbeddedEncoder
    from morelli.encoders.joined import JoinedEncoder
    from morelli.encoders.split import SplitEncoder

    plain = encoder.encoder if isinstance(encoder, SplitEncoder) else encoder
    if isinstance(plain, EmbeddedEncoder):
        return EmbeddedSurrogate(plain)
    if isinstance(plain, JoinedEncoder):
        return JoinedSurrogate(plain)
    fingerprints = sys.modules.get("morelli.fingerprint")
    if fingerprints is not None:
        from morelli.defence.fingerprints import FINGERPRINTS, FingerprintSurrogate

        if isinstance(plain, FINGERPRINTS):
            return FingerprintSurrogate(plain)
    towers = sys.modules.get("morelli.encoders.transformers_vision")  # where it is not loaded, this is none of its
    if towers is not None and isinstance(plain, towers.TransformersEncoder):
        from morelli.defence.tower import TowerSurrogate

        return TowerSurrogate(cast("Any", plain))
    own = getattr(plain, "surrogate", None)
    if callable(own):
        return cast("Surrogate", own())
    raise NotDifferentiableError(
        f"no gradient flows through the encoder {encoder.stamp.encoder}, so that nothing can be optimised against it.",
        argument="surrogate",
        fix="Take efficientnet-lite0 or efficientnet-lite2, or the defence canonical, which needs no gradients.",
    )


def load_surrogates(encoders: Sequence[Encoder]) -> tuple[list[Surrogate], list[str]]:
    """The differentiable forms of those encoders that have one, and the names of the others.

    Raises
    ------
    NotDifferentiableError
        None has one.
    InputError
        There is no encoder.
    """
    if not encoders:
        raise InputError("names no encoder.", argument="surrogate")
    found: list[Surrogate] = []
    without: list[NotDifferentiableError] = []
    names: list[str] = []
    for encoder in encoders:
        try:
            found.append(load_surrogate(encoder))
        except NotDifferentiableError as error:
            without.append(error)
            names.append(encoder.stamp.encoder)
    if not found:
        raise without[0]
    return found, names
