"""Prices of one image as they are given: a number for all models, or a table with a row a model."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

from morelli.errors import InputError
from morelli.exposure.model_table import check_models, read_numbers


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
    """Prices by model, from a CSV file with the columns model and price; others may stand beside them.

    Raises
    ------
    DatasetError
        As `read_numbers`.
    InputError
        A price that is no number from 0 on.
    """
    return read_numbers(path, "price", _amount)


def check_priced(prices: float | Mapping[str, float], models: Collection[str]) -> None:
    """Refuse a table of prices that is not of these models; errors as `check_models`."""
    if isinstance(prices, Mapping):
        check_models(prices, models, of="the dataset", column="price", argument="--price")


def _amount(value: float, where: str) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"a price must be a number from 0 on; got {value:g}.", argument=where)
    return value
