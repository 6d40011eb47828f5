"""What a split hands to a protocol: trials and rounds as rows, and the helpers that number labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Rows = NDArray[np.intp]
    Names = NDArray[np.str_]

T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class Trial:
    """Queries that share one set of references.

    Attributes
    ----------
    prompt : str
        The prompt id of references and queries; "" where they come from many.
    references, queries : ndarray of int, shapes (r,) and (q,)
        Rows, ascending; disjoint.
    fold : int
        Fold of the queries. Background = the rows of all other folds.
    """

    prompt: str
    references: Rows
    queries: Rows
    fold: int


@dataclass(frozen=True, eq=False, slots=True)
class OpenSetRound:
    """One round of leave-a-model-out: ``left_out`` (a model or a family) plays the model that nobody knows.

    Attributes
    ----------
    known, unknown : ndarray of int
        Rows, ascending; disjoint and together all rows.
    """

    left_out: str
    known: Rows
    unknown: Rows


@dataclass(frozen=True)
class Plan(Generic[T]):
    """Trials or rounds to run, and in ``notes`` what the data did not allow, with counts, as plain sentences."""

    items: tuple[T, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def labels(**columns: ArrayLike) -> list[Names]:
    """Label columns as string arrays of one length.

    Raises
    ------
    ArrayError
        Where one is not one-dimensional, is empty or differs in length from the first.
    """
    arrays = [np.asarray(values, dtype=np.str_) for values in columns.values()]
    for name, array in zip(columns, arrays, strict=True):
        if array.ndim != 1 or not len(array) or len(array) != len(arrays[0]):
            raise ArrayError(
                f"must be a column of {len(arrays[0]) or 'some'} labels, got {array.shape}.", argument=name
            )
    return arrays


def prompt_units(prompts: ArrayLike) -> Rows:
    """Number the prompts from 0; every row with an unknown prompt ("") gets a number of its own. Shape (n,)."""
    (names,) = labels(prompts=prompts)
    known, units = np.unique(names, return_inverse=True)
    alone = np.flatnonzero(names == "")
    units[alone] = len(known) + np.arange(len(alone))
    return np.unique(units, return_inverse=True)[1]
