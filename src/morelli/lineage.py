"""The facade for lineages: does the model behind these images derive from one that the gallery has?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._version import __version__
from morelli.attribution.lineage import Lineage
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.embed import Embedded, embed
from morelli.encoders.variants import source_name
from morelli.errors import InputError, NotEnoughReferencesError, UnknownNameError
from morelli.gallery.sizes import size_notes
from morelli.gallery.view import GalleryView
from morelli.types import LINEAGE_SCHEMA, LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder
    from morelli.encoders.embed import Source
    from morelli.types import Reference

__all__ = ["derived_from"]

#: Fewer images than this say little of a model's mean.
FEW = 5
# The name of the model in question, which is no model's of a gallery: names have no such character.
_ASKED = "\x1f"


def derived_from(
    images: Sequence[Source],
    gallery: GalleryView | str | Path,
    *,
    base: str | None = None,
    encoder: Encoder | str | None = None,
    cache: str | Path | None = None,
    keep: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Test, for each base of a gallery, whether the model that made all of these images derives from it.

    The images' mean is compared with those of the gallery's models; see `morelli.attribution.lineage.Lineage` for the
    null hypothesis and what it takes for granted.

    Parameters
    ----------
    images : sequence of Path, str, bytes or Picture
        All by one model, which the gallery need not know; best of prompts that the gallery has. Two or more are better
        than one.
    gallery : GalleryView, str or Path
        Its references say what their models derive from (``base``); a model that derives from none is its own base.
    base : str, optional
        Test this one alone.
    encoder : Encoder or str, optional
        By default the gallery's.
    cache : str or Path, optional
        Folder for embeddings.
    keep : bool
        Keep the embeddings of the images there.
    progress : callable, optional
        ``progress(done, total)`` images.

    Returns
    -------
    dict
        Schema ``morelli.lineage/1``: ``images``, ``errors`` (images that could not be read), ``tests`` (for each base
        the fields of `DerivedTest`, less ``model``, and ``smallest_p_value``; the likeliest base first), ``method``,
        ``notes``.

    Raises
    ------
    InputError
        No image could be read, or none was given.
    UnknownNameError
        The gallery has no such base.
    NotEnoughReferencesError
        No base can be tested: too few models.
    MissingGalleryError, EmptyGalleryError, GalleryMismatchError
        The gallery does not allow the question.
    """
    if not images:
        raise InputError("no image was given.", argument="images")
    view = gallery if isinstance(gallery, GalleryView) else GalleryView.open(gallery)
    given = view.usual_encoder(DEFAULT_ENCODER) if encoder is None else encoder
    network = load_encoder(given) if isinstance(given, str) else given
    view.require(network.stamp)
    references, data = view.embeddings(network.stamp.encoder, copies=False)
    kept = EmbeddingCache(default_folder() if cache is None else Path(cache)) if keep else None
    made = embed(network, list(images), cache=kept, progress=progress)
    if not len(made):
        raise made.errors[0][1]
    rows, notes = _distinct(made)
    names = [source_name(images[row]) for row in made.rows[rows].tolist()]
    known = {picture.content for picture in made.pictures}
    lineage, dropped = _with_asked(
        references, data, {name: values[rows] for name, values in made.vectors.items()}, known
    )
    if dropped:
        notes.append(f"{dropped} of the images are references of the gallery, and were left out of it.")
    if len(names) < FEW:
        notes.append(f"{len(names)} {'image says' if len(names) == 1 else 'images say'} little of a model: give more.")
    shown = (made.pictures[row] for row in rows.tolist())
    sizes = {name: (each.width, each.height) for name, each in zip(names, shown, strict=True)}
    notes += size_notes(references, sizes)
    if not any(reference.base for reference in references):
        notes.append("The gallery does not say what its models derive from: each stands for itself.")
    tests = _tests(lineage, base)
    if len(tests) > 1:
        notes.append(f"{len(tests)} bases were tested; p-values are not corrected for that.")
    return {
        "images": names,
        "errors": [
            {"image": source_name(images[row]), "message": error.message, "fix": error.fix}
            for row, error in made.errors
        ],
        "schema": LINEAGE_SCHEMA,
        "version": __version__,
        "tests": tests,
        "method": {
            "name": "lineage",
            "encoder": network.stamp.encoder,
            "encoder_revision": network.stamp.revision,
            "gallery": view.path,
            "gallery_version": view.version,
        },
        "notes": notes,
    }


def _distinct(made: Embedded) -> tuple[NDArray[np.intp], list[str]]:
    """Rows of the pictures that are there, each once."""
    contents = np.array([picture.content for picture in made.pictures])
    rows = np.sort(np.unique(contents, return_index=True)[1])
    again = len(contents) - len(rows)
    return rows, [f"{again} images show the very pixels of others, and count once."] if again else []


def _with_asked(
    references: Sequence[Reference],
    held: LabelledEmbeddings,
    vectors: dict[str, NDArray[np.float32]],
    known: set[str],
) -> tuple[Lineage, int]:
    """The gallery's models and the one in question; and how many references are among its images."""
    rows = np.array([row for row, each in enumerate(references) if each.content not in known], dtype=np.intp)
    count = len(next(iter(vectors.values())))
    kept = held.take(rows)

    def joined(labels: NDArray[np.str_], label: str) -> NDArray[np.str_]:
        return np.concatenate([labels, np.full(count, label)])

    data = LabelledEmbeddings(
        {name: np.concatenate([values, vectors[name]]) for name, values in kept.vectors.items()},
        joined(kept.models, _ASKED), joined(kept.prompts, ""), joined(kept.families, _ASKED),
    )  # fmt: skip
    bases = np.array([references[row].base for row in rows.tolist()], dtype=np.str_)
    return Lineage(data, joined(bases, "")), len(references) - len(rows)


def _tests(lineage: Lineage, base: str | None) -> list[dict[str, Any]]:
    bases = sorted({each for each in lineage.base.values() if each != _ASKED})
    if base is not None and base not in bases:
        raise UnknownNameError("base", base, bases)
    wanted = bases if base is None else [base]
    found = [lineage.test(_ASKED, each) for each in wanted if base is not None or lineage.can_test(_ASKED, each)]
    if not found:
        raise NotEnoughReferencesError(
            "no base can be tested: that takes four models of other lineages.",
            argument="gallery",
            fix="Add references of other models.",
        )
    found.sort(key=lambda test: (test.p_value, -test.likeness))
    return [
        {**{name: value for name, value in asdict(test).items() if name != "model"}, "smallest_p_value": test.smallest}
        for test in found
    ]
