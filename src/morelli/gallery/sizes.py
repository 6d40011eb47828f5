"""Whether a gallery has references of a picture's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from morelli.types import Reference

#: Pictures that are named; of the others their number is told.
NAMED = 5


def size_notes(references: Sequence[Reference], sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """A sentence for each picture whose size no reference has: what resizing and cropping leave may outweigh models.

    Parameters
    ----------
    references : sequence of Reference
    sizes : mapping of str to (int, int)
        Width and height of each picture, by its name.
    """
    known = {(reference.width, reference.height) for reference in references}
    odd = [(name, size) for name, size in sizes.items() if size not in known]
    told = "resizing or cropping may weigh more than the model."
    notes = [f"No reference has the size of {name}, {width}×{height}: {told}" for name, (width, height) in odd[:NAMED]]
    if len(odd) > NAMED:
        notes.append(f"So it is with {len(odd) - NAMED} more images.")
    return notes
