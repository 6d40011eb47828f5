"""A measured confusion matrix: from the JSON of ``morelli exposure``, or from a CSV file."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.errors import DatasetError, UnknownNameError
from morelli.types import EXPOSURE_SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: How far from 100 whole percentages of a row may sum up.
ROUNDING = 2
#: How far a row's sum may lie from the number of its images.
HALF = 0.5


@dataclass(frozen=True, eq=False)
class Confusion:
    """How an attacker's answers fall.

    Attributes
    ----------
    models : tuple of str
    rates : ndarray, shape (m, c), rows sum to 1, c ≥ m
        Of the images of the row's model the share attributed to each column: the models first, in the same order,
        then other answers ("none").
    images : ndarray of int, shape (m,), or None
        Different images of each model that were attributed; None where rates were given and nobody knows.
    """

    models: tuple[str, ...]
    rates: NDArray[np.float64]
    images: NDArray[np.intp] | None = None

    @property
    def accuracy(self) -> float:
        """Mean over the models of the share that is attributed right."""
        return float(np.diagonal(self.rates).mean())

    def drawn(self, times: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """The rates as other images of the same number might have given them: shape (times, m, c).

        Each row is drawn from the Dirichlet distribution of its counts and 1/c more in each column, one in all: that
        none of n images was mistaken does not say that none ever will. Images count one by one; several of one prompt
        say less than that. Where their number is not known the rates stay what they are.
        """
        if self.images is None:
            return np.broadcast_to(self.rates, (times, *self.rates.shape))
        counts = self.rates * self.images[:, None] + 1 / self.rates.shape[1]
        return np.stack([rng.dirichlet(row, size=times) for row in counts], axis=1)

    def index(self, model: str) -> int:
        """The model's row.

        Raises
        ------
        UnknownNameError
        """
        if model not in self.models:
            raise UnknownNameError("model", model, self.models)
        return self.models.index(model)

    def reordered(self, models: Sequence[str]) -> Confusion:
        """Rows and columns in the order of ``models``, which must be the same set.

        Raises
        ------
        DatasetError
        """
        if set(models) != set(self.models) or len(models) != len(self.models):
            odd = sorted(set(models) ^ set(self.models))
            raise DatasetError(
                f"the two matrices are of different models: {', '.join(odd[:5])}.", argument="--defended"
            )
        order = [self.models.index(name) for name in models]
        columns = order + list(range(len(order), self.rates.shape[1]))
        images = None if self.images is None else self.images[order]
        return Confusion(tuple(models), self.rates[np.ix_(order, columns)], images)


def from_counts(
    models: Sequence[str], said: Sequence[str], counts: Any, source: str = "confusion", images: Any = None
) -> Confusion:
    """Counts or rates, one row a model, as `Confusion`.

    Parameters
    ----------
    models, said : sequence of str
        Names of rows and of columns; every model is among the columns.
    counts : array, shape (len(models), len(said)), ≥ 0
    source : str
        The file, for messages.
    images : array of int, shape (len(models),), ≥ 1, optional
        How many images each row is of; but for rounding it sums to them. By default its sum, where the table is of
        whole numbers and its rows do not all sum to 1, or to 98 to 102: those are rates.

    Raises
    ------
    DatasetError
        Fewer than two models, a name twice, a column that is missing, a row without anything, no numbers, or a row that
        does not sum to its images.
    """
    try:
        table = np.asarray(counts, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(f"its matrix holds something that is no number ({error}).", argument=source) from error
    if len(models) < 2 or len(set(models)) < len(models) or len(set(said)) < len(said):
        raise DatasetError("needs two models at least, and no name twice.", argument=source)
    missing = [name for name in models if name not in said]
    if missing:
        raise DatasetError(f"has a row {missing[0]!r} without a column of that name.", argument=source)
    if table.shape != (len(models), len(said)) or not np.isfinite(table).all() or (table < 0).any():
        raise DatasetError(
            f"needs {len(models)} × {len(said)} counts from 0 on; got {table.shape} or other numbers.", argument=source
        )
    total = table.sum(axis=1, keepdims=True)
    if (total == 0).any():
        raise DatasetError(f"has no image of {models[int((total == 0).argmax())]!r}.", argument=source)
    order = [list(said).index(name) for name in models] + [i for i, name in enumerate(said) if name not in models]
    return Confusion(tuple(models), (table / total)[:, order], _images(models, table, images, source))


def _images(models: Sequence[str], table: NDArray[np.float64], given: Any, source: str) -> NDArray[np.intp] | None:
    total = table.sum(axis=1)
    if given is not None:
        try:
            found = np.asarray(given)
        except ValueError as error:  # lists of different lengths
            raise _no_images(len(total), source) from error
        if found.shape != total.shape or found.dtype.kind not in "iu" or (found < 1).any():
            raise _no_images(len(total), source)
        wrong = np.flatnonzero(np.abs(total - found) > HALF)
        if len(wrong):
            at = int(wrong[0])
            raise DatasetError(
                f"says {found[at]} images of {models[at]!r}, and its row sums to {total[at]:g}.",
                argument=source,
                fix="A row must sum to its images; an image that was asked several times is divided among its answers.",
            )
        return found.astype(np.intp)
    # Whole numbers that sum to 1, or but for rounding to 100, in every row are shares or percentages.
    rates = (table != np.floor(table)).any() or (total == 1).all() or (np.abs(total - 100) <= ROUNDING).all()
    return None if rates else total.astype(np.intp)


def _no_images(models: int, source: str) -> DatasetError:
    return DatasetError(f"needs the number of images of each of its {models} models.", argument=source)


def read_confusion(path: str | Path) -> Confusion:
    """Read a confusion matrix.

    Parameters
    ----------
    path : str or Path
        ``.json``: an object of schema ``morelli.exposure/1``. Anything else: CSV, the first line with the names of the
        columns after a first field, then a line a model: its name, then counts or rates. Where the first field is
        "images" a row sums to its model's images; else `from_counts` decides.

    Raises
    ------
    DatasetError
        A file that cannot be read or holds no such thing.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror or error}).", argument=str(path)) from error
    except UnicodeDecodeError as error:
        raise DatasetError("is not UTF-8.", argument=str(path), fix="Name a JSON or CSV file.") from error
    return _from_json(text, str(path)) if place.suffix.lower() == ".json" else _from_csv(text, str(path))


