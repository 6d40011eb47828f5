"""A gallery as one file that can be shared: Parquet with a manifest, page checksums, and no pixels unless asked for.

A column of vectors is a plain list<float32> there, so that any Parquet reader understands it; the manifest, JSON in the
file's metadata under ``morelli.gallery-export``, says which encoder made which column and how its vectors are named.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli._version import __version__
from morelli.errors import GalleryError, InputError
from morelli.gallery import rows, table
from morelli.gallery import schema as layout
from morelli.gallery.copies import fits, whole

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

SCHEMA = "morelli.gallery-export/1"
KEY = b"morelli.gallery-export"


def write(dataset: lance.LanceDataset, path: str | os.PathLike[str], thumbnails: bool) -> int:
    """Write a version to a file, by way of a temporary one beside it; returns the number of references."""
    target = _local(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    with table.storage(str(target), "writing the export"):
        try:
            count = _write(dataset, temporary, thumbnails)
            temporary.replace(target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    return count


def _write(dataset: lance.LanceDataset, path: Path, thumbnails: bool) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = [*layout.vector_columns(dataset.schema), *layout.copies_columns(dataset.schema)]
    held = set(dataset.schema.names) - (set() if thumbnails else {layout.THUMBNAIL})
    base = [field for field in layout.base_fields() if field.name in held]
    manifest = {
        "schema": SCHEMA,
        "morelli": __version__,
        "references": int(dataset.count_rows()),
        "thumbnails": thumbnails,
        "encoders": {
            name: json.loads(layout.dump_stamp(stamp)) for name, stamp in layout.stamps(dataset.schema).items()
        },
        "copies": {
            name: json.loads(layout.dump_stamp(layout.copies_stamp(dataset.schema, name)))
            for name in layout.copies_columns(dataset.schema)
        },
    }
    fields = [*base, *(pa.field(name, pa.list_(pa.float32())) for name in vectors)]
    schema = pa.schema(fields, metadata={KEY: json.dumps(manifest, ensure_ascii=False).encode()})
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, write_page_checksum=True) as writer:
        for batch in dataset.to_batches(columns=schema.names, batch_size=1024):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))
            count += len(batch)
    return count


def read(path: str | os.PathLike[str]) -> pa.Table:
    """The rows of an exported file in the gallery's layout, checked.

    Raises
    ------
    InputError
        The file is absent, damaged, no export, or of a newer schema.
    """
    import pyarrow as pa

    source = _local(path)
    if not source.is_file():
        raise InputError("no such file.", argument=str(source), fix="Give a file that `morelli gallery export` wrote.")
    with _damage(source):
        found, manifest = _read(source)
        fields = layout.base_fields()
        for name, raw in manifest["encoders"].items():
            stamp = layout.load_stamp(json.dumps(raw))
            if name != layout.column_name(stamp.encoder):
                raise ValueError(f"the column {name} does not belong to {stamp.encoder}")
            fields.append(layout.vector_field(stamp))
        copies = [layout.load_stamp(json.dumps(raw)) for raw in manifest.get("copies", {}).values()]
        held = {stamp.encoder: stamp for stamp in map(layout.field_stamp, fields[len(layout.base_fields()) :])}
        for stamp in copies:
            if stamp.encoder not in held or not fits(stamp, held[stamp.encoder]):
                raise ValueError(f"its degraded copies are not of the {stamp.encoder} that its embeddings are of")
            fields.append(layout.copies_field(stamp))
        for name, kind in ((layout.THUMBNAIL, pa.binary()), (layout.BASE, pa.string())):
            if name not in found.column_names:
                found = found.append_column(name, pa.nulls(len(found), kind))
        if len(found) != manifest["references"]:
            raise ValueError(f"{len(found)} references where the manifest says {manifest['references']}")
        incoming = found.select([field.name for field in fields]).cast(pa.schema(fields))
        _check_rows(incoming)
    return incoming


def _read(source: Path) -> tuple[pa.Table, dict[str, Any]]:
    import pyarrow.parquet as pq

    raw = (pq.read_schema(source).metadata or {}).get(KEY)
    if raw is None:
        raise ValueError("it has no manifest")
    manifest = json.loads(raw)
    if manifest["schema"] != SCHEMA:
        raise InputError(
            f"is of the schema {manifest['schema']!r}; this version of Morelli reads {SCHEMA!r}.",
            argument=str(source),
            fix="Upgrade: pip install --upgrade morelli",
        )
    return pq.read_table(source, page_checksum_verification=True), manifest


def _check_rows(incoming: pa.Table) -> None:
    import numpy as np

    for reference in rows.to_references(incoming):
        rows.check_reference(reference)
    for name in layout.vector_columns(incoming.schema):
        block = rows.to_block(incoming[name].filter(incoming[name].is_valid()))
        if not np.isfinite(block).all():
            raise ValueError(f"{name} has values that are not finite")
    for name in layout.copies_columns(incoming.schema):
        if not whole(incoming[name], layout.copies_stamp(incoming.schema, name)).all():
            raise ValueError(f"{name} has a row of another length than its stamp says, or values that are not finite")


@contextlib.contextmanager
def _damage(source: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except InputError:
        raise
    except (GalleryError, OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        reason = error.message if isinstance(error, GalleryError) else f"{error}."
        raise InputError(
            f"is damaged or no exported gallery: {reason}",
            argument=str(source),
            fix="Give a file that `morelli gallery export` wrote.",
        ) from error


def _local(path: str | os.PathLike[str]) -> Path:
    text = os.fspath(path)
    if "://" in text:
        raise InputError("an export is a local file.", argument=text, fix="Write it locally, then copy it.")
    return Path(text)
