"""An attributor fitted on a gallery, with its calibrations: taken from disk where they are there, learnt otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution import persist
from morelli.attribution.base import Attributor
from morelli.attribution.calibration import CalibrationPair, calibrate_attributor
from morelli.attribution.enough import enough
from morelli.attribution.likelihood import LikelihoodAttributor
from morelli.attribution.nearest import Nearest, coordinates
from morelli.errors import NotFittedError
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors


class Learned:
    """What an attributor learns from one background, learnt when first asked for and kept in a file.

    Parameters
    ----------
    attributor : Attributor
        Not fitted; it is cloned.
    background : LabelledEmbeddings
    path : Path
        The file, named by `morelli.attribution.persist.statistics_key`.
    """

    def __init__(self, attributor: Attributor, background: LabelledEmbeddings, path: Path) -> None:
        self.background = background
        self.path = path
        self._blank = attributor
        self._fitted: Attributor | None = None
        self._restored = False
        self._calibrations: dict[tuple[int, bool], CalibrationPair | None] = {}
        self._space: NDArray[np.float32] | None = None

    def get(
        self, k: int, references: LabelledEmbeddings | None, prompt: str | None, on_learn: Callable[[], None]
    ) -> tuple[Attributor, CalibrationPair | None]:
        """The fitted attributor, and its calibration for such queries; None where the background allows none.

        Parameters
        ----------
        k : int
            Same-prompt references a model; 0 where the prompt is unknown.
        references : LabelledEmbeddings or None
            What queries will be compared with; None: the background.
        prompt : str or None
            Their prompt id.
        on_learn : callable
            Called before something is learnt, which may take a minute.

        Raises
        ------
        NotEnoughReferencesError
            The references do not allow this attributor.
        """
        if self._fitted is None:
            self._load()
        if self._fitted is not None:
            kind = self._kind(self._fitted, k, references)
            if kind in self._calibrations:
                return self._fitted, self._calibrations[kind]
        on_learn()
        attributor = self._learn()
        # Scoring one image first: it raises what stands in the way.
        attributor.scores(self.background.take(np.arange(1)).vectors, references, prompt)
        if isinstance(attributor, LikelihoodAttributor) and attributor.bank_ is not None:
            attributor.learn_weights(k, attributor.candidates(references))
        kind = self._kind(attributor, k, references)
        self._calibrations[kind] = calibrate_attributor(attributor, self.learnt_from, *kind)
        self._fitted = attributor
        heavy = isinstance(attributor, LikelihoodAttributor)  # else the embeddings themselves, which the gallery has
        persist.save(self.path, attributor, self._calibrations, self.space if heavy else None)
        return attributor, self._calibrations[kind]

    @cached_property
    def learnt_from(self) -> LabelledEmbeddings:
        """What of the background statistics and calibrations are learnt from: all of it, unless it is huge."""
        return enough(self.background)

    @property
    def space(self) -> NDArray[np.float32]:
        """Coordinates of the background in the space in which the attributor compares: shape (n, d)."""
        if self._space is None:
            self._space = self.place(self.background.vectors)
        return self._space

    @cached_property
    def nearest(self) -> Nearest:
        """The background's rows in that space, to be asked which are nearest."""
        return Nearest(self.space)

    def place(self, vectors: Vectors) -> NDArray[np.float32]:
        """Coordinates of n embeddings in that space: shape (n, d).

        Raises
        ------
        NotFittedError
            `get` was not called yet.
        """
        if self._fitted is None:
            raise NotFittedError("call get first.", argument="Learned")
        return coordinates(self._fitted, vectors)

    def _kind(self, attributor: Attributor, k: int, references: LabelledEmbeddings | None) -> tuple[int, bool]:
        return k, bool(attributor.is_new(attributor.candidates(references)).mean() > 0.5)

    def _load(self) -> None:
        fresh = self._blank.clone()
        found = persist.load(self.path, fresh, self._taught(fresh))
        if found is not None:
            self._fitted, self._restored = fresh, True
            self._calibrations, self._space = found.calibrations, found.space

    def _taught(self, attributor: Attributor) -> LabelledEmbeddings:
        """What an attributor is fitted on; those without statistics compare with their background, and have all."""
        return self.learnt_from if isinstance(attributor, LikelihoodAttributor) else self.background

    def _learn(self) -> Attributor:
        """A fitted attributor that can learn for another k: one from disk cannot, and is fitted anew."""
        held = self._fitted
        if held is not None and not self._restored:
            return held
        fresh = self._blank.clone()
        fresh.fit(self._taught(fresh))
        if isinstance(fresh, LikelihoodAttributor) and isinstance(held, LikelihoodAttributor):
            fresh.weights_.update(held.weights_)
        self._restored = False
        return fresh


def free_references(attributor: Attributor, background: LabelledEmbeddings) -> LabelledEmbeddings | None:
    """What to hand to ``scores`` where the prompt is unknown and the background is what a query is compared with.

    A `LikelihoodAttributor` with statistics holds its models' means already: one row a model then only says which
    models compete, and spares it from projecting the whole background for each query. Others take the background.
    """
    if isinstance(attributor, LikelihoodAttributor) and attributor.bank_ is not None:
        return background.take(np.unique(background.models, return_index=True)[1])
    return None
