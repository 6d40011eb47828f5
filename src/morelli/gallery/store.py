"""The gallery: references on disk, each with its embeddings under one or more encoders.

>>> import tempfile, numpy as np
>>> from morelli.types import EncoderStamp, Reference
>>> stamp = EncoderStamp("toy", "r1", "p1", {"last": 2})
>>> reference = Reference(content="0" * 64, sha256="1" * 64, name="a.png", model="m", family="m")
>>> with tempfile.TemporaryDirectory() as folder:
...     gallery = Gallery.create(folder)
...     report = gallery.add([reference], [b""], {"last": np.ones((1, 2), dtype=np.float32)}, stamp)
...     (report.added, len(gallery), gallery.embeddings("toy")[1].vectors["last"].tolist())
(1, 1, [[1.0, 1.0]])
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

from morelli.errors import InputError, MissingGalleryError, StorageError, UnknownNameError
from morelli.gallery import exchange, merge, rows, table
from morelli.gallery.copies import to_column
from morelli.gallery.records import AddReport
from morelli.gallery.view import GalleryView, match, read
from morelli.types import DegradedEmbeddings, EncoderStamp, Reference

if TYPE_CHECKING:
    import lance
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ATTEMPTS = 40
T = TypeVar("T")


class Gallery(GalleryView):
    """References, their embeddings and their provenance. Make one with `create`, `open` or `open_or_create`.

    Every write starts from the newest version and is one atomic commit: a process that is killed leaves the version
    before or the version after, and several processes may write at the same time.
    """

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Self:
        """An empty gallery in a new or empty folder.

        Raises
        ------
        GalleryError
            The folder holds a gallery, or something else.
        StorageError
            The disk refuses.
        """
        where = table.location(path)
        return cls(where, table.create_table(where))

    @classmethod
    def open_or_create(cls, path: str | os.PathLike[str]) -> Self:
        """The gallery at a path, made where there is none; raises as `open` and `create` do."""
        try:
            return cls.open(path)
        except MissingGalleryError:
            return cls.create(path)

    def add(
        self,
        references: Sequence[Reference],
        thumbnails: Sequence[bytes | None],
        vectors: Mapping[str, NDArray[np.float32]],
        stamp: EncoderStamp,
        copies: DegradedEmbeddings | None = None,
    ) -> AddReport:
        """Add pictures with their embeddings under one encoder, in one commit.

        A picture that is there is left as it is; where it lacks embeddings under this encoder, they are filled in.
        Where nothing is new, nothing is written and the version stays. Several processes may add at the same time.

        Parameters
        ----------
        references : sequence of Reference, length n
            The same picture given twice is kept once.
        thumbnails : sequence of bytes or None, length n
            Small encoded pictures, as `make_thumbnail` gives; empty or None where there is none.
        vectors : mapping of str to ndarray, shape (n, stamp.dims[name]), float32
        stamp : EncoderStamp
            Of the encoder that made the vectors.
        copies : DegradedEmbeddings, optional
            Degraded copies of some of the references, under the same encoder. Left out where the gallery has copies
            in other conditions.

        Raises
        ------
        InputError, ArrayError
            A reference without a proper hash or model, vectors of the wrong shape or not finite, or a picture under
            two labels (another model, family or prompt id than it is known by); nothing is written.
        ReservedNameError
            A model or base is called "none" or "unsure"; nothing is written.
        GalleryMismatchError
            The gallery has embeddings of another revision or preprocessing of this encoder.
        StorageError
            The disk refuses, or other processes kept writing; the gallery is as it was.
        """
        if len(thumbnails) != len(references):
            raise InputError(f"{len(references)} references and {len(thumbnails)} of these.", argument="thumbnails")
        for reference in references:
            rows.check_reference(reference)
        block = rows.pack(vectors, stamp, len(references))
        incoming = rows.to_table(references, thumbnails, block, stamp)
        if copies is not None:
            incoming = incoming.append_column(*to_column(copies, stamp, len(references)))
        return self._add(incoming)

    def _add(self, incoming: pa.Table) -> AddReport:
        def write(dataset: lance.LanceDataset) -> tuple[lance.LanceDataset, merge.Plan]:
            plan = merge.plan(self.path, dataset, incoming)
            schema = merge.joined_schema(dataset.schema, incoming.schema)
            if len(plan.fill) or (len(plan.new) and schema.names != dataset.schema.names):
                dataset = table.rewrite(dataset, schema, merge.merged(dataset, plan, schema), self.path)
            elif len(plan.new):
                new = merge.aligned(plan.incoming.take(plan.new), dataset.schema)
                dataset = table.append(dataset, new, self.path)
            return dataset, plan

        plan = self._write(write)
        unchanged = len(plan.incoming) - len(plan.new) - len(plan.fill)
        return AddReport(len(plan.new), len(plan.fill), unchanged, plan.duplicates, self.version)

    def remove(self, models: Iterable[str] = (), contents: Iterable[str] = (), prompts: Iterable[str] = ()) -> int:
        """Remove references, in one commit; earlier versions on disk keep them until `prune`.

        A reference goes when it meets every condition given: ``models=["a"], prompts=["p"]`` removes model a's
        references of prompt p alone.

        Parameters
        ----------
        models, prompts : iterable of str, optional
            Names of models; prompt ids.
        contents : iterable of str, optional
            Content hashes, or beginnings of them that name one reference each.

        Returns
        -------
        int
            How many were removed.

        Raises
        ------
        InputError
            No condition was given, or a hash names no reference or several.
        UnknownNameError
            The gallery has no such model or prompt.
        """
        wanted = {"model": set(models), "prompt_id": set(prompts)}
        prefixes = list(contents)
        if not prefixes and not any(wanted.values()):
            raise InputError("nothing says what to remove.", fix="Give models, prompts or content hashes.")

        def write(dataset: lance.LanceDataset) -> tuple[lance.LanceDataset, int]:
            held = read(self.path, dataset)
            whole = {reference.content for reference in held}
            exact = {prefix if prefix in whole else match(held, prefix).content for prefix in prefixes}
            for field, names in wanted.items():
                known = {getattr(reference, field) for reference in held}
                for name in sorted(names - known):
                    raise UnknownNameError("prompt" if field == "prompt_id" else field, name, known)
            gone = [
                reference.content
                for reference in held
                if (not exact or reference.content in exact)
                and all(not names or getattr(reference, field) in names for field, names in wanted.items())
            ]
            return (table.delete(dataset, gone, self.path) if gone else dataset), len(gone)

        return self._write(write)

    def prune(self) -> int:
        """Delete what only earlier versions need, and join the small parts that many small adds leave.

        The data of removed references leave the disk here, and so does the old copy after a second encoder was added.
        Files of an interrupted write go once they are a week old: a younger one may belong to a process that is still
        writing. Objects that read an earlier version must be opened again.

        Returns
        -------
        int
            Bytes freed.

        Raises
        ------
        StorageError
            The disk refuses, or other processes kept writing.
        """

        def write(dataset: lance.LanceDataset) -> tuple[lance.LanceDataset, int]:
            freed = table.compact(dataset, self.path)
            return table.open_table(self.path), freed

        return self._write(write)

    def _write(self, attempt: Callable[[lance.LanceDataset], tuple[lance.LanceDataset, T]]) -> T:
        """Try against the newest version until no other process commits in between."""
        for tries in range(ATTEMPTS):
            try:
                self._dataset, outcome = attempt(table.open_table(self.path))
            except table.ConcurrentWriteError:
                time.sleep(random.uniform(0.2, 1.0) * min(0.02 * 2**tries, 1.0))  # noqa: S311
            else:
                return outcome
        raise StorageError("other processes kept writing to the gallery.", argument=self.path, fix="Try again.")

    def import_(self, path: str | os.PathLike[str]) -> AddReport:
        """Merge an exported file into this gallery, in one commit; importing it again changes nothing.

        Raises
        ------
        InputError
            The file is absent, damaged or no export, or a picture has another label here.
        ReservedNameError
            A model or base in it is called "none" or "unsure".
        GalleryMismatchError
            Its embeddings are of another revision or preprocessing of an encoder that the gallery has.
        """
        return self._add(exchange.read(path))
