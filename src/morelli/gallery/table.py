"""The only file that speaks to Lance: open, create, append, rewrite, delete; each write is one commit.

Every write compares and swaps: it is made against the version that was read, and `ConcurrentWriteError` says that
another process committed in between. Lance's plain append would let two processes add the same picture, so that rows
are appended with its merge operation, which no other commit may overtake.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from morelli.errors import GalleryError, MissingGalleryError, MorelliError, StorageError
from morelli.gallery import schema as layout

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

FOLDER = "references.lance"
ROWS = 100_000  # a part with so many rows is not joined with others
FULL = ("no space left", "os error 28", "os error 27", "os error 122", "file too large", "quota")
REMOTE = (
    "Check that the bucket exists and what the environment says of the object store: AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL (docs/gallery.md)."
)
SAID = 400  # characters of the object store's own words that are passed on
READ_ONLY = ("permission denied", "os error 13", "os error 30", "read-only")


class ConcurrentWriteError(Exception):
    """Another process committed between our read and our write; nothing was written."""


def location(path: str | os.PathLike[str]) -> str:
    """A local path or an object-store URI as text; a URI's slashes stay as they are."""
    text = os.fspath(path)
    return text.rstrip("/") if "://" in text else str(Path(text))


def is_remote(path: str) -> bool:
    """Whether a location is a URI and not a local folder."""
    return "://" in path


def uri(path: str) -> str:
    """Where the table of a gallery lies."""
    return f"{path}/{FOLDER}" if is_remote(path) else str(Path(path) / FOLDER)


@contextlib.contextmanager
def storage(path: str, doing: str) -> Iterator[None]:
    """Turn what Lance, Arrow and the system raise into a `StorageError` that says what to do.

    Lance reports one failure as OSError, ValueError or RuntimeError, depending on where it met it.
    """
    import pyarrow as pa
    from lance.commit import CommitConflictError

    try:
        yield
    except (MorelliError, CommitConflictError):
        raise
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as error:
        # Before the first ", /" stands what happened; behind it where in Lance's source.
        text = " ".join(str(error).split(", /")[0].split())[:SAID]
        small = str(error).lower()
        fix = None
        if is_remote(path):
            fix = REMOTE
        elif any(sign in small for sign in FULL):
            fix = "Free some space and try again; the gallery is as it was."
        elif any(sign in small for sign in READ_ONLY):
            fix = "Check the permissions of the folder."
        raise StorageError(f"{doing} failed: {text}.", argument=path, fix=fix) from error


def exists(path: str) -> bool:
    """Whether a folder holds a table with at least one committed version; a half-made one does not count."""
    if is_remote(path):
        try:
            open_table(path)
        except MissingGalleryError:
            return False
        return True
    versions = Path(uri(path)) / "_versions"
    with storage(path, "reading the gallery"):
        return versions.is_dir() and any(versions.glob("*.manifest"))


def open_table(path: str) -> lance.LanceDataset:
    """The newest version.

    Raises
    ------
    MissingGalleryError
        No gallery there.
    GalleryError
        Something else is there, or a newer format.
    StorageError
        It is there and cannot be read.
    """
    import lance

    if is_remote(path) or exists(path):
        with storage(path, "opening the gallery"):
            try:
                dataset = lance.dataset(uri(path))
            except ValueError as error:
                if "was not found" not in str(error):
                    raise
            else:
                layout.check_format(dataset.schema, path)
                return dataset
    raise MissingGalleryError("is no gallery.", argument=path, fix=f"Make one: morelli gallery add {path} DATASET")


def release() -> None:
    """Give back to the system what Arrow has read and nobody holds any more: of a large gallery as much as it has."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def scan(path: str, dataset: lance.LanceDataset, columns: Sequence[str], where: str | None = None) -> pa.Table:
    """Some columns of a version, of the rows that meet an SQL condition; a `StorageError` where they cannot be read."""
    with storage(path, "reading the gallery"):
        return dataset.to_table(columns=list(columns), filter=where)


def stream(path: str, dataset: lance.LanceDataset, columns: Sequence[str], where: str) -> Iterator[pa.RecordBatch]:
    """As `scan`, a batch at a time: of a large gallery nothing is held that is not kept."""
    with storage(path, "reading the gallery"):
        yield from dataset.to_batches(columns=list(columns), filter=where)


def embedded(column: str) -> str:
    """The SQL condition that a row has vectors in a column."""
    return f"`{column}` IS NOT NULL"


def among(contents: Iterable[str]) -> str:
    """The SQL condition that a row's content hash is one of these."""
    listed = ", ".join(f"'{content}'" for content in contents)
    return f"content IN ({listed})" if listed else "false"


