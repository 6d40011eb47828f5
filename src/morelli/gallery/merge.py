"""What an add changes: new rows, filled gaps, conflicts. Arrow tables in, Arrow tables out; nothing is written here.

The rule for one picture under two labels: a picture has one model, one family and one prompt. The same picture with
another label is a conflict, and an add with a conflict writes nothing, for nobody can tell which label is right.
Other fields (file name, source, licence, seed) may differ; those that came first stay. Embeddings that are there stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import InputError
from morelli.gallery import schema as layout
from morelli.gallery import table
from morelli.gallery.records import Conflict
from morelli.gallery.rows import columns, to_references
from morelli.types import Reference

if TYPE_CHECKING:
    import lance
    import pyarrow as pa
    from numpy.typing import NDArray

SHOWN = 10


def find_conflicts(given: tuple[Reference, ...], known: dict[str, Reference]) -> tuple[Conflict, ...]:
    """Pictures whose label differs from the known one, or from an earlier one among those given."""
    seen = dict(known)
    conflicts = []
    for reference in given:
        first = seen.setdefault(reference.content, reference)
        if any(getattr(first, field) != getattr(reference, field) for field in ("model", "family", "prompt_id")):
            conflicts.append(Conflict(reference, first))
    return tuple(conflicts)


def refuse_conflicts(conflicts: tuple[Conflict, ...]) -> None:
    """Raise an InputError that lists the conflicts, where there are any."""
    if conflicts:
        listed = "; ".join(str(conflict) for conflict in conflicts[:SHOWN])
        more = f"; and {len(conflicts) - SHOWN} more" if len(conflicts) > SHOWN else ""
        raise InputError(
            f"{len(conflicts)} pictures have two labels, nothing was written: {listed}{more}.",
            argument="references",
            fix="Leave them out, or remove the known ones first: morelli gallery remove.",
        )


@dataclass(frozen=True)
class Plan:
    """The outcome of comparing incoming rows with a version of the gallery.

    Attributes
    ----------
    incoming : Table
        Distinct pictures.
    new, fill : ndarray of int
        Rows of ``incoming`` that the gallery lacks; that have a vector or a thumbnail which the gallery lacks.
    duplicates : int
        Rows dropped because the same picture came before.
    """

    incoming: pa.Table
    new: NDArray[np.intp]
    fill: NDArray[np.intp]
    duplicates: int


def plan(path: str, dataset: lance.LanceDataset, incoming: pa.Table) -> Plan:
    """Compare incoming rows with a version of the gallery at a path.

    Raises
    ------
    InputError
        A picture has two labels.
    GalleryMismatchError
        The vectors come from another revision or preprocessing of an encoder that the gallery has.
    """
    held = layout.stamps(dataset.schema)
    for name, stamp in layout.stamps(incoming.schema).items():
        if name in held:
            layout.check_same(held[name], stamp, path)
    incoming = _comparable_copies(dataset.schema, incoming)
    given = to_references(incoming)
    held_rows = to_references(table.scan(path, dataset, columns(dataset.schema)))
    known = {reference.content: reference for reference in held_rows}
    refuse_conflicts(find_conflicts(given, known))

    first = {reference.content: i for i, reference in reversed(list(enumerate(given)))}
    distinct = incoming.take(np.array(sorted(first.values()), dtype=np.intp))
    contents = distinct["content"].to_pylist()
    position = {content: i for i, content in enumerate(contents)}
    gaps = np.zeros(len(contents), dtype=bool)
    for name in fillable(distinct.schema):
        here = np.asarray(distinct[name].is_valid())
        if name in dataset.schema.names:
            there = table.scan(path, dataset, ["content"], table.embedded(name))["content"].to_pylist()
            here[[position[content] for content in there if content in position]] = False
        gaps |= here
    is_new = np.array([content not in known for content in contents], dtype=bool)
    return Plan(distinct, np.flatnonzero(is_new), np.flatnonzero(~is_new & gaps), len(given) - len(contents))


def _comparable_copies(held: pa.Schema, incoming: pa.Table) -> pa.Table:
    """Incoming rows without degraded copies of other conditions than those the gallery has."""
    for name in layout.copies_columns(incoming.schema):
        if name in held.names and layout.copies_stamp(held, name) != layout.copies_stamp(incoming.schema, name):
            incoming = incoming.drop_columns([name])
    return incoming


def fillable(schema: pa.Schema) -> list[str]:
    """Columns that an add may fill where a row has nothing yet."""
    return [layout.THUMBNAIL, layout.BASE, *layout.vector_columns(schema), *layout.copies_columns(schema)]


def joined_schema(held: pa.Schema, given: pa.Schema) -> pa.Schema:
    """The held schema, and behind it the given columns of vectors, copies and bases that it lacks."""
    for name in (layout.BASE, *layout.vector_columns(given), *layout.copies_columns(given)):
        if name not in held.names:
            held = held.append(given.field(name))
    return held


def aligned(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows in the given schema; a column that they lack is null."""
    import pyarrow as pa

    columns = [rows[f.name] if f.name in rows.column_names else pa.nulls(len(rows), f.type) for f in schema]
    return pa.table(columns, schema=schema)


def merged(dataset: lance.LanceDataset, change: Plan, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The whole gallery after the change, batch by batch: held rows with their gaps filled, then the new rows."""
    import pyarrow as pa

    source = change.incoming.take(change.fill)
    position = {content: i for i, content in enumerate(source["content"].to_pylist())}
    for batch in dataset.to_batches():
        rows = aligned(pa.Table.from_batches([batch]), schema)
        where = np.array([position.get(content, -1) for content in batch["content"].to_pylist()], dtype=np.intp)
        for name in fillable(source.schema) if (where >= 0).any() else ():
            filled = _filled(rows[name], source[name], where)
            rows = rows.set_column(schema.get_field_index(name), schema.field(name), filled)
        yield from rows.cast(schema).to_batches()
    yield from aligned(change.incoming.take(change.new), schema).to_batches()


def _filled(own: pa.ChunkedArray, source: pa.ChunkedArray, where: NDArray[np.intp]) -> pa.Array:
    """``own``, and ``source[where]`` in those rows that are null; ``where`` is -1 for rows that get nothing."""
    import pyarrow as pa

    gap = ~np.asarray(own.is_valid()) & (where >= 0)
    given = source.take(pa.array(where[gap]))
    rows = np.where(gap, len(own) + np.cumsum(gap) - 1, np.arange(len(own)))
    return pa.concat_arrays([*own.chunks, *given.chunks]).take(pa.array(rows))
