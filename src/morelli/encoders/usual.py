"""Which encoder is taken where nobody names one: it goes by how large the pictures are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from morelli.encoders import catalogue
from morelli.errors import MorelliError
from morelli.images.probe import probe

if TYPE_CHECKING:
    from morelli.images.dataset import Dataset

#: Shorter side, in pixels, from which on ``residual-lattice`` takes part: 1,024 of its blocks. What it knows of a
#: pattern is a mean over the blocks; 128 pixels have 64 (docs/decisions/0012).
WITH_LATTICE = 512
# Pictures whose headers are read.
_SAMPLE = 64


def usual_encoder(datasets: Sequence[Dataset]) -> str:
    """The encoder's spec for new statistics of these pictures.

    ``efficientnet-lite0+residual-lattice`` where at least half of them have a shorter side of 512 pixels or more, else
    ``efficientnet-lite0``. Some 64 of each dataset are looked at, evenly spread; a file that cannot be read counts for
    nothing.
    """
    large = small = 0
    for dataset in datasets:
        step = max(1, len(dataset.items) // _SAMPLE)
        for item in dataset.items[::step]:
            try:
                found = probe(item.path)
            except MorelliError:  # whoever embeds it will say so
                continue
            if min(found.width, found.height) >= WITH_LATTICE:
                large += 1
            else:
                small += 1
    alone = catalogue.DEFAULT_ENCODER
    return f"{alone}+residual-lattice" if large and large >= small else alone