def beginning(prefixes: Iterable[str]) -> str:
    """The SQL condition that a row's content hash begins with one of these digits."""
    return " OR ".join(f"starts_with(content, '{prefix}')" for prefix in prefixes) or "false"


def create_table(path: str) -> lance.LanceDataset:
    """An empty table, version 1.

    Raises
    ------
    GalleryError
        Where a gallery or something else lies there.
    StorageError
        Where the disk refuses.
    """
    import lance

    if exists(path):
        raise GalleryError("is a gallery already.", argument=path, fix="Open it, or choose another folder.")
    if not is_remote(path):
        _check_vacant(path)
    schema = layout.empty_schema()
    with storage(path, "creating the gallery"):
        try:
            return lance.write_dataset(schema.empty_table(), uri(path), mode="create")
        except (OSError, RuntimeError) as error:
            if not any(sign in str(error).lower() for sign in ("already exists", "commit conflict")):
                raise
    return open_table(path)  # another process made it a moment ago


def _check_vacant(path: str) -> None:
    with storage(path, "creating the gallery"):
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise GalleryError("is a file, and a gallery is a folder.", argument=path, fix="Choose another name.")
        strangers = sorted(p.name for p in folder.iterdir() if p.name != FOLDER) if folder.is_dir() else []
    if strangers:
        raise GalleryError(
            f"holds other files ({', '.join(strangers[:3])}) and is no gallery.",
            argument=path,
            fix="Choose a new or an empty folder.",
        )


def append(dataset: lance.LanceDataset, rows: pa.Table, path: str) -> lance.LanceDataset:
    """Rows behind the existing ones, in one commit.

    Parameters
    ----------
    rows : Table
        In the dataset's schema.

    Raises
    ------
    ConcurrentWriteError, StorageError
        Nothing was written.
    """
    import lance
    from lance.fragment import write_fragments

    with _commit(path):
        new = write_fragments(rows, dataset, mode="append", schema=rows.schema)
        old = [fragment.metadata for fragment in dataset.get_fragments()]
        operation = lance.LanceOperation.Merge([*old, *new], dataset.lance_schema)
        return lance.LanceDataset.commit(dataset, operation, read_version=dataset.version)


def rewrite(
    dataset: lance.LanceDataset, schema: pa.Schema, batches: Iterable[pa.RecordBatch], path: str
) -> lance.LanceDataset:
    """Everything anew under a schema that may have more columns, in one commit; batches are streamed.

    Raises
    ------
    ConcurrentWriteError, StorageError
        Nothing was written.
    """
    import lance
    import pyarrow as pa
    from lance.fragment import write_fragments

    with _commit(path):
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        new = write_fragments(reader, dataset, mode="overwrite", schema=schema)
        operation = lance.LanceOperation.Overwrite(schema, list(new))
        # Without retries Lance refuses to overwrite a version that it was not made from.
        return lance.LanceDataset.commit(dataset, operation, read_version=dataset.version, max_retries=0)


def delete(dataset: lance.LanceDataset, contents: Iterable[str], path: str) -> lance.LanceDataset:
    """The rows with these content hashes leave, in one commit."""
    with _commit(path):
        try:
            dataset.delete(among(contents))
        except OSError as error:
            if "concurrent" not in str(error).lower():
                raise
            raise ConcurrentWriteError(str(error)) from error
    return open_table(path)


def compact(dataset: lance.LanceDataset, path: str) -> int:
    """Join small parts, write parts with removed rows anew without them, delete earlier versions; bytes freed."""
    from datetime import timedelta

    with _commit(path):
        dataset.optimize.compact_files(
            target_rows_per_fragment=ROWS, materialize_deletions=True, materialize_deletions_threshold=0.0
        )
    with storage(path, "pruning the gallery"):
        return int(open_table(path).cleanup_old_versions(older_than=timedelta(0)).bytes_removed)


@contextlib.contextmanager
def _commit(path: str) -> Iterator[None]:
    from lance.commit import CommitConflictError

    try:
        with storage(path, "writing to the gallery"):
            yield
    except CommitConflictError as error:
        raise ConcurrentWriteError(str(error)) from error
