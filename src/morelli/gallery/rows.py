"""References and vectors to Arrow rows and back, with the checks that keep a bad row out."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError, InputError
from morelli.gallery import schema as layout
from morelli.names import refuse_reserved
from morelli.types import EncoderStamp, Reference

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

TEXT = ("content", "sha256", "name", "model", "family", "prompt_id", "prompt", "source", "licence")
KNOWN = ("content", "sha256", "name", "model", "family", "prompt_id", "prompt", "seed", "source", "licence")
#: What every gallery has; `columns` adds what galleries of earlier versions lack.
COLUMNS = (*KNOWN, "width", "height")
#: Texts that many rows share.
REPEATED = ("model", "family", "prompt_id", "prompt", "source", "licence")
HASH = re.compile(r"[0-9a-f]{64}")


def check_reference(reference: Reference) -> None:
    """Refuse a reference without a proper hash, or without a model that a verdict could name.

    Raises
    ------
    InputError
        Names the reference and the field.
    ReservedNameError
        Its model or base has a name that verdicts give to no model.
    """
    for field in ("content", "sha256"):
        value = getattr(reference, field)
        if not HASH.fullmatch(value):
            raise InputError(f"{field} must be 64 hexadecimal digits, and is {value!r}.", argument=reference.name)
    if not reference.model:
        raise InputError("a reference needs the name of its model.", argument=reference.name or reference.content)
    for what, name in (("model", reference.model), ("base", reference.base)):
        refuse_reserved(name, reference.name or reference.content, what)


def pack(vectors: Mapping[str, NDArray[np.float32]], stamp: EncoderStamp, count: int) -> NDArray[np.float32]:
    """The named vectors side by side in the stamp's order.

    Parameters
    ----------
    vectors : mapping of str to ndarray, shape (count, stamp.dims[name]), float32
    stamp : EncoderStamp
    count : int

    Returns
    -------
    ndarray, shape (count, sum of dims), float32

    Raises
    ------
    ArrayError
        A vector is absent, unknown, of another shape, or not finite.
    """
    odd = sorted(set(vectors) ^ set(stamp.dims))
    if odd or not stamp.dims:
        given = ", ".join(vectors) or "none"
        expected = ", ".join(stamp.dims) or "at least one"
        raise ArrayError(f"expected the vectors {expected}, and got {given}.", argument="vectors")
    for name, size in stamp.dims.items():
        shape = np.shape(vectors[name])
        if shape != (count, size):
            raise ArrayError(f"{name} must have the shape ({count}, {size}), and has {shape}.", argument="vectors")
    out = np.concatenate([np.asarray(vectors[name], dtype=np.float32) for name in stamp.dims], axis=1)
    bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
    if len(bad):
        raise ArrayError(
            f"embeddings must be finite, and {len(bad)} of {count} are not (first: row {bad[0]}).", argument="vectors"
        )
    return out


def unpack(block: NDArray[np.float32], stamp: EncoderStamp, order: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
    """The inverse of `pack`, with the rows in the given order; every array is contiguous."""
    out: dict[str, NDArray[np.float32]] = {}
    start = 0
    for name, size in stamp.dims.items():
        out[name] = np.ascontiguousarray(block[:, start : start + size][order])
        start += size
    return out


def to_table(
    references: Sequence[Reference], thumbnails: Sequence[bytes | None], block: NDArray[np.float32], stamp: EncoderStamp
) -> pa.Table:
    """Rows in the gallery's layout with one column of vectors."""
    import pyarrow as pa

    fields = [*layout.base_fields(), layout.vector_field(stamp)]
    columns = {name: pa.array([getattr(r, name) for r in references], pa.string()) for name in TEXT}
    columns["seed"] = pa.array([None if r.seed is None else str(int(r.seed)) for r in references], pa.string())
    for name in ("width", "height"):
        columns[name] = pa.array([getattr(r, name) for r in references], pa.int32())
    columns[layout.THUMBNAIL] = pa.array([t or None for t in thumbnails], pa.binary())
    columns[layout.BASE] = pa.array([r.base or None for r in references], pa.string())
    columns[fields[-1].name] = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), block.shape[1])
    return pa.table([columns[field.name] for field in fields], schema=pa.schema(fields))


def columns(schema: pa.Schema) -> tuple[str, ...]:
    """Those columns of a gallery that `to_references` reads."""
    return (*COLUMNS, layout.BASE) if layout.BASE in schema.names else COLUMNS


def to_references(table: pa.Table) -> tuple[Reference, ...]:
    """The references of a table that has at least the columns `COLUMNS`."""
    columns = [_texts(table[name]) if name in REPEATED else table[name].to_pylist() for name in COLUMNS]
    held = layout.BASE in table.column_names
    columns.append([value or "" for value in _texts(table[layout.BASE])] if held else [""] * len(table))
    seed = COLUMNS.index("seed")
    columns[seed] = [None if value is None else int(value) for value in columns[seed]]
    # Positional: COLUMNS has the order of Reference's fields, the base after them.
    return tuple(Reference(*row) for row in zip(*columns, strict=True))


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """A column of few different texts: one object for each, however many rows have it."""
    coded = column.combine_chunks().dictionary_encode()
    texts: list[str | None] = [sys.intern(text) for text in coded.dictionary.to_pylist()]
    return [None if code is None else texts[code] for code in coded.indices.to_pylist()]


def to_block(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A fixed-size-list column without nulls as one array of shape (n, d), float32."""
    array = column.combine_chunks()
    width = column.type.list_size
    return array.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
