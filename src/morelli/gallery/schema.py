"""How a gallery is laid out: one table, one row a reference, one column of vectors an encoder.

The identity of a row is ``content``, the SHA-256 of the decoded pixels. An encoder's named vectors lie side by side in
one fixed-size list; the encoder's stamp, which names and sizes them, is stored with the column as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from morelli.errors import GalleryError, GalleryMismatchError
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
FORMAT_KEY = b"morelli.gallery.format"
STAMP_KEY = b"morelli.encoder-stamp"
VECTORS = "vectors_"
COPIES = "copies_"
THUMBNAIL = "thumbnail"
BASE = "base"


def base_fields() -> list[pa.Field]:
    """What is known of a reference, without its vectors. ``seed`` is decimal text: seeds may exceed 64 signed bits."""
    import pyarrow as pa

    text = [pa.field(name, pa.string(), nullable=False) for name in ("content", "sha256", "name", "model", "family")]
    text += [pa.field(name, pa.string(), nullable=False) for name in ("prompt_id", "prompt")]
    text += [pa.field("seed", pa.string())]
    text += [pa.field(name, pa.string(), nullable=False) for name in ("source", "licence")]
    return [
        *text,
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field(THUMBNAIL, pa.binary()),
        pa.field(BASE, pa.string()),  # galleries of earlier versions have none
    ]


def empty_schema() -> pa.Schema:
    """The schema of a gallery that has seen no encoder yet."""
    import pyarrow as pa

    return pa.schema(base_fields(), metadata={FORMAT_KEY: str(FORMAT).encode()})


def column_name(encoder: str) -> str:
    """The column of an encoder: legible, and distinct for distinct ids whatever characters they contain."""
    legible = re.sub(r"[^a-z0-9]+", "_", encoder.lower()).strip("_")[:40]
    return f"{VECTORS}{legible}_{hashlib.sha256(encoder.encode()).hexdigest()[:8]}"


def copies_name(encoder: str) -> str:
    """The column of the degraded copies under an encoder."""
    return COPIES + column_name(encoder).removeprefix(VECTORS)


def copies_field(stamp: EncoderStamp) -> pa.Field:
    """The column that holds degraded copies; the stamp's ``dims`` name condition and vector."""
    import pyarrow as pa

    return pa.field(copies_name(stamp.encoder), pa.list_(pa.float32()), metadata={STAMP_KEY: dump_stamp(stamp)})


def vector_field(stamp: EncoderStamp) -> pa.Field:
    """The column that holds an encoder's vectors, with its stamp."""
    import pyarrow as pa

    width = sum(stamp.dims.values())
    return pa.field(column_name(stamp.encoder), pa.list_(pa.float32(), width), metadata={STAMP_KEY: dump_stamp(stamp)})


def dump_stamp(stamp: EncoderStamp) -> bytes:
    """A stamp as JSON; ``dims`` is a list of pairs because its order is the layout."""
    record = {
        "encoder": stamp.encoder,
        "revision": stamp.revision,
        "preprocessing": stamp.preprocessing,
        "dims": [[name, int(size)] for name, size in stamp.dims.items()],
    }
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def load_stamp(raw: bytes | str) -> EncoderStamp:
    """The stamp that `dump_stamp` wrote.

    Raises
    ------
    GalleryError
        Where the text is no stamp.
    """
    try:
        record = json.loads(raw)
        dims = {str(name): int(size) for name, size in record["dims"]}
        return EncoderStamp(str(record["encoder"]), str(record["revision"]), str(record["preprocessing"]), dims)
    except (ValueError, KeyError, TypeError) as error:
        raise GalleryError(f"an encoder's stamp is damaged: {error!r}.", fix="Embed the references again.") from error


def vector_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns that hold vectors, in order."""
    return [name for name in schema.names if name.startswith(VECTORS)]


def copies_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns that hold degraded copies, in order."""
    return [name for name in schema.names if name.startswith(COPIES)]


def copies_stamp(schema: pa.Schema, name: str) -> EncoderStamp:
    """The stamp of a column of degraded copies; a GalleryError where it carries none."""
    return load_stamp((schema.field(name).metadata or {}).get(STAMP_KEY, b""))


def stamps(schema: pa.Schema) -> dict[str, EncoderStamp]:
    """Column → stamp, in order."""
    return {name: field_stamp(schema.field(name)) for name in vector_columns(schema)}


def field_stamp(field: pa.Field) -> EncoderStamp:
    """The stamp of one column of vectors.

    Raises
    ------
    GalleryError
        Where the column carries none, or one that does not fit its width.
    """
    raw = (field.metadata or {}).get(STAMP_KEY)
    if raw is None:
        raise GalleryError(f"the column {field.name} does not say which encoder made it.", fix="Embed again.")
    stamp = load_stamp(raw)
    if sum(stamp.dims.values()) != field.type.list_size:
        raise GalleryError(
            f"the column {field.name} holds vectors of {field.type.list_size} numbers, and its stamp says "
            f"{sum(stamp.dims.values())}.",
            fix="Embed the references again.",
        )
    return stamp


def check_format(schema: pa.Schema, where: str) -> None:
    """Refuse a table that is no gallery, or one of a format that this version does not know.

    Raises
    ------
    GalleryError
        Says which format came and which is read.
    """
    raw = (schema.metadata or {}).get(FORMAT_KEY)
    if raw is None:
        raise GalleryError("holds a table that is no gallery.", argument=where, fix="Choose another folder.")
    try:
        found = int(raw)
    except ValueError as error:
        raise GalleryError(f"has an unknown format {raw!r}.", argument=where) from error
    if found > FORMAT:
        raise GalleryError(
            f"is a gallery of format {found}; this version of Morelli reads up to format {FORMAT}.",
            argument=where,
            fix="Upgrade: pip install --upgrade morelli",
        )


def check_same(held: EncoderStamp, given: EncoderStamp, where: str) -> None:
    """Refuse embeddings that cannot be compared with those that are held under the same encoder id.

    Raises
    ------
    GalleryMismatchError
        Names each difference: revision, preprocessing, vectors.
    """
    differences = [
        f"{name} {there} there and {here} here"
        for name, there, here in (
            ("revision", held.revision, given.revision),
            ("preprocessing", held.preprocessing, given.preprocessing),
        )
        if there != here
    ]
    if dict(held.dims) != dict(given.dims):
        names = sorted({n for n in {**held.dims, **given.dims} if held.dims.get(n) != given.dims.get(n)})
        shown = ", ".join(f"{n} ({held.dims.get(n, 0)} and {given.dims.get(n, 0)} numbers)" for n in names[:4])
        differences.append(f"vectors differ: {shown}" + (f" and {len(names) - 4} more" if len(names) > 4 else ""))
    elif list(held.dims) != list(given.dims):
        # Attributors put named vectors side by side in the order in which they come.
        differences.append("the same vectors in another order")
    if differences:
        raise GalleryMismatchError(
            f"embeddings of {held.encoder} that are not comparable: {'; '.join(differences)}.",
            argument=where,
            fix="Embed the references again into a new gallery: morelli gallery add NEW_GALLERY DATASET",
        )
