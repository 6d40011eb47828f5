"""One version of a gallery, read: references, embeddings, counts."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.errors import EmptyGalleryError, GalleryMismatchError, InputError
from morelli.gallery import audit, exchange, merge, rows, table
from morelli.gallery import schema as layout
from morelli.gallery.copies import conditions_of, from_column
from morelli.gallery.records import CheckReport, Conflict, Summary
from morelli.types import DegradedEmbeddings, EncoderStamp, LabelledEmbeddings, Reference

if TYPE_CHECKING:
    import lance
    import pyarrow as pa
    from numpy.typing import NDArray

_DIGITS = re.compile(r"[0-9a-f]+")


class GalleryView:
    """What can be asked of a gallery without changing it; `morelli.gallery.store.Gallery` adds the writing.

    An object reads the version that it opened, or that its own last write made: what another process adds meanwhile
    does not change its answers.

    Parameters
    ----------
    path : str
        Folder or object-store URI.
    dataset : LanceDataset
        The version to read.
    """

    def __init__(self, path: str, dataset: lance.LanceDataset) -> None:
        self.path = path
        self._dataset = dataset

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The newest version of a gallery.

        Raises
        ------
        MissingGalleryError
            There is none.
        GalleryError
            It is of a newer format, or something else.
        """
        where = table.location(path)
        return cls(where, table.open_table(where))

    @property
    def version(self) -> int:
        """Number of the version that this object reads; the empty gallery is 1, and each commit adds 1."""
        return int(self._dataset.version)

    def __len__(self) -> int:
        return int(self._dataset.count_rows())

    def __repr__(self) -> str:
        return f"Gallery({self.path!r}, version={self.version}, references={len(self)})"

    def references(self) -> tuple[Reference, ...]:
        """Every reference, sorted by content hash."""
        return read(self.path, self._dataset)

    def conflicts(self, references: Sequence[Reference]) -> tuple[Conflict, ...]:
        """Those that `add` would refuse because the picture is known under another label; ask before embedding."""
        return merge.find_conflicts(tuple(references), {r.content: r for r in self.references()})

    def show(self, content: str) -> Reference:
        """The reference whose content hash is, or begins with, the given digits.

        Raises
        ------
        InputError
            None or several do.
        """
        return match(_references(self._beginning([content], rows.columns(self._dataset.schema))), content)

    def thumbnail(self, content: str) -> bytes | None:
        """The thumbnail of a reference, a WebP file; None where it came without pixels. Raises as `show` does."""
        return self.thumbnails([content])[content]

    def thumbnails(self, contents: Iterable[str]) -> dict[str, bytes | None]:
        """The thumbnails of several references, read at once; the keys are the digits as they were given.

        Parameters
        ----------
        contents : iterable of str
            Content hashes, or their first digits.

        Returns
        -------
        dict of str to (bytes or None)
            WebP files; None where a reference came without pixels.

        Raises
        ------
        InputError
            As `show` does, of the first that is no reference's or several references'.
        """
        exact = self._exact(dict.fromkeys(contents))
        found = table.scan(self.path, self._dataset, ["content", layout.THUMBNAIL], table.among(exact.values()))
        pictures = dict(zip(found["content"].to_pylist(), found[layout.THUMBNAIL].to_pylist(), strict=True))
        return {given: pictures[content] for given, content in exact.items()}

    def _exact(self, given: Collection[str]) -> dict[str, str]:
        """The whole content hash of each of the given ones; an InputError as `show` gives."""
        known = self._beginning(given, ["content"])["content"].to_pylist()
        whole, out = set(known), {}
        for text in given:
            begin = text.lower()
            fits = [begin] if begin in whole else [each for each in known if each.startswith(begin)]
            out[text] = fits[0] if begin and len(fits) == 1 else self.show(text).content
        return out

    def _beginning(self, prefixes: Iterable[str], columns: Sequence[str]) -> pa.Table:
        """Columns of the rows whose content hash is, or begins with, one of these digits; other texts fit no row."""
        digits = [prefix.lower() for prefix in prefixes if _DIGITS.fullmatch(prefix.lower())]
        whole = [each for each in digits if rows.HASH.fullmatch(each)]
        parts = [each for each in digits if not rows.HASH.fullmatch(each)]
        where = f"{table.among(whole)} OR {table.beginning(parts)}"
        return table.scan(self.path, self._dataset, columns, where)

    def stamps(self) -> tuple[EncoderStamp, ...]:
        """The encoders that the gallery has a column for, in the order in which they were added."""
        return tuple(layout.stamps(self._dataset.schema).values())

    def usual_encoder(self, preferred: str) -> str:
        """The encoder that is meant where none is named: one joined of the preferred, or that, or else the first.

        What is joined knows more, and is there because the gallery's pictures are large or somebody asked for it.
        """
        known = [stamp.encoder for stamp in self.stamps()]
        joined = [name for name in known if name != preferred and preferred in name.split("+")]
        return next(iter(joined), preferred if preferred in known or not known else known[0])

    def stamp(self, encoder_id: str) -> EncoderStamp:
        """The stamp of one encoder.

        Raises
        ------
        GalleryMismatchError
            The gallery has no embeddings under it.
        """
        held = {stamp.encoder: stamp for stamp in self.stamps()}
        if encoder_id not in held:
            names = ", ".join(held) or "no encoder"
            raise GalleryMismatchError(
                f"has embeddings of {names}, and none of {encoder_id}.",
                argument=self.path,
                fix=f"Add them: morelli gallery add {self.path} DATASET --encoder {encoder_id}",
            )
        return held[encoder_id]

    def require(self, stamp: EncoderStamp) -> None:
        """Refuse an encoder whose embeddings cannot be compared with the gallery's.

        Raises
        ------
        GalleryMismatchError
            Says what differs (encoder, revision, preprocessing, vectors) and what to do.
        """
        layout.check_same(self.stamp(stamp.encoder), stamp, self.path)

    def models(self, encoder_id: str | None = None) -> dict[str, str]:
        """Content hash and model of every reference, or of those with embeddings under an encoder; sorted by hash.

        Without an encoder no embedding is read. With one all of its embeddings are read, and none is kept; it raises as
        `embeddings` does.
        """
        where = None
        if encoder_id is not None:
            self._held_stamp(encoder_id)
            where = table.embedded(layout.column_name(encoder_id))
        found = table.scan(self.path, self._dataset, ["content", "model"], where)
        if encoder_id is not None and not len(found):
            raise self._empty(f"no reference has embeddings of {encoder_id}.")
        return dict(sorted(zip(found["content"].to_pylist(), found["model"].to_pylist(), strict=True)))

    def embeddings(
        self, encoder_id: str, contents: Collection[str] | None = None, *, copies: bool = True
    ) -> tuple[tuple[Reference, ...], LabelledEmbeddings]:
        """The references that have embeddings under an encoder, and those embeddings; sorted by content hash.

        Parameters
        ----------
        encoder_id : str
        contents : collection of str, optional
            Whole content hashes: only those of these references that have embeddings, which may be none; of the others
            no embedding is read.
        copies : bool, optional
            Also the embeddings of degraded copies.

        Raises
        ------
        EmptyGalleryError
            No reference at all, or, where ``contents`` is None, none with embeddings under this encoder.
        GalleryMismatchError
            The gallery never saw this encoder.
        """
        stamp = self._held_stamp(encoder_id)
        column = layout.column_name(encoder_id)
        condition = table.embedded(column) if contents is None else table.among(contents)
        most = len(self) if contents is None else min(len(self), len(set(contents)))
        read, block = self._rows(column, stamp, condition, most)
        if contents is None and not read:
            raise self._empty(f"no reference has embeddings of {encoder_id}.")
        order = np.argsort(np.array([r.content for r in read], dtype=np.str_))
        references = tuple(read[i] for i in order)
        labels = [np.array([getattr(r, field) for r in references]) for field in ("model", "prompt_id", "family")]
        vectors = rows.unpack(block, stamp, order)
        degraded = self._copies(encoder_id, condition, references) if copies else None
        table.release()
        return references, LabelledEmbeddings(vectors, labels[0], labels[1], labels[2], degraded)

    def _rows(
        self, column: str, stamp: EncoderStamp, where: str, most: int
    ) -> tuple[list[Reference], NDArray[np.float32]]:
        """References, ``most`` at most, that have embeddings in a column; and those, side by side: (n, sum of dims)."""
        import pyarrow as pa

        wanted = [*rows.columns(self._dataset.schema), column]
        read: list[Reference] = []
        block = np.empty((most, sum(stamp.dims.values())), np.float32)
        for batch in table.stream(self.path, self._dataset, wanted, where):
            # A condition on the vectors in the scan itself would read those of every row.
            some = pa.Table.from_batches([batch.filter(batch[column].is_valid())])
            block[len(read) : len(read) + len(some)] = rows.to_block(some[column])
            read.extend(rows.to_references(some))
        return read, block[: len(read)]

    def _copies(self, encoder_id: str, where: str, references: Sequence[Reference]) -> DegradedEmbeddings | None:
        """Degraded copies of references, which are sorted by content hash."""
        import pyarrow as pa

        column = layout.copies_name(encoder_id)
        if column not in self._dataset.schema.names:
            return None
        found = table.scan(self.path, self._dataset, ["content", column], where)
        found = found.filter(found[column].is_valid())
        row = {reference.content: number for number, reference in enumerate(references)}
        known = [row.get(content, -1) for content in found["content"].to_pylist()]
        kept = np.array(known, dtype=np.intp) >= 0
        of = layout.copies_stamp(self._dataset.schema, column)
        return from_column(found[column].filter(pa.array(kept)), of, [number for number in known if number >= 0])

    def _held_stamp(self, encoder_id: str) -> EncoderStamp:
        """The stamp of an encoder, of a gallery that holds something."""
        if not len(self):
            raise self._empty("the gallery holds no reference.")
        return self.stamp(encoder_id)

    def _empty(self, said: str) -> EmptyGalleryError:
        return EmptyGalleryError(said, argument=self.path, fix=f"Add some: morelli gallery add {self.path} DATASET")

    def conditions(self, encoder_id: str) -> tuple[str, ...]:
        """The conditions in which the gallery keeps degraded copies under an encoder; none where it never had any."""
        column = layout.copies_name(encoder_id)
        if column not in self._dataset.schema.names:
            return ()
        return conditions_of(layout.copies_stamp(self._dataset.schema, column))

    def with_copies(self, encoder_id: str) -> dict[str, str]:
        """Content hash and model of the references that have degraded copies under an encoder."""
        column = layout.copies_name(encoder_id)
        if column not in self._dataset.schema.names:
            return {}
        found = table.scan(self.path, self._dataset, ["content", "model"], table.embedded(column))
        return dict(zip(found["content"].to_pylist(), found["model"].to_pylist(), strict=True))

    def missing(self, contents: Iterable[str], encoder_id: str) -> set[str]:
        """Those of the given content hashes without embeddings under an encoder, so that nothing is embedded twice."""
        wanted = set(contents)
        column = layout.column_name(encoder_id)
        if column not in self._dataset.schema.names:
            return wanted
        found = table.scan(self.path, self._dataset, ["content"], table.embedded(column))
        return wanted.difference(found["content"].to_pylist())

    def summary(self) -> Summary:
        """Models, prompts, encoders and size."""
        return audit.summarise(self.path, self._dataset, self.references())

    def check(self) -> CheckReport:
        """Read everything and say what is wrong; see `morelli.gallery.audit`."""
        return audit.check(self._dataset)

    def export(self, path: str | os.PathLike[str], thumbnails: bool = False) -> int:
        """Write the gallery to one Parquet file: embeddings, hashes and provenance, no pixels.

        Parameters
        ----------
        path : str or path
            A file; an existing one is replaced, whole or not at all.
        thumbnails : bool, optional
            Also the thumbnails. They are pixels: share them only where you may.

        Returns
        -------
        int
            References written.

        Raises
        ------
        EmptyGalleryError, StorageError
        """
        if not len(self):
            raise EmptyGalleryError("the gallery holds no reference.", argument=self.path, fix="Add some first.")
        return exchange.write(self._dataset, path, thumbnails)


def match(references: tuple[Reference, ...], prefix: str) -> Reference:
    """The one reference whose content hash begins with the prefix; an InputError where none or several do."""
    begin = prefix.lower()
    found = [reference for reference in references if reference.content.startswith(begin)] if begin else []
    if len(found) != 1:
        names = ", ".join(f"{r.content[:16]}… ({r.name})" for r in found[:4])
        said = f"{len(found)} references begin so: {names}." if found else "no reference begins so."
        raise InputError(f"{prefix!r}: {said}", argument="content", fix="List them: morelli gallery list.")
    return found[0]


def read(path: str, dataset: lance.LanceDataset) -> tuple[Reference, ...]:
    """Every reference of a version, sorted by content hash."""
    return _references(table.scan(path, dataset, rows.columns(dataset.schema)))


def _references(found: pa.Table) -> tuple[Reference, ...]:
    return tuple(sorted(rows.to_references(found), key=lambda reference: reference.content))
