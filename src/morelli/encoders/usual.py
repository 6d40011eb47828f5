"""Which encoder is taken where nobody names one: it goes by how large the pictures are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from morelli.encoders import catalogue
from morelli.errors import MorelliError
from morelli.images.probe import FileInfo, probe
from morelli.images.uniform import plan_uniform

if TYPE_CHECKING:
    from morelli.images.dataset import Dataset
    from morelli.types import Item

#: Shorter side, in pixels, from which on ``residual-lattice`` takes part: 1,024 of its blocks. What it knows of a
#: pattern is a mean over the blocks; 128 pixels have 64 (docs/decisions/0012).
WITH_LATTICE = 512
LATTICE = "residual-lattice"
# Pictures of a new gallery whose headers are read.
_SAMPLE = 64


def encoder_of_gallery(pictures: Dataset | None) -> str:
    """The encoder's spec for a new gallery of these pictures.

    ``efficientnet-lite0+residual-lattice`` where at least half of them have a shorter side of 512 pixels or more, else
    ``efficientnet-lite0``. Some 64 are looked at, evenly spread; a file that cannot be read counts for nothing.
    """
    items = () if pictures is None else pictures.items
    found = list(_headers(items[:: max(1, len(items) // _SAMPLE)]))
    large = sum(_is_large(info) for info in found)
    return _spec(bool(large) and 2 * large >= len(found))


def encoder_of_comparison(datasets: Sequence[Dataset]) -> str:
    """The encoder's spec for an evaluation on these datasets.

    That of large pictures where all have one format and one size, of which the shorter side has 512 pixels or more: if
    they have not, an evaluation resamples them to one, and what lies in blocks of pixels is gone.
    """
    found = [info for dataset in datasets for info in _headers(dataset.items)]
    return _spec(bool(found) and plan_uniform(found) is None and _is_large(found[0]))


def _spec(large: bool) -> str:
    return f"{catalogue.DEFAULT_ENCODER}+{LATTICE}" if large else catalogue.DEFAULT_ENCODER


def _is_large(info: FileInfo) -> bool:
    return min(info.width, info.height) >= WITH_LATTICE


def _headers(items: Iterable[Item]) -> Iterable[FileInfo]:
    for item in items:
        try:
            yield probe(item.path)
        except MorelliError:  # whoever embeds it will say so
            continue
