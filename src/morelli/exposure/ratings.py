"""Ratings of models as they are given: a table with a row a model."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

from morelli.errors import DatasetError, InputError, UnknownNameError
from morelli.images.csv_rows import read_csv_rows

COLUMNS = ("model", "rating")


def read_ratings(path: str | Path) -> dict[str, float]:
    """Elo points by model, from a CSV file with the columns model and rating; others may stand beside them.

    Raises
    ------
    DatasetError
        It cannot be read, lacks a column, has no row, a row that does not fit, or a model twice.
    InputError
        A rating that is no finite number.
    """
    file, out = Path(path), {}
    lines = read_csv_rows(file)
    header = lines[0][1] if lines else []
    if any(header.count(name) != 1 for name in COLUMNS):
        raise DatasetError(
            f"needs the columns {' and '.join(COLUMNS)}, once each; it has {', '.join(header) or 'none'}.",
            argument=str(path),
        )
    at = [header.index(name) for name in COLUMNS]
    for number, cells in lines[1:]:
        where = f"{file.name}, line {number}"
        if len(cells) != len(header) or not cells[at[0]]:
            raise DatasetError("must have a model and its rating.", argument=where)
        model, text = (cells[place] for place in at)
        if model in out:
            raise DatasetError(f"{model!r} has a second row.", argument=where, fix="Keep one row a model.")
        out[model] = _points(model, text, where)
    if not out:
        raise DatasetError("has no row.", argument=str(path))
    return out


def check_rated(ratings: Mapping[str, float], models: Collection[str]) -> None:
    """Refuse ratings that are not of these models.

    Raises
    ------
    UnknownNameError
        A rating is of none of them: a name spelt differently must not pass for another.
    InputError
        A model has no rating.
    """
    for name in ratings:
        if name not in models:
            raise UnknownNameError("model of the confusion matrix", name, models)
    missing = [name for name in models if name not in ratings]
    if missing:
        raise InputError(
            f"has no rating for {', '.join(map(repr, missing))}.", argument="--ratings", fix="Add the rows."
        )


def _points(model: str, text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"the rating of {model!r} is no finite number: {text!r}.", argument=where)
    return value
