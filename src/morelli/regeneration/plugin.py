"""Regeneration beside another attributor: w times its standardised likeness is added to that attributor's scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.encoders.embed import Source
from morelli.errors import NotFittedError
from morelli.images.load import Picture, load_image
from morelli.regeneration.engine import Progress, Regeneration
from morelli.regeneration.fusion import Fusion, fit_fusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class RegenerationPlugin:
    """Adds regeneration to any attributor.

    Parameters
    ----------
    regeneration : Regeneration

    Attributes
    ----------
    fusion_ : Fusion
        Learnt by `fit`.

    Examples
    --------
    ``table = attributor.cross_scores(k)`` has scores of the background's own images. With their files and prompts::

        plugin = RegenerationPlugin(regeneration).fit(table.scores, models, table.truth, files, prompts)
        fused = plugin.scores(attributor.scores(vectors, references), models, [query], [prompt])
    """

    def __init__(self, regeneration: Regeneration) -> None:
        self.regeneration = regeneration

    def likeness(
        self,
        models: Sequence[str],
        sources: Sequence[Source],
        prompts: Sequence[str],
        *,
        progress: Progress | None = None,
    ) -> Array:
        """How alike each query is to what the models make of its prompt.

        Candidates are made once for each prompt and found again on disk.

        Parameters
        ----------
        models : sequence of str, length m
            Columns.
        sources : sequence of Path, str, bytes or Picture, length n
        prompts : sequence of str, length n
            Of each.

        Returns
        -------
        ndarray, shape (n, m), float64
            NaN for a model that has no generator.
        """
        out = np.full((len(sources), len(models)), np.nan)
        place = {model: column for column, model in enumerate(models)}
        for row, (source, prompt) in enumerate(zip(sources, prompts, strict=True)):
            picture = source if isinstance(source, Picture) else load_image(source)
            made = self.regeneration.compare([picture], prompt, progress=progress)
            for model, score in zip(made.candidates.models.tolist(), made.compared.scores[0], strict=True):
                if model in place:
                    out[row, place[model]] = score
        return out

    def fit(
        self,
        scores: Array,
        models: Sequence[str],
        truth: NDArray[np.intp],
        sources: Sequence[Source],
        prompts: Sequence[str],
        *,
        progress: Progress | None = None,
    ) -> Self:
        """Learn w from background queries.

        Parameters
        ----------
        scores : ndarray, shape (n, m)
            Of an attributor that had not seen them.
        models : sequence of str, length m
        truth : ndarray of int, shape (n,)
            Column of the right model.
        sources, prompts
            The queries' files and prompts, as in `likeness`.
        """
        likeness = self.likeness(models, sources, prompts, progress=progress)
        self.fusion_: Fusion = fit_fusion(scores, likeness, truth)
        return self

    def scores(
        self,
        scores: Array,
        models: Sequence[str],
        sources: Sequence[Source],
        prompts: Sequence[str],
        *,
        progress: Progress | None = None,
    ) -> Array:
        """Fused scores of queries, shape (n, m).

        Raises
        ------
        NotFittedError
            `fit` was not called.
        """
        if not hasattr(self, "fusion_"):
            raise NotFittedError("call fit before scores.", argument=type(self).__name__)
        return self.fusion_(scores, self.likeness(models, sources, prompts, progress=progress))
