"""Embeddings of degraded copies of some references: one column an encoder, empty for references without copies.

The copies of one reference lie side by side, condition by condition, each with the encoder's named vectors in the order
of its stamp. The list has no fixed size, so that an empty row costs nothing: most references have no copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from morelli.gallery import schema as layout
from morelli.types import DegradedEmbeddings, EncoderStamp

if TYPE_CHECKING:
    import pyarrow as pa

# Between a condition and a vector's name in the column's stamp.
_BETWEEN = "|"


def to_column(copies: DegradedEmbeddings, stamp: EncoderStamp, count: int) -> tuple[pa.Field, pa.Array]:
    """The column that holds the copies of ``count`` references; those that lack a condition are left empty.

    Parameters
    ----------
    copies : DegradedEmbeddings
        ``rows`` say which reference.
    stamp : EncoderStamp
        Of the encoder that made them.
    count : int
    """
    import pyarrow as pa

    conditions = sorted(np.unique(copies.names).tolist())
    dims = {f"{c}{_BETWEEN}{name}": size for c in conditions for name, size in stamp.dims.items()}
    joined = np.concatenate([np.asarray(copies.vectors[name], dtype=np.float32) for name in stamp.dims], axis=1)
    of = {(int(row), str(name)): i for i, (row, name) in enumerate(zip(copies.rows, copies.names, strict=True))}
    values = []
    for row in range(count):
        places = [of.get((row, condition)) for condition in conditions]
        whole = [place for place in places if place is not None]
        values.append(np.concatenate(joined[whole]) if len(whole) == len(places) else None)
    made = EncoderStamp(stamp.encoder, stamp.revision, stamp.preprocessing, dims)
    return layout.copies_field(made), pa.array(values, pa.list_(pa.float32()))


def conditions_of(copies: EncoderStamp) -> tuple[str, ...]:
    """The conditions that a column's stamp names, in order."""
    return tuple(dict.fromkeys(key.partition(_BETWEEN)[0] for key in copies.dims))


def fits(copies: EncoderStamp, stamp: EncoderStamp) -> bool:
    """Whether a column's copies are of an encoder's very revision and preprocessing, each with all of its vectors."""
    dims = {f"{c}{_BETWEEN}{name}": size for c in conditions_of(copies) for name, size in stamp.dims.items()}
    same = (copies.encoder, copies.revision, copies.preprocessing)
    return same == (stamp.encoder, stamp.revision, stamp.preprocessing) and dict(copies.dims) == dims and bool(dims)


def from_column(column: pa.ChunkedArray, copies: EncoderStamp, rows: Sequence[int]) -> DegradedEmbeddings | None:
    """The copies in a column, without its empty rows.

    Parameters
    ----------
    column : ChunkedArray
    copies : EncoderStamp
        The column's own stamp.
    rows : sequence of int
        Number of the reference in each row of the column.

    Returns
    -------
    DegradedEmbeddings or None
        None where all is empty.
    """
    split = [key.partition(_BETWEEN) for key in copies.dims]
    conditions = list(conditions_of(copies))
    sizes = {name: copies.dims[f"{conditions[0]}{_BETWEEN}{name}"] for _, _, name in split}
    valid = np.flatnonzero(np.asarray(column.is_valid()))
    if not len(valid):
        return None
    flat = column.take(valid).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    block = flat.reshape(len(valid) * len(conditions), sum(sizes.values()))
    edges = np.cumsum([0, *sizes.values()])
    return DegradedEmbeddings(
        np.tile(np.array(conditions), len(valid)),
        np.repeat(np.asarray(rows, dtype=np.intp)[valid], len(conditions)),
        {name: block[:, start:end] for name, start, end in zip(sizes, edges[:-1], edges[1:], strict=True)},
    )


def whole(column: pa.ChunkedArray, copies: EncoderStamp) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rows of a column are empty, or as long as its stamp says and finite: shape (rows,)."""
    width = sum(copies.dims.values())
    rows = column.to_numpy()
    return np.array([row is None or (len(row) == width and bool(np.isfinite(row).all())) for row in rows], dtype=bool)
