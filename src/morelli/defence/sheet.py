"""Before, after and the difference side by side: what a defence did, for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

#: Factor on the difference; grey 128 is none.
GAIN = 16
_GAP = 8


def difference(before: Pixels, after: Pixels, gain: int = GAIN) -> Pixels:
    """(after − before) · gain + 128, cut to 0–255: shape (height, width, 3), uint8.

    Raises
    ------
    ArrayError
        Not pixels, or of two sizes.
    """
    if check_pixels(before).shape != check_pixels(after).shape:
        raise ArrayError(f"two images of one size are needed; got {before.shape} and {after.shape}.", argument="after")
    return np.clip((after.astype(np.int32) - before) * gain + 128, 0, 255).astype(np.uint8)


def side_by_side(pairs: Sequence[tuple[Pixels, Pixels]], gain: int = GAIN) -> Pixels:
    """One picture with a row for each pair: before, after, difference.

    Parameters
    ----------
    pairs : sequence of (ndarray, ndarray), shapes (height, width, 3), uint8
    gain : int
        Of the difference.

    Raises
    ------
    ArrayError
        No pair, or a pair of two sizes.
    """
    if not pairs:
        raise ArrayError("there is nothing to show.", argument="pairs")
    rows = [(before, after, difference(before, after, gain)) for before, after in pairs]
    width = max(before.shape[1] for before, _, _ in rows)
    height = sum(before.shape[0] for before, _, _ in rows) + _GAP * (len(rows) - 1)
    sheet = np.full((height, 3 * width + 2 * _GAP, 3), 255, np.uint8)
    top = 0
    for row in rows:
        for column, picture in enumerate(row):
            left = column * (width + _GAP)
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        top += row[0].shape[0] + _GAP
    return sheet
