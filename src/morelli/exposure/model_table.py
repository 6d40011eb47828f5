"""A number for each model as it is given: a CSV file with a row a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from morelli.errors import DatasetError, InputError, UnknownNameError
from morelli.images.csv_rows import read_csv_rows


def read_numbers(path: str | Path, column: str, check: Callable[[float, str], float]) -> dict[str, float]:
    """Numbers by model, from a CSV file with the columns model and another one; more may stand beside them.

    Parameters
    ----------
    path : str or Path
    column : str
        The number's.
    check : callable
        ``check(value, where)`` gives the value, or raises InputError; ``where`` names file and line.

    Raises
    ------
    DatasetError
        It cannot be read, lacks a column, has no row, a row that does not fit, or a model twice.
    InputError
        What is no number, and what ``check`` refuses.
    """
    file, names = Path(path), ("model", column)
    rows = read_csv_rows(file)
    header = rows[0][1] if rows else []
    if any(header.count(name) != 1 for name in names):
        raise DatasetError(
            f"needs the columns {' and '.join(names)}, once each; it has {', '.join(header) or 'none'}.",
            argument=str(path),
        )
    at, out = [header.index(name) for name in names], {}
    for number, cells in rows[1:]:
        where = f"{file.name}, line {number}"
        if len(cells) != len(header) or not cells[at[0]]:
            raise DatasetError(f"must have a model and its {column}.", argument=where)
        model, text = (cells[place] for place in at)
        if model in out:
            raise DatasetError(f"{model!r} has a second row.", argument=where, fix="Keep one row a model.")
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"the {column} of {model!r} is no number: {text!r}.", argument=where) from None
        out[model] = check(value, where)
    if not out:
        raise DatasetError("has no row.", argument=str(path))
    return out


def check_models(given: Mapping[str, float], models: Collection[str], *, of: str, column: str, argument: str) -> None:
    """Refuse numbers that are not of these models.

    Parameters
    ----------
    given : mapping of str to float
    models : collection of str
    of : str
        What the models are of, for messages.
    column, argument : str
        What a number is called, and the option that gives it.

    Raises
    ------
    UnknownNameError
        A number is of none of them: a name spelt differently must not pass for another.
    InputError
        A model has none.
    """
    for name in given:
        if name not in models:
            raise UnknownNameError(f"model of {of}", name, models)
    missing = [name for name in models if name not in given]
    if missing:
        named = ", ".join(map(repr, sorted(missing)))
        raise InputError(f"has no {column} for {named}.", argument=argument, fix="Add the rows.")
