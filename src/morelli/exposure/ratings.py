"""Ratings of models as they are given: a table with a row a model."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

from morelli.errors import InputError
from morelli.exposure.model_table import check_models, read_numbers


def read_ratings(path: str | Path) -> dict[str, float]:
    """Elo points by model, from a CSV file with the columns model and rating; others may stand beside them.

    Raises
    ------
    DatasetError
        As `read_numbers`.
    InputError
        A rating that is no finite number.
    """
    return read_numbers(path, "rating", _points)


def check_rated(ratings: Mapping[str, float], models: Collection[str]) -> None:
    """Refuse ratings that are not of these models; errors as `check_models`."""
    check_models(ratings, models, of="the confusion matrix", column="rating", argument="--ratings")


def _points(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise InputError(f"a rating must be a finite number; got {value:g}.", argument=where)
    return value
