"""Example pairs of a verification, side by side: what was said of them, and what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import InputError
from morelli.report.confusion import figure_format, save_figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = 4
_LONGEST = 30


@dataclass(frozen=True, eq=False)
class Example:
    """One pair.

    Attributes
    ----------
    pictures : tuple of two ndarrays, shape (height, width, 3), uint8
    models : tuple of two str
    same : bool
        Whether one model made both.
    score, threshold : float
        It was taken for a pair of one model where the score reaches the threshold.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    models: tuple[str, ...]
    same: bool
    score: float
    threshold: float

    @property
    def right(self) -> bool:
        """Whether what was said is true."""
        return (self.score >= self.threshold) == self.same


def cases_figure(examples: Sequence[Example], path: str | Path, *, title: str = "") -> Path:
    """Draw pairs with their models, score and threshold; a heading is green where the answer is right, else orange.

    It says the same in words, for those who do not tell the colours apart.

    Raises
    ------
    InputError
        No example, or another ending than .png, .svg or .pdf.
    StorageError
        Where the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure_format(path)
    if not examples:
        raise InputError("there is no pair to draw.", argument="examples")
    lines = -(-len(examples) // _COLUMNS)
    figure = Figure(figsize=(3.4 * min(len(examples), _COLUMNS), 2.6 * lines + (0.4 if title else 0)))
    figure.set_layout_engine("constrained")
    grid = figure.subplots(lines, min(len(examples), _COLUMNS), squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, example in zip(grid, examples, strict=False):
        said = "same" if example.score >= example.threshold else "different"
        verdict = "right" if example.right else "wrong"
        axes.imshow(_side_by_side(example.pictures), interpolation="nearest")
        names = example.models[:1] if example.same else example.models
        text = " | ".join(name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in names)
        axes.set_title(
            f"{text}\nsaid {said}: {verdict} ({example.score:.2f}, threshold {example.threshold:.2f})",
            fontsize=7,
            parse_math=False,
            color="#00664f" if example.right else "#b34700",
        )
    if title:
        figure.suptitle(title, parse_math=False)
    return save_figure(figure, path)


def _side_by_side(pictures: Sequence[NDArray[np.uint8]], height: int = 192) -> NDArray[np.uint8]:
    """The pictures at one height with a white bar between them."""
    from PIL import Image

    scaled = []
    for pixels in pictures:
        width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
        scaled.append(np.asarray(Image.fromarray(pixels).resize((width, height))))
        scaled.append(np.full((height, 8, 3), 255, dtype=np.uint8))
    return np.concatenate(scaled[:-1], axis=1)
