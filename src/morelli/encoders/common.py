"""The pictures that several encoders have all embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from morelli.encoders.embed import Embedded
from morelli.errors import InputError, MorelliError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def in_common(made: Sequence[Embedded]) -> list[Embedded]:
    """Embeddings of the same sources by several encoders, of those pictures that every one of them embedded.

    Parameters
    ----------
    made : sequence of Embedded
        One an encoder.

    Returns
    -------
    list of Embedded
        All with the same rows and the same errors. The error of a source is that of the first encoder that has one;
        a file that changed from one encoder's reading to the next has one too. What ``side_work`` gave is the first's.
    """
    if len(made) == 1:
        return list(made)
    errors: dict[int, MorelliError] = {}
    for one in made:
        for row, error in one.errors:
            errors.setdefault(row, error)
    seen = [dict(zip(one.rows.tolist(), one.pictures, strict=True)) for one in made]
    for row, info in seen[0].items():
        if row not in errors and any(one[row].embedded_content != info.embedded_content for one in seen):
            errors[row] = InputError("has changed while it was read.", argument=info.name)
    kept = np.array([row for row in seen[0] if row not in errors], dtype=np.int64)
    pictures = [seen[0][row] for row in kept.tolist()]
    return [replace(_of_rows(one, kept), pictures=pictures, rows=kept, errors=sorted(errors.items())) for one in made]


def _of_rows(made: Embedded, kept: NDArray[np.int64]) -> Embedded:
    if len(made.rows) == len(kept):
        return made
    chosen = np.isin(made.rows, kept)
    return replace(made, vectors={name: values[chosen] for name, values in made.vectors.items()})
