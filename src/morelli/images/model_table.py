"""What is known of models, and not of single pictures, as a table beside a dataset: family, base, decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from morelli.errors import DatasetError, UnknownNameError
from morelli.images.csv_rows import read_csv_rows
from morelli.images.dataset import Dataset
from morelli.names import refuse_reserved

#: What a table may say of a model.
FACTS = ("family", "base", "decoder")
#: For people: how it is known. It is not read.
NOTE = "note"


@dataclass(frozen=True)
class ModelTable:
    """Facts of models, by name.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    facts : mapping of str to mapping of str to str
        Model → column of `FACTS` → what it says; empty cells are left out.
    """

    name: str
    facts: Mapping[str, Mapping[str, str]]


def read_model_table(path: str | Path) -> ModelTable:
    """Read a CSV file with a column ``model``, any of `FACTS`, and a ``note`` that is for people; a row a model.

    Raises
    ------
    DatasetError
        No such file, no CSV, columns that are missing or twice, a row that does not fit the header, a model twice.
    UnknownNameError
        Another column.
    ReservedNameError
        A base has a name that verdicts give to no model.
    """
    file = Path(path)
    rows = read_csv_rows(path)
    _, header = rows[0] if rows else (0, [])
    _check_header(file.name, header)
    facts: dict[str, dict[str, str]] = {}
    for number, fields in rows[1:]:
        where = f"{file.name}, line {number}"
        model, found = _facts(where, header, fields)
        if model in facts:
            raise DatasetError(f"{model!r} has a second row.", argument=where, fix="Keep one row a model.")
        facts[model] = found
    if not facts:
        raise DatasetError("names no model.", argument=str(path))
    return ModelTable(file.name, facts)


def _check_header(name: str, header: Sequence[str]) -> None:
    if "model" not in header or not set(FACTS) & set(header):
        raise DatasetError(
            f"needs a column model and one of {', '.join(FACTS)}; it has {', '.join(header) or 'none'}.", argument=name
        )
    for column in header:
        if column not in ("model", *FACTS, NOTE):
            raise UnknownNameError("column of a table of models", column, ["model", *FACTS, NOTE])
        if header.count(column) > 1:
            raise DatasetError(f"has the column {column} twice.", argument=name)


def _facts(where: str, header: Sequence[str], fields: Sequence[str]) -> tuple[str, dict[str, str]]:
    if len(fields) != len(header):
        raise DatasetError(
            f"has {len(fields)} fields where the header has {len(header)}.",
            argument=where,
            fix="Put text that holds a comma in double quotes.",
        )
    cells = dict(zip(header, fields, strict=True))
    if not cells["model"]:
        raise DatasetError("has no model.", argument=where)
    refuse_reserved(cells.get("base", ""), where, "base")
    return cells["model"], {column: cells[column] for column in FACTS if cells.get(column)}


def join_models(datasets: Sequence[Dataset], table: ModelTable) -> list[Dataset]:
    """Datasets with what a table says of their models; where a cell is empty, what they say themselves stays.

    Raises
    ------
    UnknownNameError
        A model of a dataset has no row, or a row is of a model that no dataset has: a name that is spelt differently
        must not pass for "not known".
    """
    models = {item.model for dataset in datasets for item in dataset.items}
    for name in sorted(models - set(table.facts)):
        error = UnknownNameError(f"model of {table.name}", name, table.facts)
        error.fix = f"{error.fix} Give it a row; cells may be empty."
        raise error
    for name in table.facts:
        if name not in models:
            raise UnknownNameError("model of the dataset", name, models)
    return [
        replace(dataset, items=tuple(replace(item, **table.facts[item.model]) for item in dataset.items))
        for dataset in datasets
    ]
