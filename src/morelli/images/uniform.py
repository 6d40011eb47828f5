"""One form for all pictures of a comparison, so that size and format cannot give a model away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morelli.errors import InputError
from morelli.images.pixels import check_pixels
from morelli.images.probe import FileInfo


@dataclass(frozen=True, slots=True)
class Uniform:
    """Centre square crop, then area-averaged down to ``side`` × ``side`` pixels; never enlarged."""

    side: int

    def __str__(self) -> str:
        return f"centre square, area-averaged to {self.side}×{self.side} pixels"

    def cut(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The middle of the picture at its own scale, for what resizing would destroy: a residual's pattern.

        Parameters and errors as `apply`; the shape is the same.
        """
        height, width, _ = check_pixels(pixels).shape
        self._check(height, width)
        top, left = (height - self.side) // 2, (width - self.side) // 2
        return pixels[top : top + self.side, left : left + self.side].copy()

    def _check(self, height: int, width: int) -> None:
        if min(height, width) < self.side:
            raise InputError(
                f"a picture of {width}×{height} pixels cannot be brought to {self.side}: none is enlarged."
            )

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture in the common form.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3), uint8
            Both sides at least ``side``.

        Returns
        -------
        ndarray, shape (side, side, 3), uint8

        Raises
        ------
        InputError
            The picture is smaller than ``side``.
        """
        height, width, _ = check_pixels(pixels).shape
        self._check(height, width)
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        square = pixels[top : top + short, left : left + short]
        if short == self.side:
            return square.copy()
        means = _area_means(_area_means(square, 0, self.side), 1, self.side)
        return np.floor(means + 0.5).astype(np.uint8)


def plan_uniform(infos: Sequence[FileInfo]) -> Uniform | None:
    """The common form that a set of pictures needs, or None where all share one format and one size.

    Parameters
    ----------
    infos : sequence of FileInfo
        Every picture of the comparison, references and queries.

    Raises
    ------
    InputError
        No picture.
    """
    if not infos:
        raise InputError("no picture to plan for.", argument="infos")
    if len({(info.format, info.width, info.height) for info in infos}) == 1:
        return None
    return Uniform(min(min(info.width, info.height) for info in infos))


def _area_means(values: NDArray[np.generic], axis: int, count: int) -> NDArray[np.float64]:
    """Means over ``count`` equal stretches of an axis; a sample that a boundary cuts counts by its share.

    Exact at any ratio. Pillow's box filter weighs samples all or nothing, which leaves a pattern that tells the
    original size.
    """
    values = np.moveaxis(np.asarray(values, dtype=np.float64), axis, 0)
    size = len(values)
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    # Edges in integer arithmetic: size·i/count = whole + part/count.
    whole, part = np.divmod(np.arange(count + 1) * size, count)
    following = np.minimum(whole, size - 1)
    shares = (part / count).reshape(-1, *[1] * (values.ndim - 1))
    at_edges = total[whole] + shares * values[following]
    return np.moveaxis(np.diff(at_edges, axis=0) * (count / size), 0, axis)
