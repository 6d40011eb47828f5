"""A gallery as the facade holds it: its references with their embeddings under one encoder, and that encoder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from morelli.attribution.lineage import root_bases
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.errors import ArrayError, InputError
from morelli.gallery.view import GalleryView
from morelli.types import EncoderStamp, LabelledEmbeddings, Reference

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder

T = TypeVar("T")


@runtime_checkable
class Sharing(Protocol):
    """A gallery's version that several facades are made of, and that lets them share what they hold of it."""

    def share(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made under a key and is still held by somebody; made anew otherwise."""
        ...


@dataclass(frozen=True, eq=False)
class Held:
    """A gallery's references, with their embeddings under one encoder.

    Attributes
    ----------
    view : GalleryView
    stamp : EncoderStamp
        Of the embeddings.
    references : tuple of Reference
    data : LabelledEmbeddings
        Of the same rows.
    """

    view: GalleryView
    stamp: EncoderStamp
    references: tuple[Reference, ...]
    data: LabelledEmbeddings

    @cached_property
    def row(self) -> dict[str, int]:
        """Row of each picture, by the hash of its pixels."""
        return {reference.content: row for row, reference in enumerate(self.references)}

    @cached_property
    def families(self) -> dict[str, str]:
        """Family of each model."""
        return {reference.model: reference.family for reference in self.references}

    @cached_property
    def sizes(self) -> set[tuple[int, int]]:
        """Widths and heights that references have, in pixels."""
        return {(reference.width, reference.height) for reference in self.references}

    def method(self, name: str, k: int, prompt: str | None) -> dict[str, Any]:
        """An answer's field ``method``: how the attributor of that name came to it."""
        return {
            "name": name,
            "encoder": self.stamp.encoder,
            "encoder_revision": self.stamp.revision,
            "gallery": self.view.path,
            "gallery_version": self.view.version,
            "k": k,
            "prompt_used": prompt,
        }


def hold(gallery: GalleryView | str | Path, encoder: Encoder | str | None, level: str = "model") -> Held:
    """The references of a gallery that an encoder has embedded.

    Parameters
    ----------
    gallery : GalleryView, str or Path
        One that is `Sharing` gives the same object to all who ask.
    encoder : Encoder or str, optional
        By default the gallery's; of several one joined of ``efficientnet-lite0``, or that, or else the first.
    level : {"model", "base"}
        With "base", the base that a reference's model derives from stands in the model's place.

    Raises
    ------
    MissingGalleryError, EmptyGalleryError, GalleryMismatchError
        There is no gallery, nothing is in it, or nothing of that encoder.
    UnknownNameError
        No encoder is called that.
    InputError
        Bases are asked for, and the gallery does not say what its models derive from, or says two things of one.
    """
    view = gallery if isinstance(gallery, GalleryView) else GalleryView.open(gallery)
    known = [stamp.encoder for stamp in view.stamps()]
    if encoder is None:
        chosen = view.usual_encoder(DEFAULT_ENCODER)
    elif isinstance(encoder, str):
        # What names an encoder need not be the id that its embeddings are kept under.
        chosen = encoder if encoder in known else load_encoder(encoder).stamp.encoder
    else:
        chosen = encoder.stamp.encoder
    if isinstance(view, Sharing):
        return view.share((chosen, level), lambda: _read(view, chosen, level))
    return _read(view, chosen, level)


def _read(view: GalleryView, encoder: str, level: str) -> Held:
    references, data = view.embeddings(encoder)
    if level == "base":
        references, data = _at_base(view, references, data)
    return Held(view, view.stamp(encoder), references, data)


def _at_base(
    view: GalleryView, references: tuple[Reference, ...], data: LabelledEmbeddings
) -> tuple[tuple[Reference, ...], LabelledEmbeddings]:
    """References and embeddings with bases in the place of models; a base's family is its own or its lineage's.

    A base that itself derives from one gives way to that one.
    """
    if not any(reference.base for reference in references):
        raise InputError(
            f"{view.path} does not say what its models derive from.",
            argument="level",
            fix="Add its datasets again with a column base in their metadata.",
        )
    try:
        root = root_bases([r.model for r in references], [r.base for r in references])
    except ArrayError as error:
        raise InputError(
            f"{view.path}: {error.message}",
            argument="level",
            fix="Take the model's references out and add them again with one base: morelli gallery remove, then add.",
        ) from error
    families = {root[r.model]: r.family for r in sorted(references, key=lambda r: r.model == root[r.model])}
    lifted = tuple(replace(r, model=root[r.model], family=families[root[r.model]]) for r in references)
    models, kin = (np.array([getattr(r, name) for r in lifted]) for name in ("model", "family"))
    return lifted, replace(data, models=models, families=kin)


def load_network(held: Held, encoder: Encoder | str | None) -> Encoder:
    """The encoder, loaded, its few images spread over the cores.

    Raises
    ------
    GalleryMismatchError
        The gallery's embeddings are not its own.
    """
    given = held.stamp.encoder if encoder is None else encoder
    loaded = load_encoder(given) if isinstance(given, str) else given
    held.view.require(loaded.stamp)
    return _spread(loaded)


def _spread(encoder: Encoder) -> Encoder:
    """An embedded encoder's few images spread over the cores; any other encoder as it is."""
    if "torch" not in sys.modules:  # an encoder of another kind: nothing to import torch for
        return encoder
    from morelli.encoders.embedded import EmbeddedEncoder
    from morelli.encoders.split import SplitEncoder

    return SplitEncoder(encoder) if isinstance(encoder, EmbeddedEncoder) else encoder
