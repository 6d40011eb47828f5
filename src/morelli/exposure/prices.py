"""Prices of one image as they are given: a number for all models, or a table with a row a model."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

from morelli.errors import DatasetError, InputError, UnknownNameError
from morelli.images.csv_rows import read_csv_rows

COLUMNS = ["model", "price"]


def parse_price(text: str) -> float | dict[str, float]:
    """A number, or the prices in the CSV file of that name.

    Parameters
    ----------
    text : str
        "0.0245", or the path of a file with the columns model and price.

    Raises
    ------
    InputError
        Neither a number nor a file; a price that is none, negative or infinite.
    DatasetError
        The file is no such table.
    """
    try:
        return _amount(float(text), "--price")
    except ValueError as error:
        if isinstance(error, InputError):
            raise
    if not Path(text).is_file():
        raise InputError(
            f"{text!r} is neither a number nor a file.",
            argument="--price",
            fix="Give dollars for one image, or a CSV file with the columns model and price.",
        )
    return read_prices(text)


def read_prices(path: str | Path) -> dict[str, float]:
    """Prices by model, from a CSV file with the columns model and price.

    Raises
    ------
    DatasetError
        It cannot be read, has other columns, no row, a row that does not fit, or a model twice.
    InputError
        A price that is no number from 0 on.
    """
    file, out = Path(path), {}
    for number, cells in _lines(file):
        where = f"{file.name}, line {number}"
        if len(cells) != 2 or not cells[0]:
            raise DatasetError("must have a model and its price.", argument=where)
        model, text = cells
        if model in out:
            raise DatasetError(f"{model!r} has a second row.", argument=where, fix="Keep one row a model.")
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"the price of {model!r} is no number: {text!r}.", argument=where) from None
        out[model] = _amount(value, where)
    if not out:
        raise DatasetError("has no row.", argument=str(path))
    return out


def check_priced(prices: float | Mapping[str, float], models: Collection[str]) -> None:
    """Refuse a table of prices that is not of these models.

    Raises
    ------
    UnknownNameError
        A row is of no model of the dataset: a name spelt differently must not pass for another.
    InputError
        A model has no price.
    """
    if not isinstance(prices, Mapping):
        return
    for name in prices:
        if name not in models:
            raise UnknownNameError("model of the dataset", name, models)
    missing = [name for name in sorted(models) if name not in prices]
    if missing:
        raise InputError(f"has no price for {', '.join(map(repr, missing))}.", argument="--price", fix="Add the rows.")


def _lines(file: Path) -> list[tuple[int, list[str]]]:
    """Rows after the header, each with its line's number."""
    rows = read_csv_rows(file)
    header = rows[0][1] if rows else []
    if header != COLUMNS:
        raise DatasetError(
            f"needs the columns {', '.join(COLUMNS)}; it has {', '.join(header) or 'none'}.", argument=file.name
        )
    return rows[1:]


def _amount(value: float, where: str) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"a price must be a number from 0 on; got {value:g}.", argument=where)
    return value