def confusion_csv(models: Sequence[str], said: Sequence[str], images: Any) -> str:
    """A confusion matrix as the CSV that `read_confusion` takes; rows without images are left out.

    Parameters
    ----------
    models, said : sequence of str
        Names of rows and of columns.
    images : array, shape (len(models), len(said)), ≥ 0
        Images of a model that were taken for another.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["images", *said])
    for model, row in zip(models, np.asarray(images, dtype=np.float64), strict=True):
        if row.any():
            lines.writerow([model, *(f"{value:.10g}" for value in row)])
    return text.getvalue()


def _from_json(text: str, source: str) -> Confusion:
    fix = "Write one with: morelli exposure DATASET --json > exposure.json"
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"is no JSON ({error}).", argument=source, fix=fix) from error
    if not isinstance(found, Mapping) or found.get("schema") != EXPOSURE_SCHEMA:
        raise DatasetError(f"is not of the schema {EXPOSURE_SCHEMA}.", argument=source, fix=fix)
    matrix = found.get("confusion")
    if not isinstance(matrix, Mapping) or not isinstance(matrix.get("labels"), list):
        raise DatasetError("holds no confusion matrix.", argument=source, fix=fix)
    labels = [str(name) for name in matrix["labels"]]
    counts = matrix.get("matrix")
    if not isinstance(counts, list) or len(counts) != len(labels) or not all(isinstance(row, list) for row in counts):
        return from_counts(labels, labels, counts, source)  # which refuses it
    asked = [place for place, row in enumerate(counts) if any(row)]
    names, rows = [labels[place] for place in asked], [counts[place] for place in asked]
    images = matrix.get("images")
    if images is None:  # of an earlier version: one answer an image
        whole = all(isinstance(each, int) for row in rows for each in row)
        return from_counts(names, labels, rows, source, [sum(row) for row in rows] if whole else None)
    if not isinstance(images, list) or len(images) != len(labels):
        raise _no_images(len(labels), source)
    return from_counts(names, labels, rows, source, [images[place] for place in asked])


def _from_csv(text: str, source: str) -> Confusion:
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    except csv.Error as error:
        raise DatasetError(f"is no CSV ({error}).", argument=source) from error
    if len(lines) < 3 or any(len(line) != len(lines[0]) for line in lines):
        raise DatasetError(
            "needs a line with the names of the columns and then a line of as many fields for each model.",
            argument=source,
            fix='Write ",a,b" and below it "a,9,1" and "b,2,8".',
        )
    said = [name.strip() for name in lines[0][1:]]
    names, rows = [line[0].strip() for line in lines[1:]], [line[1:] for line in lines[1:]]
    images = None
    if lines[0][0].strip().lower() == "images":
        with contextlib.suppress(ValueError):  # said below, of the table itself
            images = np.rint(np.asarray(rows, dtype=np.float64).sum(axis=1)).astype(np.intp)
    return from_counts(names, said, rows, source, images)
