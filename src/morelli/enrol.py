"""A dataset becomes references: read, compare with what is there, embed what is new, add it in one commit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from morelli.encoders.across import placed_like
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.copies import CONDITIONS, SAMPLE, choose_sample, embed_copies
from morelli.encoders.embed import Embedded, PictureInfo, embed
from morelli.errors import DatasetError, InputError, MorelliError
from morelli.gallery.merge import refuse_conflicts
from morelli.gallery.records import AddReport, Conflict
from morelli.gallery.store import Gallery
from morelli.gallery.thumbnail import make_thumbnail
from morelli.images.dataset import Dataset
from morelli.images.load import Picture
from morelli.names import refuse_reserved
from morelli.types import EncoderStamp, Item, Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Called with the stage ("reading", "embedding", "degrading"), how many pictures are done and how many there are.
Progress = Callable[[str, int, int], None]
SHOWN = 5
#: Copied references that every model has, however many the gallery has in all.
LEAST_COPIES = 4


@dataclass(frozen=True)
class EnrolReport:
    """What became of the pictures of a dataset; each is counted once.

    Attributes
    ----------
    added : int
        New to the gallery.
    updated : int
        Known, and without embeddings under this encoder, or without degraded copies, until now.
    unchanged : int
        Known, with embeddings under this encoder: not embedded again.
    duplicates : int
        The same pixels as an earlier picture of the dataset, under the same label.
    skipped : int
        Left out: their pixels are known under two labels, or one model gave them for several prompts.
    errors : tuple of (str, MorelliError)
        Pictures that could not be read or encoded, by name, in the dataset's order.
    conflicts : tuple of Conflict
        Each pair of labels that contradict each other; one model's several prompts are in the notes instead.
    version : int
        Of the gallery afterwards.
    notes : tuple of str
        What the user must know, the dataset's own notes first.
    """

    added: int
    updated: int
    unchanged: int
    duplicates: int
    skipped: int
    errors: tuple[tuple[str, MorelliError], ...]
    conflicts: tuple[Conflict, ...]
    version: int
    notes: tuple[str, ...]


def enrol(
    gallery: Gallery,
    dataset: Dataset,
    encoder: Encoder,
    *,
    cache: EmbeddingCache | None = None,
    progress: Progress | None = None,
    batch: int = 16,
    skip_conflicts: bool = False,
    copies: int = SAMPLE,
) -> EnrolReport:
    """Add the pictures of a dataset to a gallery, with their embeddings under one encoder, in one commit.

    Every file is decoded first, so that labels that contradict each other are found before the network runs.
    The same pixels from one model for several prompts (a safety filter's black image) are left out, with a note.
    Pictures that the gallery has under this encoder are not embedded again. With a cache, an interrupted call is
    taken up where it stopped: the gallery is as it was, and what was embedded is in the cache.

    Parameters
    ----------
    gallery : Gallery
        Written to once, at the end.
    dataset : Dataset
        As `read_dataset` gives it.
    encoder : Encoder
        One that the gallery knows, or another one, which the gallery then has too. On an engine
        (`morelli.encoders.across.place`) the pictures are spread over its workers.
    cache : EmbeddingCache, optional
        Asked before the network, and filled batch by batch.
    progress : callable, optional
        ``progress(stage, done, total)``.
    batch : int
        Pictures a run of the network.
    skip_conflicts : bool
        Leave out pictures with two labels (every one of them, as nobody can tell which label is right) and go on.
    copies : int
        References of which degraded copies are embedded too (`CONDITIONS`), over all datasets of the gallery: from
        them attributors learn what compression and resizing do. 0: none.

    Raises
    ------
    GalleryMismatchError
        The gallery's embeddings come from another revision or preprocessing of this encoder; nothing was read.
    DatasetError
        No picture of the dataset could be used.
    ReservedNameError
        A model or a base is called "none" or "unsure"; nothing was read.
    InputError
        The same pixels under two models or families, or under another prompt than the gallery knows them by.
    StorageError
        The disk refused; the gallery is as it was.
    """
    for item in dataset.items:
        refuse_reserved(item.model, item.name)
        refuse_reserved(item.base, item.name, "base")
    stamp = encoder.stamp
    if any(held.encoder == stamp.encoder for held in gallery.stamps()):
        gallery.require(stamp)
    seen = _run(placed_like(encoder, _Decoder()), dataset.items, "reading", progress, batch=batch)
    errors = _errors(seen, dataset.items)
    _refuse_if_all_failed(dataset, errors)
    pictures = [(dataset.items[row], info) for row, info in zip(seen.rows, seen.pictures, strict=True)]
    blank = _blanks(pictures)
    conflicts = gallery.conflicts([_reference(item, info) for item, info in pictures if info.content not in blank])
    if not skip_conflicts:
        _refuse_conflicts(conflicts)
    left_out = blank.union(conflict.given.content for conflict in conflicts)

    first: dict[str, Item] = {}
    for item, info in pictures:
        if info.content not in left_out:
            first.setdefault(info.content, item)
    missing = gallery.missing(first, stamp.encoder) | _baseless(gallery, first)
    new = [item for content, item in first.items() if content in missing]
    sample = _sample(gallery, stamp.encoder, first, copies)
    new += [first[content] for content in sorted(sample - missing)]
    chosen = {id(first[content]) for content in sample}
    changed, failed = _add(gallery, encoder, new, chosen, cache, progress, batch)
    skipped = sum(info.content in left_out for _, info in pictures)
    position = {item.name: i for i, item in enumerate(dataset.items)}
    errors = sorted([*errors, *failed], key=lambda pair: position[pair[0]])
    _refuse_if_all_failed(dataset, errors)
    return EnrolReport(
        added=changed.added,
        updated=changed.updated,
        unchanged=len(first) - len(new) + changed.unchanged,
        duplicates=len(pictures) - skipped - len(first) + changed.duplicates,
        skipped=skipped,
        errors=tuple(errors),
        conflicts=conflicts,
        version=changed.version,
        notes=(*dataset.notes, *_blank_note(pictures, blank), *_mixed(gallery, stamp)),
    )


class _Decoder:
    """An encoder without a network: running it decodes and hashes pictures and keeps none of their pixels."""

    stamp = EncoderStamp("none", "", "", {})

    def prepare(self, pixels: NDArray[np.uint8]) -> None:
        """Nothing is kept."""

    def encode(self, prepared: Sequence[None]) -> Mapping[str, NDArray[np.float32]]:
        """No vectors."""
        return {}


def _run(
    encoder: Encoder,
    items: Sequence[Item],
    stage: str,
    progress: Progress | None,
    *,
    batch: int,
    cache: EmbeddingCache | None = None,
    thumbnails: bool = False,
) -> Embedded:
    return embed(
        encoder,
        [item.path for item in items],
        cache=cache,
        batch=batch,
        progress=None if progress is None else lambda done, total: progress(stage, done, total),
        side_work=_thumbnail if thumbnails else None,
    )


def _thumbnail(picture: Picture) -> bytes:
    return make_thumbnail(picture.pixels)


def _add(
    gallery: Gallery,
    encoder: Encoder,
    items: Sequence[Item],
    sample: set[int],
    cache: EmbeddingCache | None,
    progress: Progress | None,
    batch: int,
) -> tuple[AddReport, list[tuple[str, MorelliError]]]:
    """Embed pictures, and degraded copies of a sample (by id), and commit them; what changed, and which failed."""
    made = _run(encoder, items, "embedding", progress, batch=batch, cache=cache, thumbnails=True)
    if not len(made):
        return AddReport(0, 0, 0, 0, gallery.version), _errors(made, items)
    # From the second reading: should a file have changed in between, its vectors and its hash still belong together.
    references = [_reference(items[row], info) for row, info in zip(made.rows, made.pictures, strict=True)]
    rows = [row for row, number in enumerate(made.rows) if id(items[number]) in sample]
    copies = embed_copies(
        encoder,
        [items[made.rows[row]].path for row in rows],
        np.array(rows, dtype=np.intp),
        # What the gallery has already decides: copies in other conditions could not be compared with them.
        conditions=gallery.conditions(encoder.stamp.encoder) or CONDITIONS,
        contents=[references[row].content for row in rows],
        cache=cache,
        batch=batch,
        progress=None if progress is None else lambda done, total: progress("degrading", done, total),
    )
    changed = gallery.add(references, [info.side for info in made.pictures], made.vectors, encoder.stamp, copies)
    return changed, _errors(made, items)


def _sample(gallery: Gallery, encoder: str, items: Mapping[str, Item], copies: int) -> set[str]:
    """Content hashes of the pictures that copies are made of: as many as the gallery lacks, dealt evenly to models."""
    held = gallery.with_copies(encoder)
    have = Counter(held.values())
    new = [content for content in items if content not in held]
    models = [items[content].model for content in new]
    chosen = {new[row] for row in choose_sample(models, new, max(copies - len(held), 0), have)}
    # Galleries are often made model by model: those that come when all places are taken get a few of their own.
    for content in sorted(set(new) - chosen) if copies else ():
        model = items[content].model
        if have[model] + sum(items[other].model == model for other in chosen) < LEAST_COPIES:
            chosen.add(content)
    return chosen


def _baseless(gallery: Gallery, items: Mapping[str, Item]) -> set[str]:
    """Pictures that the gallery knows without the base that is now given for them."""
    return {r.content for r in gallery.references() if not r.base and r.content in items and items[r.content].base}


def _reference(item: Item, info: PictureInfo) -> Reference:
    known = Reference(
        content=info.content,
        sha256=info.sha256,
        name=item.name,
        model=item.model,
        family=item.family,
        prompt_id=item.prompt_id,
        prompt=item.prompt,
        seed=item.seed,
        source=item.source,
        licence=item.licence,
        width=info.width,
        height=info.height,
        base=item.base,
    )
    text = ("name", "model", "family", "prompt_id", "prompt", "source", "licence", "base")
    # A file name need not be valid Unicode, and what is stored must be.
    return replace(known, **{f: getattr(known, f).encode("utf-8", "backslashreplace").decode() for f in text})


def _blanks(pictures: Sequence[tuple[Item, PictureInfo]]) -> set[str]:
    """Pictures that one model gave for several prompts, as the black ones of a safety filter: evidence of no prompt."""
    labels: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for item, info in pictures:
        labels[info.content].add((item.model, item.family, item.prompt_id))
    return {c for c, known in labels.items() if len(known) > 1 and len({label[:2] for label in known}) == 1}


def _blank_note(pictures: Sequence[tuple[Item, PictureInfo]], blank: set[str]) -> list[str]:
    names = [item.name for item, info in pictures if info.content in blank]
    if not names:
        return []
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return [f"{len(names)} pictures were left out, as one model gave the same pixels for several prompts: {shown}."]


def _errors(run: Embedded, items: Sequence[Item]) -> list[tuple[str, MorelliError]]:
    return [(items[index].name, error) for index, error in run.errors]


def _refuse_if_all_failed(dataset: Dataset, errors: Sequence[tuple[str, MorelliError]]) -> None:
    if len(errors) < len(dataset.items):
        return
    listed = "; ".join(f"{name}: {error.message.rstrip('.')}" for name, error in errors[:SHOWN])
    more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    raise DatasetError(
        f"none of its {len(dataset.items)} pictures can be used: {listed}{more}." if errors else "it has no pictures.",
        argument=str(dataset.root),
        fix="Check the files.",
    )


def _refuse_conflicts(conflicts: tuple[Conflict, ...]) -> None:
    try:
        refuse_conflicts(conflicts)
    except InputError as error:
        raise InputError(
            error.message,
            argument="dataset",
            fix="Leave them out with --skip-conflicts (skip_conflicts=True), or correct the labels.",
        ) from None


def _mixed(gallery: Gallery, stamp: EncoderStamp) -> list[str]:
    """A note where some references cannot be compared under this encoder."""
    without = len(gallery.missing((r.content for r in gallery.references()), stamp.encoder))
    if not without:
        return []
    return [f"{without} of {len(gallery)} references in the gallery have no embeddings of {stamp.encoder}."]
