"""The contract that every measure of likeness keeps: a query and the models' fresh images in, a score a model out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from morelli.attribution.calibration import CalibrationPair
from morelli.images.load import Picture
from morelli.regeneration.candidates import Candidates
from morelli.regeneration.stopwatch import Stopwatch
from morelli.types import EncoderStamp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Compared:
    """How n forms of one query compare with m models.

    Attributes
    ----------
    scores : ndarray, shape (n, m), float64
        Higher is more alike; columns in the order of ``Candidates.models``.
    distances : ndarray, shape (c,), float64
        Of the first form to each candidate; smaller is nearer.
    calibration : CalibrationPair or None
        What turns the scores into statements; None: nothing does.
    degraded : ndarray of bool, shape (n,), or None
        Which forms look degraded, and are calibrated accordingly; None: that is not asked.
    notes : tuple of str
    """

    scores: NDArray[np.float64]
    distances: NDArray[np.float64]
    calibration: CalibrationPair | None = None
    degraded: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Similarity(Protocol):
    """Says how alike a query and each model's candidates are."""

    @property
    def name(self) -> str:
        """What `morelli.regeneration.catalogue.load_similarity` takes."""
        ...

    @property
    def stamp(self) -> EncoderStamp | None:
        """Of the encoder that it compares with; None where it compares pixels."""
        ...

    @property
    def gallery(self) -> tuple[str, int] | None:
        """Path and version of the gallery whose statistics it uses, where it uses one."""
        ...

    @property
    def least(self) -> int:
        """Candidates a model that it needs."""
        ...

    def compare(self, queries: Sequence[Picture], candidates: Candidates, watch: Stopwatch) -> Compared:
        """Compare forms of one query (itself, degraded copies of it) with the candidates; each form alone.

        Parameters
        ----------
        queries : sequence of Picture, length n
            The query itself first.
        candidates : Candidates
            Of two models at least.
        watch : Stopwatch
            Counts the stages "embed" and "score".

        Raises
        ------
        ImageError, ArrayError
            A picture cannot be compared.
        """
        ...
