"""The models that a picture is compared with, and what must be told of that comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from morelli.attribution.calibration import MIN_QUERIES
from morelli.attribution.compare import Comparer, Comparison

if TYPE_CHECKING:
    from morelli._identify.held import Held
    from morelli.encoders.variants import Variants


@dataclass(frozen=True, eq=False)
class Rivals:
    """All models of a gallery, as one question compares pictures with them.

    Attributes
    ----------
    held : Held
    comparer : Comparer
        Makes comparisons with that gallery.
    comparison : Comparison
        For a picture that is no reference.
    fall_back : bool
        Compare without the prompt where a model lacks references of it.
    """

    held: Held
    comparer: Comparer
    comparison: Comparison
    fall_back: bool

    def of(self, found: Variants) -> Comparison:
        """The comparison for one picture: if it is itself a reference, its row has no part in it."""
        row = self.held.row.get(found.info.content)
        if row is None:
            return self.comparison
        return self.comparer.without(self.comparison, row, fall_back=self.fall_back)

    def notes(self, found: Variants, used: Comparison) -> list[str]:
        """What was left out of the comparison, and what makes it weaker than it seems."""
        notes = list(used.notes)
        if used.calibration is None:
            notes.append(
                f"Not calibrated: the references give fewer than {MIN_QUERIES} images that can be scored by what other "
                "prompts teach. Probabilities are a softmax of the scores, and there is no candidate set."
            )
        if condition := used.condition(found.vectors):
            notes.append(f"The picture looks as after {condition}, and was compared as such.")
        width, height = found.info.width, found.info.height
        if (width, height) not in self.held.sizes:
            notes.append(
                f"No reference has this picture's size, {width}×{height}: resizing or cropping may weigh more than the "
                "model."
            )
        return notes
